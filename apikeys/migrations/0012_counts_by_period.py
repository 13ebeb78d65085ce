"""Hours that are counted with their minutes, and counts of keys, agents and days.

What the version before counts while both run is missing from the new counts, and its sweep adds minutes that are two
days old to hours that have them already. Both are over when it has gone.
"""

import core.fields
from django.db import migrations, models

_HOUR = {"mysql": "TIMESTAMP(DATE(start), MAKETIME(HOUR(start), 0, 0))", "sqlite": "strftime('%Y-%m-%d %H:00:00', start)"}
_AS_IT_IS_ADDED = {
    "mysql": "ON DUPLICATE KEY UPDATE number = apikeys_hourcount.number + VALUES(number)",
    "sqlite": "ON CONFLICT (tenant_id, start, outcome) DO UPDATE SET number = apikeys_hourcount.number + excluded.number",
}


def fill(apps, schema_editor):
    """Add to the new counts what the present ones tell."""
    vendor = schema_editor.connection.vendor
    with schema_editor.connection.cursor() as cursor:
        # MariaDB and SQLite would take ON for that of a join, if the query did not end with a condition.
        cursor.execute(f"""
            INSERT INTO apikeys_hourcount (tenant_id, start, outcome, number)
            SELECT tenant_id, begun, outcome, total FROM (
                SELECT tenant_id, {_HOUR[vendor]} AS begun, outcome, SUM(number) AS total
                FROM apikeys_minutecount GROUP BY tenant_id, begun, outcome
            ) AS counted WHERE TRUE {_AS_IT_IS_ADDED[vendor]}""")
        cursor.execute("""
            INSERT INTO apikeys_dailyrefusals (subject, day, outcome, number)
            SELECT tenant_id, DATE(start), outcome, SUM(number)
            FROM apikeys_hourcount WHERE outcome <> 'VALID' GROUP BY tenant_id, DATE(start), outcome""")
        cursor.execute("""
            INSERT INTO apikeys_dailyuse (subject, day, tenant_id, uses)
            SELECT '', day, '', SUM(uses) FROM apikeys_dailyuse WHERE subject = tenant_id GROUP BY day""")


def empty(apps, schema_editor):
    """Delete the hours whose minutes are kept, and the uses of the whole installation."""
    hour = _HOUR[schema_editor.connection.vendor]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM apikeys_hourcount WHERE start >= (SELECT MIN({hour}) FROM apikeys_minutecount)")
        cursor.execute("DELETE FROM apikeys_dailyuse WHERE subject = ''")


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0011_notices'),
        ('tenants', '0009_invitations'),
    ]

    operations = [
        migrations.CreateModel(
            name='DailyRefusals',
            fields=[
                ('pk', models.CompositePrimaryKey('subject', 'day', 'outcome', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subject', core.fields.IdField(max_length=50)),
                ('day', models.DateField()),
                ('outcome', core.fields.ExactCharField(max_length=20)),
                ('number', models.PositiveBigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='FiveMinuteCount',
            fields=[
                ('pk', models.CompositePrimaryKey('subject', 'start', 'outcome', blank=True, editable=False, primary_key=True, serialize=False)),
                ('subject', core.fields.IdField(max_length=50)),
                ('start', models.DateTimeField()),
                ('outcome', core.fields.ExactCharField(max_length=20)),
                ('number', models.PositiveBigIntegerField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name='hourcount',
            name='hour_count_start',
        ),
        migrations.AddIndex(
            model_name='hourcount',
            index=models.Index(fields=['start', 'outcome', 'number'], name='hour_count_rank'),
        ),
        migrations.AddIndex(
            model_name='keysecret',
            index=models.Index(fields=['leaked_at'], name='key_secret_leaked'),
        ),
        migrations.AddIndex(
            model_name='dailyrefusals',
            index=models.Index(fields=['day'], name='daily_refusals_day'),
        ),
        migrations.AddIndex(
            model_name='fiveminutecount',
            index=models.Index(fields=['start'], name='five_minute_count_start'),
        ),
        migrations.RunPython(fill, empty),
    ]

import core.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0001_initial'),
        ('tenants', '0001_initial'),
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
    ]

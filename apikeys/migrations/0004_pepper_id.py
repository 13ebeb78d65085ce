"""Another name for a column that keeps its own: this changes nothing in the database."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0003_revision'),
    ]

    operations = [
        migrations.AlterField(
            model_name='keysecret',
            name='secret_version',
            field=models.PositiveSmallIntegerField(db_column='secret_version'),
        ),
        migrations.RenameField(
            model_name='keysecret',
            old_name='secret_version',
            new_name='pepper_id',
        ),
    ]

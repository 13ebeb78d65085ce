from django.db import migrations, models

import core.revisions


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0002_fold_names_by_nfkc"),
    ]

    operations = [
        # The column stays as it is, for the version before; only the models' name for it changes.
        migrations.AlterField(
            model_name="template",
            name="revision",
            field=models.PositiveBigIntegerField(db_column="revision", default=0, editable=False),
        ),
        migrations.RenameField(
            model_name="template",
            old_name="revision",
            new_name="config_epoch",
        ),
        migrations.AddField(
            model_name="template",
            name="revision",
            field=models.PositiveBigIntegerField(
                db_column="template_revision",
                db_default=1000000000000,
                default=core.revisions.first_revision,
                editable=False,
                verbose_name="revision",
            ),
        ),
        migrations.AddField(
            model_name="agent",
            name="revision",
            field=models.PositiveBigIntegerField(
                db_default=1000000000000,
                default=core.revisions.first_revision,
                editable=False,
                verbose_name="revision",
            ),
        ),
        migrations.AddField(
            model_name="pluginsetting",
            name="revision",
            field=models.PositiveBigIntegerField(
                db_default=1000000000000,
                default=core.revisions.first_revision,
                editable=False,
                verbose_name="revision",
            ),
        ),
    ]

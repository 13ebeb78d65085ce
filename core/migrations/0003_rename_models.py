"""Renames of models and fields in the code only: tables and columns keep their names."""

from django.db import migrations, models

import core.fields


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0002_lock"),
    ]

    operations = [
        migrations.AlterModelTable(name="change", table="common_change"),
        migrations.RenameModel(old_name="Change", new_name="FeedEntry"),
        migrations.AlterField(
            model_name="feedentry",
            name="kind",
            field=core.fields.ExactCharField(
                choices=[
                    ("agent", "Agent"),
                    ("deleted", "Deleted"),
                    ("template", "Template"),
                    ("tenant", "Tenant"),
                    ("swept", "Truncated"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterModelTable(name="idempotentanswer", table="common_idempotentanswer"),
        migrations.RenameModel(old_name="IdempotentAnswer", new_name="IdempotentResponse"),
        migrations.AlterField(
            model_name="idempotentresponse",
            name="answer",
            field=models.TextField(db_column="answer"),
        ),
        migrations.RenameField(model_name="idempotentresponse", old_name="answer", new_name="response"),
    ]

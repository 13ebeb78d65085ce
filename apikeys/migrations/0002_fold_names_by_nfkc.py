from django.db import migrations

from core.refolding import Columns, refold
from core.text import fold, fold_name

NAMES = (
    ("ApiKey", Columns(name="name", scope="tenant_id")),
)


def fold_by_nfkc(apps, schema_editor):
    for model, columns in NAMES:
        refold(apps.get_model("apikeys", model), columns, fold_name)


def fold_by_nfc(apps, schema_editor):
    for model, columns in NAMES:
        refold(apps.get_model("apikeys", model), columns, fold)


class Migration(migrations.Migration):
    # A transaction a batch, so that nobody waits long for a row. What was interrupted is run again.
    atomic = False

    dependencies = [
        ("apikeys", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(fold_by_nfkc, fold_by_nfc),
    ]

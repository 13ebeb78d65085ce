"""Seal the secrets that the versions before held for none, in tenants' configs."""

from __future__ import annotations

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from agent_config.first_sealing import opened_for_before, rewrite, sealed_at_first


def seal(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Seal what is in clear."""
    rewrite(apps.get_model("tenants", "Tenant").objects.all(), tenant_config=sealed_at_first)


def unseal(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Open what the version before holds for no secret."""
    rewrite(apps.get_model("tenants", "Tenant").objects.all(), tenant_config=opened_for_before)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_revision")]
    operations = [migrations.RunPython(seal, unseal, elidable=True)]

"""Seal the secrets that the versions before held for none, in configs, their versions, templates and plugin settings.

In audit rows and in versions' patches, which nobody has to read a secret from, they are masked.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

from agent_config import secrets
from agent_config.first_sealing import opened_for_before, rewrite, sealed_at_first

CONFIGS = ("Agent", "ConfigVersion", "Template", "PluginSetting")


def seal(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Seal what is in clear; mask it where it is only told."""
    for name in CONFIGS:
        rewrite(_rows(apps, "agents", name), config=sealed_at_first)
    rewrite(_rows(apps, "agents", "ConfigVersion"), patch=secrets.masked_patch)
    audited = _rows(apps, "common", "AuditEntry").filter(object_type__in=secrets.AUDITED)
    rewrite(audited, before=secrets.masked_audit, after=secrets.masked_audit)


def unseal(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Open what the version before holds for no secret. Masks stay, because what they stood for is gone."""
    for name in CONFIGS:
        rewrite(_rows(apps, "agents", name), config=opened_for_before)


def _rows(apps: StateApps, app: str, model: str) -> Any:
    return apps.get_model(app, model)._base_manager.all()


class Migration(migrations.Migration):
    dependencies = [("agents", "0003_revision"), ("common", "0001_initial")]
    operations = [migrations.RunPython(seal, unseal, elidable=True)]

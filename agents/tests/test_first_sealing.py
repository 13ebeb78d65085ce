"""The data migrations that seal the secrets that earlier versions stored in clear, and their reversal."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from agent_config import first_sealing
from agent_config.document import MASK, SEALED
from agent_config.secrets import masked, opened, resealed
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from core import sealing
from core.models import AuditEntry
from tenants.models import Tenant
from tests.support.configs import Config
from tests.support.people import Person, make_agent
from tests.support.tables import tables

pytestmark = pytest.mark.django_db
OF_AGENTS = import_module("agents.migrations.0004_seal_documented_secrets")
OF_TENANTS = import_module("tenants.migrations.0004_seal_documented_secrets")
OLD_TOKEN = ["tok-1", "tok-2"]


def old_sealed(value: Any) -> Config:
    """Return a secret as the earlier version sealed it."""
    return {SEALED: sealing.seal(json.dumps(value))}


def old_config() -> Config:
    """Return a config as the earlier version stored it."""
    planted = old_sealed("of somebody else")
    provider = {"name": "p", "api_key": old_sealed("sk-old"), "default_headers": {"Authorization": "sk-clear"}}
    model = {"name": "m", "extra_params": {"headers": {"X": ["sk-clear"]}, "temperature": 1}}
    return {
        "config_overrides": {
            "model": {"api_providers": [provider], "models": [model]},
            "maim_message": {"auth_token": old_sealed(OLD_TOKEN)},
            "mcp": {"servers": [{"name": "s", "env": {"KEY": "sk-clear"}, "headers": planted}]},
        },
        "own": {"planted": planted, "named": {SEALED: "x"}},
    }


@pytest.fixture
def old_rows(alice: Person) -> dict[str, Any]:
    """Rows of the earlier version, in its tables."""
    config = old_config()
    agent = make_agent(alice.tenant)
    Agent.unscoped.filter(pk=agent.pk).update(config=config)
    patch = [
        {"op": "add", "path": "/config_overrides/mcp", "value": {"servers": [{"env": {"K": "sk-clear"}}]}},
        {"op": "replace", "path": "/own/headers/X~1Y", "value": "sk-clear"},
        {"op": "add", "path": "/own/api_keys/1", "value": "sk-clear"},
        {"op": "replace", "path": "/config_overrides/model/api_providers/0/default_query", "value": {"q": "sk-clear"}},
        {"op": "replace", "path": "/own/city", "value": "Paris"},
        {"op": "remove", "path": "/own/headers"},
    ]
    ConfigVersion.unscoped.update(config=config, patch=patch)
    Template.unscoped.create(name="t", name_folded="t", config=config)
    PluginSetting.unscoped.create(tenant=alice.tenant, plugin_name="p", config={"token": "sk-clear", "n": 1})
    own = {"agent_defaults": config, "crm": {"token": "sk-clear"}}
    Tenant.objects.filter(pk=alice.tenant.pk).update(tenant_config=own)
    told = {"config": config, "tenant_config": own, "name": "sk-clear is a name", "description": None}
    for object_type in ("agent", "template", "tenant", "plugin"):
        AuditEntry.objects.create(
            at=timezone.now(), action=f"{object_type}.update", object_type=object_type, before=told, after=told
        )
    return tables()


def migrate(*, backwards: bool = False) -> None:
    for migration in (OF_AGENTS, OF_TENANTS):
        (migration.unseal if backwards else migration.seal)(apps, None)


def configs() -> list[Config]:
    rows: list[Any] = [Agent.unscoped.get(), ConfigVersion.unscoped.get(), Template.unscoped.get()]
    return [*(row.config for row in rows), Tenant.objects.get().tenant_config["agent_defaults"]]


def test_all_secrets_are_sealed_and_keep_their_values(old_rows: dict[str, Any]) -> None:
    migrate()

    for table, rows in tables().items():
        assert "sk-clear" not in str(rows).replace("sk-clear is a name", ""), table
    expected = old_config()["config_overrides"]
    for config in configs():
        found = opened(config)
        assert found["config_overrides"]["model"]["models"] == expected["model"]["models"]
        assert found["config_overrides"]["maim_message"] == {"auth_token": OLD_TOKEN}
        assert found["config_overrides"]["model"]["api_providers"][0]["api_key"] == "sk-old"
        assert masked(config)["config_overrides"]["maim_message"] == {"auth_token": [MASK]}
    assert opened(PluginSetting.unscoped.get().config) == {"token": "sk-clear", "n": 1}
    assert opened(Tenant.objects.get().tenant_config)["crm"] == {"token": "sk-clear"}


def test_clients_fake_sealed_objects_are_kept_as_values(old_rows: dict[str, Any]) -> None:
    migrate()

    for config in configs():
        assert opened(config)["own"]["planted"].keys() == {SEALED}
        assert config["own"]["named"] == {SEALED: "x"}
        assert "of somebody else" not in json.dumps(opened(config))


def test_patches_and_audit_rows_are_masked(old_rows: dict[str, Any]) -> None:
    migrate()

    values = [operation.get("value") for operation in ConfigVersion.unscoped.get().patch]
    assert values == [{"servers": [{"env": {"K": MASK}}]}, MASK, MASK, {"q": MASK}, "Paris", None]
    for entry in AuditEntry.objects.exclude(object_type="user"):
        assert entry.after is None or entry.after.get("name") != MASK
        assert "sk-clear" not in json.dumps([entry.before, entry.after]).replace("sk-clear is a name", "")


def test_second_run_changes_nothing(old_rows: dict[str, Any]) -> None:
    migrate()
    before = tables()

    for name in ("Agent", "ConfigVersion", "Template", "PluginSetting"):
        for config in apps.get_model("agents", name)._base_manager.values_list("config", flat=True):
            assert resealed(config).is_changed is False
    assert tables() == before


def test_reverse_migration_restores_the_earlier_format(
    old_rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_sealing, "BATCH", 1)
    migrate()
    migrate(backwards=True)

    for config in configs():
        provider = config["config_overrides"]["model"]["api_providers"][0]
        assert provider["default_headers"] == {"Authorization": "sk-clear"}
        assert json.loads(sealing.unseal(provider["api_key"][SEALED])) == "sk-old"
        # In brackets, which Fernet's base64 passes over: so the version before reads it.
        token = config["config_overrides"]["maim_message"]["auth_token"][SEALED]
        assert token.startswith("[")
        assert json.loads(sealing.unseal(token)) == OLD_TOKEN
        assert config["own"]["planted"].keys() == {SEALED}
    assert PluginSetting.unscoped.get().config == {"token": "sk-clear", "n": 1}
    assert Tenant.objects.get().tenant_config["crm"] == {"token": "sk-clear"}

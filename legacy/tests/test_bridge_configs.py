"""Configs in the old tables after one pass of the bridge, and their secrets."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agents.models import Agent
from agents.services import plugins, templates
from legacy.tests.bridge_command import bridge, chat, set_config
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import OldDatabase, connect
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.old_bot import OldBot
from tests.support.people import OPERATOR, make_agent

pytestmark = pytest.mark.django_db

PROVIDER = {"name": "own", "base_url": "https://own.example/v1", "api_key": "sk-own"}


def section(bot: OldBot, agent: Agent, name: str = "chat") -> Any:
    config = bot.config(agent.id)
    assert config is not None
    return config["config_overrides"].get(name)


def provider(*, agent_id: str, bot: OldBot) -> tuple[Any, Any]:
    config = bot.config(agent_id)
    assert config is not None
    (found,) = config["config_overrides"]["model"]["api_providers"]
    return found["api_key"], found["base_url"]


def test_bot_reads_the_effective_config_without_system_defaults(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    template = templates.create_template(
        actor=OPERATOR, tenant=None, name="calm", config=chat(talk_value=0.1, max_context_size=7, planner_size=2.5)
    )
    tenants.update_tenant(
        actor=OPERATOR,
        tenant=tenant,
        changes={"tenant_config": {"agent_defaults": chat(talk_value=0.2, max_context_size=8)}},
    )
    agent = make_agent(tenant, template_id=template.id, config=chat(talk_value=0.3))

    bridge(shared)

    config = bot.config(agent.id)
    assert config is not None
    shown = {name: section(bot, agent)[name] for name in ("talk_value", "max_context_size", "planner_size")}
    assert shown == pytest.approx({"talk_value": 0.3, "max_context_size": 8, "planner_size": 2.5})
    assert config["config_overrides"]["model"] == {"api_providers": [], "models": []}
    assert "emoji" not in config["config_overrides"]
    assert "agent_defaults" not in str(shared.value("tenants", tenant.id, "tenant_config"))


def test_changed_template_updates_its_agents(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    template = templates.create_template(actor=OPERATOR, tenant=None, name="calm", config=chat(talk_value=0.1))
    agent = make_agent(tenant, template_id=template.id)
    bridge(shared)

    templates.update_template(actor=OPERATOR, template=template, changes={"config": chat(talk_value=0.9)})
    bridge(shared)

    assert section(bot, agent)["talk_value"] == pytest.approx(0.9)


def test_removed_fields_are_removed(shared: OldDatabase, bot: OldBot, tenant: Tenant) -> None:
    models = [{"name": "a", "model_identifier": "x"}, {"name": "b", "model_identifier": "y"}]
    agent = make_agent(tenant, config={"persona": "calm", "config_overrides": {"model": {"models": models}}})
    bridge(shared)

    set_config(agent, {"persona": None, "config_overrides": {"model": {"models": models[1:]}}})
    bridge(shared)

    config = bot.config(agent.id)
    assert config is not None
    assert "persona" not in config
    assert [model["name"] for model in config["config_overrides"]["model"]["models"]] == ["b"]


def test_duplicate_rows_of_a_section_are_reduced_to_one(shared: OldDatabase, bot: OldBot, tmp_path: Path) -> None:
    old_tenant = shared.tenant()
    agent_id = shared.agent(old_tenant, config={"persona": "old"})
    shared.section("personality_configs", agent_id, personality="older")
    import_from(shared, tmp_path)

    set_config(Agent.unscoped.get(pk=agent_id), {"persona": "new"})
    bridge(shared)

    assert bot.number_of_rows(agent_id)["personality_configs"] == 1
    config = bot.config(agent_id)
    assert config is not None
    assert config["persona"]["personality"] == "new"


def test_without_secrets_only_existing_ones_stay(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, tmp_path: Path
) -> None:
    config = {"config_overrides": {"model": {"api_providers": [PROVIDER]}, "maim_message": {"auth_token": ["t-old"]}}}
    came_over = shared.agent(shared.tenant(), config=config)
    import_from(shared, tmp_path)
    made_here = make_agent(tenant, config=config)

    bridge(shared)

    assert provider(agent_id=came_over, bot=bot) == ("sk-own", "https://own.example/v1")
    assert section(bot, Agent.unscoped.get(pk=came_over), "maim_message") == {"auth_token": ["t-old"]}
    assert provider(agent_id=made_here.id, bot=bot) == (None, None)
    assert "auth_token" not in json.dumps(bot.config(made_here.id))


@pytest.mark.parametrize("change", [{"api_key": "sk-new"}, {"base_url": "https://new.example/v1"}])
def test_changed_provider_loses_its_key_and_address(
    shared: OldDatabase, bot: OldBot, tmp_path: Path, change: dict[str, str]
) -> None:
    agent_id = shared.agent(shared.tenant(), config={"config_overrides": {"model": {"api_providers": [PROVIDER]}}})
    import_from(shared, tmp_path)
    changed = {"config_overrides": {"model": {"api_providers": [{**PROVIDER, **change}]}}}
    set_config(Agent.unscoped.get(pk=agent_id), changed)

    bridge(shared)

    assert provider(agent_id=agent_id, bot=bot) == (None, None), "no known key goes to an address that is not known"
    assert "sk-" not in str(shared.value("agents", agent_id, "config"))


def test_with_secrets_they_are_written_in_clear_and_stay_without(
    shared: OldDatabase, bot: OldBot, tenant: Tenant
) -> None:
    agent = make_agent(tenant, config={"config_overrides": {"model": {"api_providers": [PROVIDER]}}})

    bridge(shared, "--once", "--with-secrets")
    assert provider(agent_id=agent.id, bot=bot) == ("sk-own", "https://own.example/v1")

    bridge(shared)
    assert provider(agent_id=agent.id, bot=bot) == ("sk-own", "https://own.example/v1")


def test_secrets_that_cannot_be_opened_are_left_out(
    shared: OldDatabase, bot: OldBot, tenant: Tenant, settings: Any
) -> None:
    config = {**chat(talk_value=0.5)["config_overrides"], "model": {"api_providers": [PROVIDER]}}
    agent = make_agent(tenant, config={"config_overrides": config})
    settings.ENCRYPTION_KEYS = ("bm90aGVyIGZlcm5ldCBrZXkgb2YgMzIgYnl0ZXMgMTI=",)

    assert bridge(shared, "--once", "--with-secrets").status == 0

    assert provider(agent_id=agent.id, bot=bot) == (None, None)
    assert section(bot, agent)["talk_value"] == pytest.approx(0.5)


@pytest.mark.parametrize("with_secrets", [False, True])
def test_secrets_of_tenants_and_plugins_are_written_only_on_request(
    shared: OldDatabase, tenant: Tenant, with_secrets: bool
) -> None:
    document = {"city": "上海", "headers": {"X-Own": "sk-own"}, "token": "sk-own"}
    tenants.update_tenant(actor=OPERATOR, tenant=tenant, changes={"tenant_config": document})
    plugins.set_plugin(actor=OPERATOR, tenant=tenant, agent=None, plugin_name="weather", enabled=True, config=document)

    bridge(shared, "--once", *(["--with-secrets"] if with_secrets else []))

    shown = document if with_secrets else {"city": "上海", "headers": {}}
    assert json.loads(shared.value("tenants", tenant.id, "tenant_config")) == shown
    with closing(connect(shared.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT config FROM plugin_settings")
        assert json.loads(cursor.fetchone()[0]) == shown

"""Imported agents: their names and configs, and faults in the old data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_config import secrets
from agents.models import Agent
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import AGENT_ID, TENANT_ID, OldDatabase
from tenants.models import Tenant
from tests.support.people import make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_later_of_two_names_that_differ_by_width_or_invisible_characters_is_renamed(
    old: OldDatabase, tmp_path: Path
) -> None:
    old.tenant()
    for number, name in enumerate(("客服Ａ", "客服A", "客服\u200bA", "\ufdfa" * 100, "\ufdfa" * 99), start=1):
        old.agent(TENANT_ID, f"agent_{number}", name, created_at=f"2026-01-0{number} 00:00:00")

    run = import_from(old, tmp_path)

    assert dict(Agent.unscoped.values_list("id", "name")) == {
        "agent_1": "客服Ａ",
        "agent_2": "客服A (agent_2)",
        "agent_3": "客服A (agent_3)",
        "agent_4": "\ufdfa" * 16,
        "agent_5": "\ufdfa" * 15 + " (agent_5)",
    }
    assert set(run.reasons("agents")) == {"renamed"}


def test_later_of_two_agents_with_the_same_name_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, "agent_2", "bot", created_at="2026-01-02 00:00:00")
    old.agent(TENANT_ID, "agent_1", "BOT", created_at="2026-01-01 00:00:00")

    run = import_from(old, tmp_path)

    assert set(Agent.unscoped.values_list("id", "name")) == {("agent_1", "BOT"), ("agent_2", "bot (agent_2)")}
    assert run.reasons("agents") == ["renamed"]


def test_agent_whose_name_is_taken_in_maim_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    import_from(old, tmp_path)
    make_agent(Tenant.objects.get(), "bot")
    old.agent(TENANT_ID, "agent_1", "bot")

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get(pk="agent_1").name == "bot (agent_1)"
    assert run.reasons("agents") == ["renamed"]


@pytest.mark.parametrize("raw", ["{oops", '{"a": NaN}', "[" * 60 + "]" * 60, '{"a": 1, "a": 2}'])
def test_invalid_json_is_left_out_and_the_tables_are_read(raw: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, AGENT_ID, config=raw)
    old.section("tool_config_overrides", AGENT_ID, enable_tool=True)

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"tool": {"enable_tool": True}}}
    assert run.reasons("agents") == ["bad JSON"]


def test_config_value_that_the_schema_refuses_is_kept_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, AGENT_ID, config=json.dumps({"config_overrides": {"chat": {"talk_value": "often"}}}))

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"chat": {"talk_value": "often"}}}
    assert run.reasons("agents") == ["config is odd"]


def test_config_part_that_cannot_be_merged_is_left_out_and_reported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(
        TENANT_ID,
        AGENT_ID,
        config=json.dumps({"persona": 7, "config_overrides": {"model": {"models": [{"no": "name"}]}}, "a": 1}),
    )

    run = import_from(old, tmp_path)

    assert Agent.unscoped.get().config == {"config_overrides": {"model": {"models": []}}, "a": 1}
    assert run.reasons("agents") == ["config partly left out"]


def test_secrets_of_providers_are_sealed(old: OldDatabase, tmp_path: Path) -> None:
    providers = [{"name": "own", "api_key": "sk-very-secret", "base_url": "https://own.example"}]
    old.tenant()
    old.agent(TENANT_ID, AGENT_ID, config={"config_overrides": {"model": {"api_providers": providers}}})

    import_from(old, tmp_path)

    stored = Agent.unscoped.get().config
    assert "sk-very-secret" not in json.dumps(stored)
    assert secrets.opened(stored)["config_overrides"]["model"]["api_providers"] == providers


def test_oversized_text_is_cut_and_oversized_json_left_out(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, AGENT_ID, description="d" * 3_000_000, config=json.dumps({"own": "c" * 3_000_000}))

    run = import_from(old, tmp_path)

    agent = Agent.unscoped.get()
    assert (len(agent.description or ""), agent.config) == (1024 * 1024, {})
    assert sorted(run.reasons("agents")) == ["bad JSON", "text changed"]


def test_unknown_template_id_is_kept(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID, AGENT_ID, template_id="tmpl_x")

    import_from(old, tmp_path)

    assert Agent.unscoped.get().template_id == "tmpl_x"

"""A bridge to databases of old systems that were in use: an old bot reads there what is set in maim."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Agent, AgentActivity
from core.http.surfaces import INTERNAL
from legacy.tests.bridge_command import bridge, counts
from legacy.tests.import_command import Run
from legacy.tests.samples import Sample
from tests.support.client import SurfaceClient
from tests.support.old_bot import OldBot, differences

pytestmark = pytest.mark.heavy


def put_config(agent_id: str, config: dict[str, Any]) -> None:
    answer = SurfaceClient(INTERNAL).send("PUT", f"/api/v2/agents/{agent_id}/config?replace=true", config)
    assert answer.status_code == 200, answer.json()


def changed(config: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the config with other values, for each kind of column and table, and without a section."""
    config = copy.deepcopy(config)
    persona = config.get("persona")
    persona = {"personality": persona} if isinstance(persona, str) else persona or {}
    config["persona"] = {**persona, "personality": f"人格 {number} 🤖", "states": ["累"], "state_probability": 0.5}
    config["bot_overrides"] = {"nickname": f"Mai {number}", "alias_names": ["麦麦"]}
    overrides = config.setdefault("config_overrides", {})
    overrides.pop("mood", None)
    overrides["chat"] = {"talk_value": 0.123456789, "include_planner_reasoning": True, "mentioned_bot_reply": False}
    overrides["voice"] = {"enable_asr": True}
    overrides["debug"] = {"show_prompt": True}
    overrides["model"] = {
        "api_providers": [{"name": "新的", "base_url": "https://new.example/v1", "api_key": f"sk-new-{number}"}],
        "models": [{"name": "m", "model_identifier": "x", "api_provider": "新的", "temperature": 0.7}],
    }
    return config


def test_old_bot_reads_every_changed_config(sample: Sample, imported: Run) -> None:
    bot = OldBot(sample.config)
    agents = list(Agent.unscoped.order_by("pk"))
    sent = {agent.id: changed(agent.config, number) for number, agent in enumerate(agents)}
    for agent_id, config in sent.items():
        config["config_overrides"].pop("maim_message", None)
        put_config(agent_id, config)

    outcome = bridge(sample.config, "--once", "--with-secrets")

    assert outcome.status == 0, outcome.err
    assert counts(outcome)["agents"] == {"updated": len(agents)}
    for agent_id, config in sent.items():
        read = bot.config(agent_id)
        assert differences(config, read) == [], agent_id
        assert "mood_config_overrides" not in bot.number_of_rows(agent_id)


def test_old_bot_reads_unchanged_configs_as_before(sample: Sample, imported: Run) -> None:
    bot = OldBot(sample.config)
    before = {agent["id"]: bot.config(agent["id"]) for agent in sample.expected["agents"]}

    bridge(sample.config)

    for agent in sample.expected["agents"]:
        config = agent["config_sent"] or {}
        if isinstance(config.get("persona"), str):
            config = {**config, "persona": {"personality": config["persona"]}}
        assert differences(config, bot.config(agent["id"])) == [], "with the secrets that were there"
        was = before[agent["id"]]
        assert was is not None
        assert differences(config, was) == [], "which the reader finds before, too"


def test_second_pass_writes_nothing(sample: Sample, imported: Run) -> None:
    first = bridge(sample.config)
    second = bridge(sample.config)

    assert first.status == second.status == 0, first.err + second.err
    assert counts(second) == {}


def test_dry_run_reports_what_a_pass_writes(sample: Sample, imported: Run) -> None:
    dry_run = bridge(sample.config, "--dry-run")
    second_dry_run = bridge(sample.config, "--dry-run")
    applied = bridge(sample.config)

    assert counts(dry_run) == counts(second_dry_run) == counts(applied)


def test_orphans_of_the_old_database_stay(sample: Sample, imported: Run) -> None:
    bot, orphan = OldBot(sample.config), sample.expected["orphans"]["agent_id"]

    bridge(sample.config)

    assert bot.status(orphan) is not None


def test_heartbeats_are_imported_and_the_later_one_wins(sample: Sample, imported: Run) -> None:
    bot = OldBot(sample.config)
    active = Agent.unscoped.filter(status="active", tenant__status="active")
    first, second = active.order_by("pk")[:2]
    now = timezone.now().replace(microsecond=0)
    AgentActivity.unscoped.filter(agent__in=[first, second]).delete()
    bot.beat(first.tenant_id, first.id, now)
    bot.beat(second.tenant_id, second.id, now)
    later = now + timedelta(minutes=1)
    AgentActivity.unscoped.create(
        agent=second, tenant_id=second.tenant_id, last_seen_at=later, ttl_seconds=60,
        expires_at=later + timedelta(minutes=1),
    )  # fmt: skip

    bridge(sample.config)

    assert AgentActivity.unscoped.get(pk=first.pk).last_seen_at == now
    assert AgentActivity.unscoped.get(pk=second.pk).last_seen_at == later


@pytest.mark.parametrize("argument", ["--once", "--dry-run"])
def test_output_and_log_have_no_secrets(
    sample: Sample, imported: Run, argument: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = bridge(sample.config, argument, "--with-secrets")

    output = outcome.out + outcome.err + caplog.text
    for secret in ("sk-", "mmc_", "$2b$"):
        assert secret not in output

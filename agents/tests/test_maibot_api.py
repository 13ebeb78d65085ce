"""The bot's own files over HTTP: `POST /agents/import` with `"format": "maibot"`."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from agents.tests.api import AgentApi
from core.models import AuditEntry
from tests.support.api import VERSIONS
from tests.support.configs import MASK, stored
from tests.support.people import Person
from tests.support.server import ROOT
from tests.support.tables import tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

BOTS = ROOT / "tests/support/bots"
FILES = {
    "bot": (BOTS / "0.12/bot_config.toml").read_text(encoding="utf-8"),
    "model": (BOTS / "0.12/model_config.toml").read_text(encoding="utf-8"),
}


@pytest.fixture(params=VERSIONS)
def api(request: pytest.FixtureRequest, alice: Person) -> AgentApi:
    return AgentApi(request.param, alice)


def send(api: AgentApi, query: str = "", **body: Any) -> Any:
    whole = {"format": "maibot", "name": "bot", "tenant_id": api.tenant_id, **body}
    return api.send("POST", f"/agents/import{query}", whole)


def test_files_become_an_agent_with_a_report(api: AgentApi) -> None:
    data = api.data(send(api, **FILES, tags=["moved"], description="from the old machine"))

    agent = data["agent"]
    assert (agent["name"], agent["tags"], agent["config_schema"]) == ("bot", ["moved"], "maibot-0.12")
    assert agent["config"]["config_overrides"]["model"]["api_providers"][0]["api_key"] == MASK
    assert [note["path"] for note in data["report"].pop("repairs")] == [
        "config_overrides.model.api_providers[1].api_key",
        "config_overrides.model.api_providers[1].api_keys",
    ]
    assert data["report"] == {
        "config_schema": "maibot-0.12",
        "left_out": [],
        "unknown": ["config_overrides.dream.dream_time_ranges"],
    }
    assert stored()["bot_overrides"]["nickname"] == "十二"
    assert [row.action for row in AuditEntry.objects.filter(object_id=agent["id"])] == ["agent.create"]


def test_empty_files_make_an_agent_without_values(api: AgentApi) -> None:
    assert api.data(send(api, bot="", model=""))["agent"]["config"] == {"config_overrides": {"model": {}}}


@pytest.mark.parametrize("file", FILES)
def test_either_file_suffices(api: AgentApi, file: str) -> None:
    assert api.data(send(api, **{file: FILES[file]}))["report"]["config_schema"] == "maibot-0.12"


def test_dry_run_shows_config_and_changes_without_secrets(api: AgentApi) -> None:
    before = tables()

    data = api.data(send(api, "?dry_run=1", **FILES))

    assert tables() == before
    assert (data["agent"], data["preview"]["config"]["bot_overrides"]["nickname"]) == (None, "十二")
    changes = {change["path"]: change.get("value") for change in data["preview"]["changes"]}
    assert changes["/bot_overrides/nickname"] == "十二"
    assert "sk-5f1b2c3d4e" not in str(data)


def test_tenant_may_be_in_the_query(api: AgentApi) -> None:
    api.data(send(api, f"?tenant_id={api.tenant_id}", tenant_id=None, **FILES))

    assert Agent.unscoped.get().tenant_id == api.tenant_id


def test_strangers_tenant_is_not_found(alice: Person, charlie: Person) -> None:
    api = AgentApi("v1", charlie)

    api.assert_error(send(api, tenant_id=alice.tenant.id, **FILES), 404, "TENANT_001")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "bot"),
        ({"bot": "[bot"}, "bot"),
        ({"model": "a = nan"}, "model"),
        ({"bot": 5}, "bot"),
        ({"bot": "#" * 131_073}, "bot"),
        ({"bot": "", "format": "mofox"}, "format"),
        ({"bot": "", "name": ""}, "name"),
    ],
)
def test_bad_files_are_named(api: AgentApi, body: dict[str, Any], field: str) -> None:
    before = tables()

    api.assert_error(send(api, **body), 400, "VALIDATION_ERROR", field)

    assert tables() == before


def test_strict_handling_refuses_warnings(api: AgentApi) -> None:
    body = {"format": "maibot", "name": "bot", "tenant_id": api.tenant_id, "bot": "[chat]\ntalk_value = 5"}

    response = api.send("POST", "/agents/import", body, HTTP_PREFER="handling=strict")

    api.assert_error(response, 400, "AGENT_004", "config_overrides.chat.talk_value")


def test_exported_file_has_no_report(api: AgentApi) -> None:
    document = {"maim_export": 1, "name": "bot"}

    data = api.data(api.send("POST", f"/agents/import?tenant_id={api.tenant_id}", document))

    assert (data["report"], data["preview"]) == (None, None)

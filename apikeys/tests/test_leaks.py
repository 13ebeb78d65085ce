"""Leaks: a secret that was seen where it should not be ends at once, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat
from apikeys.models import KeySecret
from apikeys.tests.api import KeyApi
from apikeys.tests.asking import code_of, report_leak
from core import epoch
from core.models import AuditEntry, Invalidation
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.people import make_key
from tests.support.tables import changed_tables, tables

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_response_names_the_key(agent: Agent) -> None:
    issued = make_key(agent)

    answer = report_leak(issued.secret, where="https://example.com/paste/1")

    assert list(answer) == ENVELOPE
    assert (answer["success"], answer["tenant_id"], answer["error"]) == (True, agent.tenant_id, None)
    assert answer["data"] == {
        "api_key_id": issued.key.id,
        "tenant_id": agent.tenant_id,
        "agent_id": agent.id,
        "was_current": True,
    }


def test_the_secret_is_dead_and_the_key_is_as_it_was(api: KeyApi) -> None:
    key = api.create()
    before = api.get(key)

    with travel(NOON, tick=False):
        report_leak(key["api_key"])

    assert code_of(key["api_key"]) == "AUTH_004"
    moved = {"leaked_at": "2026-01-31T12:00:00Z", "revision": before["revision"] + 1}
    if api.is_enveloped:
        moved["updated_at"] = "2026-01-31T12:00:00Z"
    assert api.get(key) == {**before, **moved}
    assert api.listed()[0]["leaked_at"] == "2026-01-31T12:00:00Z"


def test_enabling_the_key_does_not_revive_it(enveloped: KeyApi) -> None:
    key = enveloped.create()
    report_leak(key["api_key"])

    for verb in ("disable", "enable"):
        enveloped.data(enveloped.send("POST", f"{enveloped.key_path(key)}/{verb}"))
    enveloped.put(key, expires_at="2990-01-01T00:00:00Z", status="active")

    assert code_of(key["api_key"]) == "AUTH_004"


@pytest.mark.parametrize("grace", [0, 3600])
def test_a_rotation_gives_the_key_a_good_secret_again(api: KeyApi, grace: int) -> None:
    key = api.create()
    report_leak(key["api_key"])

    rotated = api.rotate(key, grace_seconds=grace)

    assert rotated["leaked_at"] is None
    assert (code_of(key["api_key"]), code_of(rotated["api_key"])) == ("AUTH_004", "VALID"), "no grace for a leaked one"


def test_one_that_was_rotated_out_dies_without_its_successor(api: KeyApi) -> None:
    first = api.create()
    second = api.rotate(first, grace_seconds=3600)
    third = api.rotate(first, grace_seconds=3600)

    answer = report_leak(first["api_key"])

    assert answer["data"]["was_current"] is False
    codes = [code_of(key["api_key"]) for key in (first, second, third)]
    assert codes == ["AUTH_004", "VALID", "VALID"]
    assert api.get(first)["leaked_at"] is None


def test_leak_spares_other_keys_of_the_agent(agent: Agent) -> None:
    leaked, other = make_key(agent), make_key(agent)

    report_leak(leaked.secret)

    assert (code_of(leaked.secret), code_of(other.secret)) == ("AUTH_004", "VALID")


def test_first_report_is_stored_and_every_report_audited(agent: Agent) -> None:
    issued = make_key(agent)
    for minutes, where in enumerate(("a public repository", "a forum", None)):
        with travel(NOON + timedelta(minutes=minutes), tick=False):
            assert report_leak(issued.secret, **({} if where is None else {"where": where}))["success"]

    secret = KeySecret.objects.get()
    assert (secret.leaked_at, secret.leaked_where) == (NOON, "a public repository")
    rows = AuditEntry.objects.filter(action="key.report_leak", object_id=issued.key.id).order_by("id")
    hint = keyformat.parse(issued.secret).hint
    assert [row.after for row in rows] == [
        {"hint": hint, "where": "a public repository"},
        {"hint": hint, "where": "a forum"},
        {"hint": hint, "where": None},
    ]
    assert {row.tenant_id for row in rows} == {agent.tenant_id}


def test_every_report_invalidates_the_key(agent: Agent) -> None:
    """A later report, too, is answered only when every worker refuses the secret."""
    issued = make_key(agent)

    for _ in range(2):
        report_leak(issued.secret)

    assert [row.subject for row in Invalidation.objects.exclude(subject=epoch.NOTHING)] == [issued.key.id] * 2


def test_where_is_stored_without_the_secret(agent: Agent) -> None:
    issued, other = make_key(agent), make_key(agent)

    report_leak(issued.secret, where=f"https://example.com/?key={issued.secret}&other={other.secret}#top")

    assert KeySecret.objects.get(key=issued.key).leaked_where == "https://example.com/?key=mmc_…&other=mmc_…#top"
    everything = str(tables())
    assert issued.secret[4:] not in everything
    assert other.secret[4:] not in everything


@pytest.mark.parametrize("where", ["🤖" * 2000, "on a forum, page 5", "https://example.com/a b?c=d#e", None])
def test_where_must_be_a_text(agent: Agent, where: str | None) -> None:
    report_leak(make_key(agent).secret, where=where)

    assert KeySecret.objects.get().leaked_where == where


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "api_key"),
        ({"api_key": 5}, "api_key"),
        ({"api_key": "mmc_", "where": "x" * 2001}, "where"),
        ({"api_key": "mmc_", "where": ["a forum"]}, "where"),
        ({"api_key": "mmc_", "where": "  "}, "where"),
    ],
)
def test_bad_input_is_400(internal: SurfaceClient, body: dict[str, Any], field: str) -> None:
    response = internal.send("POST", "/api/v2/auth/report-leaked-key", body)

    assert (response.status_code, response.json()["error_code"]) == (400, "VALIDATION_ERROR")
    assert list(response.json()["data"]["errors"]) == [field]


def test_unknown_and_malformed_keys_get_the_usual_errors(internal: SurfaceClient, agent: Agent) -> None:
    make_key(agent)
    unknown = keyformat.generate(agent.tenant_id, agent.id)
    before = tables()

    for api_key, code in (
        ("", "AUTH_001"),
        ("mmc_junk", "AUTH_001"),
        (unknown[:-4], "AUTH_001"),
        (unknown, "AUTH_005"),
    ):
        answer = report_leak(api_key, where="a forum")

        judged = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": api_key}).json()
        changing = ("timestamp", "request_id", "execution_time")
        assert answer["data"] == {"valid": False, "code": code}
        assert {name: answer[name] for name in answer if name not in changing} == {
            name: judged[name] for name in judged if name not in changing
        }
    assert changed_tables(before, tables()) == set()


def test_no_secret_is_logged(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    issued = make_key(agent)

    report_leak(issued.secret, where="a forum")

    assert "report-leaked-key" in caplog.text
    assert issued.secret[4:] not in caplog.text


def test_leak_reports_are_internal_only(public: SurfaceClient) -> None:
    assert public.send("POST", "/api/v2/auth/report-leaked-key", {"api_key": "mmc_"}).status_code == 404

"""`manage.py keys verify`: whose a key is, and whether it is good."""

from __future__ import annotations

import getpass
import json
import re
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.conf import settings

from agents import services as agents
from agents.models import Agent, AgentStatus
from apikeys import keyformat, services, verification
from apikeys.models import ApiKey, DailyUse
from apikeys.services import IssuedKey
from apikeys.tests.commands import keys, secrets_in
from core.commands.exit_codes import ExitCode
from tests.support.commands import Outcome, Terminal
from tests.support.people import OPERATOR, make_key

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def verify(secret: str, *arguments: str) -> Outcome:
    """Run `keys verify` with the secret on standard input, and check that it prints no secret."""
    outcome = keys("verify", *arguments, stdin=StringIO(f"{secret}\n"))
    assert secrets_in(outcome.out + outcome.err) == []
    return outcome


def test_good_key_is_shown_with_its_owners_and_permissions(agent: Agent, issued: IssuedKey) -> None:
    assert verify(issued.secret, "--json").document == {
        "valid": True,
        "code": "VALID",
        "explanation": None,
        "has_permission": None,
        "api_key_id": issued.key.id,
        "key_name": "production",
        "agent_id": agent.id,
        "agent_name": agent.name,
        "tenant_id": agent.tenant_id,
        "permissions": ["chat", "config.*"],
        "status": "active",
        "expires_at": None,
        "good_until": None,
        "rate_limit": None,
        "quota": None,
    }

    outcome = verify(issued.secret)

    assert (outcome.status, outcome.err) == (0, "")
    assert re.search("^verdict +VALID$", outcome.out, re.MULTILINE)
    assert re.search(rf"^key +production \({issued.key.id}\)$", outcome.out, re.MULTILINE)
    assert re.search(r"^permissions +chat, config\.\*$", outcome.out, re.MULTILINE)


def test_no_use_is_counted(agent: Agent, issued: IssuedKey) -> None:
    verify(issued.secret)

    stored = ApiKey.objects.in_tenants([agent.tenant_id]).get()
    assert (stored.usage_count, stored.last_used_at) == (0, None)
    assert not DailyUse.objects.in_tenants([agent.tenant_id]).exists()


@pytest.mark.parametrize(
    ("expression", "status", "code"),
    [
        ("chat", 0, "VALID"),
        ("chat and (config.read or admin)", 0, "VALID"),
        ("chat and admin", ExitCode.NO, "AUTH_003"),
    ],
)
def test_required_permission_is_checked(issued: IssuedKey, expression: str, status: int, code: str) -> None:
    outcome = verify(issued.secret, "--permission", expression, "--json")

    told = json.loads(outcome.out)
    assert (outcome.status, outcome.err) == (status, "")
    assert (told["valid"], told["has_permission"], told["code"]) == (True, status == 0, code)


def test_invalid_expression_is_refused(issued: IssuedKey) -> None:
    outcome = verify(issued.secret, "--permission", "chat and")

    assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
    assert outcome.err.startswith("--permission: ")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("10.1.2.3", 0),
        ("::ffff:10.1.2.3", 0),
        ("192.0.2.1", ExitCode.NO),
        ("2001:db8::1", ExitCode.NO),
        (None, ExitCode.NO),
    ],
)
def test_client_address_is_checked(agent: Agent, address: str | None, status: int) -> None:
    secret = make_key(agent, allowed_networks=["10.0.0.0/8"]).secret

    outcome = verify(secret, *(["--client-ip", address] if address else []))

    assert outcome.status == status
    assert ("AUTH_008" in outcome.out) == (status != 0)


@pytest.mark.parametrize("code", ["AUTH_001", "AUTH_002", "AUTH_004", "AUTH_005", "AUTH_007"])
def test_refused_key_is_explained(agent: Agent, issued: IssuedKey, code: str) -> None:
    secret, whose = issued.secret, issued.key.id
    match code:
        case "AUTH_001":
            secret, whose = secret[:-5], None
        case "AUTH_002":
            services.update_key(actor=OPERATOR, key=issued.key, changes={"expires_at": NOON})
        case "AUTH_004":
            services.disable_key(actor=OPERATOR, key=issued.key)
        case "AUTH_005":
            secret, whose = keyformat.generate(agent.tenant_id, agent.id), None
        case "AUTH_007":
            agents.update_agent(actor=OPERATOR, agent=agent, changes={"status": AgentStatus.INACTIVE})

    people, programs = verify(secret), verify(secret, "--json")

    assert people.status == programs.status == ExitCode.NO
    told = json.loads(programs.out)
    assert (told["valid"], told["code"], told["api_key_id"]) == (False, code, whose)
    assert f"{code}: {told['explanation']}" in people.out
    assert people.err == programs.err == ""


def test_remaining_uses_are_shown(agent: Agent) -> None:
    secret = make_key(
        agent, rate_limit={"limit": 100, "window_seconds": 86_400}, quota={"limit": 2, "period": "month"}
    ).secret
    verification.verify(secret, use=True)

    told, people = verify(secret, "--json").document, verify(secret).out

    assert (told["valid"], told["quota"]["limit"], told["quota"]["remaining"]) == (True, 2, 1)
    assert told["quota"]["reset"].endswith("-01T00:00:00Z"), "the first of the next month"
    assert re.search(f"^quota +1 of 2 left, more at {told['quota']['reset']}$", people, re.MULTILINE)
    rate = told["rate_limit"]
    if settings.REDIS_URL:
        assert (rate["limit"], rate["remaining"]) == (100, 99)
        assert re.search(f"^rate limit +99 of 100 left, more at {rate['reset']}$", people, re.MULTILINE)
    else:
        # What the server has counted is not to be seen from here; a wrong number would be worse.
        assert rate == {"limit": 100, "remaining": None, "reset": None}
        assert re.search("^rate limit +100; only the server knows", people, re.MULTILINE)


def test_key_is_typed_unseen_at_a_terminal(issued: IssuedKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f" {issued.secret}")

    assert keys("verify", stdin=Terminal()).status == 0


@pytest.mark.parametrize("nothing", ["", "   "])
def test_no_key_is_refused(nothing: str, db: None) -> None:
    assert verify(nothing).status == ExitCode.REFUSED


def test_key_as_an_argument_is_refused_and_not_repeated(issued: IssuedKey) -> None:
    outcome = keys("verify", issued.secret)

    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert "standard input" in outcome.err
    assert secrets_in(outcome.err) == []

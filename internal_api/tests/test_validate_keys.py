"""Up to a hundred keys at once: each answered as if it had been asked alone, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from apikeys import keyformat
from apikeys.models import ApiKey
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
PATH = "/api/v2/auth/validate-api-keys"
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
ITEM = ["success", "error", "error_code", "data"]
A_MINUTE = {"limit": 2, "window_seconds": 60}


class Bots:
    """Alice's bots, their keys, and the requests they send."""

    def __init__(self, alice: Person, internal: SurfaceClient) -> None:
        self.agent, self._internal = make_agent(alice.tenant), internal

    def key(self, **fields: Any) -> str:
        return make_key(self.agent, **fields).secret

    def send(self, items: Any) -> Any:
        return self._internal.send("POST", PATH, {"items": items})

    def validate(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the responses to these items."""
        response = self.send(list(items))
        assert response.status_code == 200, response.content
        envelope = response.json()
        assert list(envelope) == ENVELOPE
        assert (envelope["success"], envelope["error"], envelope["tenant_id"]) == (True, None, None)
        answers: list[dict[str, Any]] = envelope["data"]["items"]
        assert list(envelope["data"]) == ["items"]
        assert all(list(answer) == ITEM for answer in answers)
        return answers

    def validate_alone(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the response to an item that is sent alone."""
        envelope = self._internal.send("POST", "/api/v2/auth/validate-api-key", item).json()
        return {name: envelope[name] for name in ITEM}


@pytest.fixture
def bots(alice: Person, internal: SurfaceClient) -> Bots:
    return Bots(alice, internal)


def codes(answers: list[dict[str, Any]]) -> list[str | None]:
    return [answer["error_code"] for answer in answers]


def uses() -> int:
    return sum(ApiKey.unscoped.values_list("usage_count", flat=True))


def test_responses_are_in_order_and_as_if_each_were_alone(bots: Bots) -> None:
    good, inside = bots.key(permissions=["chat"]), bots.key(allowed_networks=["10.0.0.0/8"])
    items: list[dict[str, Any]] = [
        {"api_key": UNKNOWN},
        {"api_key": good},
        {"api_key": "nonsense"},
        {"api_key": good, "required_permission": "chat and write"},
        {"api_key": inside, "client_ip": "10.0.0.1"},
        {"api_key": inside, "client_ip": "11.0.0.1"},
        {"api_key": good, "check_rate_limit": False},
    ]

    answers = bots.validate(*items)

    assert answers == [bots.validate_alone(item) for item in items]
    assert codes(answers) == ["AUTH_005", None, "AUTH_001", None, None, "AUTH_008", None]
    assert [answer["data"].get("has_permission") for answer in answers] == [None, True, None, False, True, None, True]


def test_each_valid_key_counts_a_use(bots: Bots) -> None:
    secret = bots.key()

    bots.validate({"api_key": secret}, {"api_key": secret}, {"api_key": secret, "check_rate_limit": False})

    assert uses() == 2


def test_limits_are_consumed_one_after_the_other(bots: Bots) -> None:
    limited, other = bots.key(rate_limit=A_MINUTE), bots.key()

    answers = bots.validate(*({"api_key": secret} for secret in (limited, other, limited, limited, other)))

    assert codes(answers) == [None, None, None, "AUTH_006", None]
    assert [(answer["data"].get("rate_limit") or {}).get("remaining") for answer in answers] == [1, None, 0, None, None]
    assert answers[3]["success"] is False
    assert 0 < answers[3]["data"]["retry_after"] <= 60
    assert uses() == 4


def test_a_hundred_keys_take_one_query(bots: Bots) -> None:
    secrets = [bots.key() for _ in range(10)]
    with CaptureQueriesContext(connection) as one:
        bots.validate({"api_key": secrets[0], "check_rate_limit": False})

    with CaptureQueriesContext(connection) as hundred:
        answers = bots.validate(*({"api_key": secret, "check_rate_limit": False} for secret in secrets * 10))

    assert (len(one), len(hundred)) == (1, 1)
    assert codes(answers) == [None] * 100


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "items"),
        (None, "items"),
        ("x", "items"),
        ({"api_key": "x"}, "items"),
        ([{"api_key": "x"}] * 101, "items"),
        ([{"api_key": "x"}, {}], "items.1.api_key"),
        ([{"api_key": "x"}] * 3 + [{"api_key": "x", "required_permission": "chat and"}], "items.3.required_permission"),
        ([{"api_key": "x"}, "x"], "items.1"),
        ([{"api_key": "x"}, None], "items.1"),
        ([{"api_key": "x", "client_ip": "nowhere"}], "items.0.client_ip"),
        ([{"api_key": "x", "check_rate_limit": "no"}], "items.0.check_rate_limit"),
    ],
)
def test_invalid_body_is_400(bots: Bots, items: Any, field: str) -> None:
    response = bots.send(items)

    assert response.status_code == 400
    assert response.json()["error_code"] == "VALIDATION_ERROR"
    assert list(response.json()["data"]["errors"]) == [field]


def test_error_names_each_invalid_item(bots: Bots) -> None:
    response = bots.send([{"api_key": 7}, {"api_key": "x"}, {}, {"api_key": "x", "client_ip": "nowhere"}])

    assert response.status_code == 400
    errors = response.json()["data"]["errors"]
    assert sorted(errors) == ["items.0.api_key", "items.2.api_key", "items.3.client_ip"]
    assert all(isinstance(sentence, str) for sentences in errors.values() for sentence in sentences)


def test_invalid_expression_is_400_before_any_use_is_counted(bots: Bots) -> None:
    secret = bots.key(rate_limit=A_MINUTE)

    response = bots.send([{"api_key": secret}, {"api_key": secret, "required_permission": "chat and"}])

    assert (response.status_code, response.json()["error_code"]) == (400, "VALIDATION_ERROR")
    assert uses() == 0
    (answer,) = bots.validate({"api_key": secret})
    assert answer["data"]["rate_limit"]["remaining"] == 1


def test_unavailable_verdicts_do_not_fail_the_other_items(bots: Bots) -> None:
    """The database is away: what it takes no database to say is said."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        raise OperationalError(2006, "Server has gone away")

    secret = bots.key()
    with connection.execute_wrapper(refuse):
        away, malformed = bots.validate({"api_key": secret}, {"api_key": "nonsense"})

    assert (away["success"], away["error_code"], away["data"]) == (False, "SYS_002", None)
    assert away["error"]
    assert malformed["error_code"] == "AUTH_001"

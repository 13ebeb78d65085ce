"""The fields of a body that were ignored, which the response names (docs/contract.md section 2)."""

from __future__ import annotations

from typing import Any

import pytest

from core.http.ignored_fields import HEADER, header_value
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
UNKNOWN = {"allowed_ips": ["10.0.0.0/8"], "expiresAt": None}
TOLD = "allowed_ips, expiresAt"


def ignored(response: Any) -> str | None:
    told: str | None = response.headers.get(HEADER)
    return told


class TestNames:
    def test_no_fields_are_no_header(self) -> None:
        assert header_value([]) is None

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("expiresAt", "expiresAt"),
            ("$ref", "$ref"),
            ("", ""),
            ("a, b", "a%2C%20b"),
            ("允许", "%E5%85%81%E8%AE%B8"),
            ("a\r\nSet-Cookie: x", "a%0D%0ASet-Cookie%3A%20x"),
            ("x" * 5000, "x" * 100),
        ],
    )
    def test_name_is_one_that_a_header_can_hold(self, name: str, told: str) -> None:
        assert header_value([name, "next"]) == f"{told}, next"

    def test_long_list_ends_with_dots(self) -> None:
        told = header_value(f"field_{number}" for number in range(100_000))

        assert told is not None
        assert len(told) <= 1010
        assert told.startswith("field_0, field_1, ")
        assert told.endswith(", ...")


class TestKeys:
    def test_misspelt_limit_is_told(self, alice: Person) -> None:
        path = f"/api/v1/agents/{make_agent(alice.tenant).id}/api_keys"

        response = alice.client.send("POST", path, {"name": "key", **UNKNOWN})

        assert response.status_code == 200
        assert ignored(response) == TOLD

    def test_known_fields_are_not_told(self, alice: Person) -> None:
        path = f"/api/v1/agents/{make_agent(alice.tenant).id}/api_keys"
        body = {"name": "key", "allowed_networks": ["10.0.0.0/8"], "description": None, "permissions": ["a.*", "b"]}

        assert ignored(alice.client.send("POST", path, body)) is None

    def test_unknown_field_of_a_limit_is_told_by_its_path(self, alice: Person) -> None:
        path = f"/api/v1/agents/{make_agent(alice.tenant).id}/api_keys"
        body = {"name": "key", "rate_limit": {"limit": 5, "window_seconds": 60, "burst": 9}}

        assert ignored(alice.client.send("POST", path, body)) == "rate_limit.burst"

    def test_wildcards_that_grant_nothing_are_told(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        path = f"/api/v1/agents/{agent.id}/api_keys"
        permissions = ["chat", "*", "config.*", "chat:*", "a.*.c", "a.*.*", ".*"]

        created = alice.client.send("POST", path, {"name": "key", "permissions": permissions})
        changed = alice.client.send("PATCH", f"{path}/{created.json()['id']}", {"permissions": ["*"]})

        assert created.json()["permissions"] == permissions, "they are accepted as before"
        assert ignored(created) == "permissions.1, permissions.3, permissions.4, permissions.5, permissions.6"
        assert ignored(changed) == "permissions.0"

    def test_expiry_in_the_past_is_told_when_the_key_is_created(self, alice: Person) -> None:
        path = f"/api/v1/agents/{make_agent(alice.tenant).id}/api_keys"

        past = alice.client.send("POST", path, {"name": "past", "expires_at": "2020-01-01T00:00:00Z"})
        future = alice.client.send("POST", path, {"name": "future", "expires_at": "2999-01-01T00:00:00Z"})
        ended = alice.client.send("PATCH", f"{path}/{future.json()['id']}", {"expires_at": "2020-01-01T00:00:00Z"})

        assert (past.status_code, ignored(past)) == (200, "expires_at")
        assert [ignored(future), ignored(ended)] == [None, None], "a change to the past ends a key on purpose"

    def test_too_many_permissions_of_any_type_are_400(self, alice: Person) -> None:
        path = f"/api/v1/agents/{make_agent(alice.tenant).id}/api_keys"

        assert alice.client.send("POST", path, {"name": "key", "permissions": [5] * 101}).status_code == 400


def test_items_are_told_by_their_number(alice: Person, internal: SurfaceClient) -> None:
    secret = make_key(make_agent(alice.tenant)).secret
    body = {"items": [{"api_key": secret}, {"api_key": secret, "client": "10.0.0.1"}], "more": 1}

    response = internal.send("POST", "/api/v2/auth/validate-api-keys", body)

    assert ignored(response) == "items.1.client, more"


def test_unknown_fields_of_a_config_are_kept_and_not_told(alice: Person) -> None:
    agent = make_agent(alice.tenant)
    changes = {"config": {"own": {"deep": 1}}, "nmae": "x"}

    response = alice.client.send("PUT", f"/api/v1/agents/{agent.id}", changes)

    assert response.json()["config"]["own"] == {"deep": 1}
    assert ignored(response) == "nmae"


def test_refused_request_is_told_too_once_its_body_was_valid(alice: Person) -> None:
    agent = make_agent(alice.tenant)
    path = f"/api/v1/agents/{agent.id}/api_keys"
    alice.client.send("POST", path, {"name": "key"})

    response = alice.client.send("POST", path, {"name": "key", **UNKNOWN})

    assert (response.status_code, ignored(response)) == (409, TOLD)

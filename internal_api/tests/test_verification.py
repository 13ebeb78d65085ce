"""Verification of keys on the internal surface (docs/contract.md section 4, /auth/*)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat
from apikeys.models import ApiKey
from internal_api.tests.bot import REQUESTS, Bot, assert_rejected
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
VALIDATE = "/api/v2/auth/validate-api-key"


class TestValidate:
    def test_a_good_key(self, bot: Bot) -> None:
        envelope = bot.send("validate-api-key")

        assert envelope["success"] is True
        assert (envelope["error"], envelope["error_code"]) == (None, None)
        assert envelope["tenant_id"] == bot.agent.tenant_id
        assert envelope["data"] == {
            "valid": True,
            "tenant_id": bot.agent.tenant_id,
            "agent_id": bot.agent.id,
            "api_key_id": bot.key_id,
            "permissions": ["chat", "read"],
            "has_permission": True,
            "status": "active",
            "key_name": "the bot's key",
            "expires_at": None,
            "agent_name": bot.agent.name,
            "config_version": 1,
            "rate_limit": None,
            "quota": None,
            "code": "VALID",
        }

    @pytest.mark.embedded
    @pytest.mark.parametrize(
        ("asked", "has"),
        [
            ({}, True),
            ({"required_permission": None}, True),
            ({"required_permission": ""}, True),
            ({"required_permission": " \u3000"}, True),
            ({"client_ip": ""}, True),
            ({"required_permission": "chat"}, True),
            ({"required_permission": "read"}, True),
            ({"required_permission": "write"}, False),
            ({"required_permission": "CHAT"}, False),
            ({"required_permission": "cha"}, False),
            ({"required_permission": "*"}, False),
            ({"required_permission": "chat and read"}, True),
            ({"required_permission": "chat and write"}, False),
            ({"required_permission": "write or read"}, True),
            ({"required_permission": "chat and (config_read or read)"}, True),
            ({"required_permission": "write or chat and admin"}, False),
        ],
    )
    def test_a_missing_permission_leaves_the_key_valid(self, bot: Bot, asked: dict[str, Any], has: bool) -> None:
        envelope = bot.send("validate-api-key", **asked)

        assert envelope["success"] is True
        assert envelope["error_code"] is None
        assert (envelope["data"]["valid"], envelope["data"]["has_permission"]) == (True, has)
        assert envelope["data"]["code"] == ("VALID" if has else "AUTH_003")

    @pytest.mark.parametrize("has", [True, False])
    @pytest.mark.parametrize(
        ("asked", "uses"), [({}, 1), ({"check_rate_limit": True}, 1), ({"check_rate_limit": False}, 0)]
    )
    def test_a_use_is_counted_when_the_rate_is_checked(
        self, bot: Bot, asked: dict[str, Any], uses: int, has: bool
    ) -> None:
        with travel(NOON, tick=False):
            bot.send("validate-api-key", required_permission="chat" if has else "write", **asked)

        row = bot.row()
        assert row.usage_count == uses
        assert row.last_used_at == (NOON if uses else None)

    def test_uses_add_up(self, bot: Bot, alice: Person) -> None:
        for _ in range(3):
            bot.send("validate-api-key")

        path = f"/api/v1/agents/{bot.agent.id}/api_keys/{bot.key_id}"
        assert alice.client.get(path).json()["usage_count"] == 3

    def test_a_key_that_is_not_good_is_not_used(self, bot: Bot) -> None:
        ApiKey.unscoped.update(status="disabled")

        assert_rejected(bot.send("validate-api-key"), "AUTH_004")

        assert (bot.row().usage_count, bot.row().last_used_at) == (0, None)

    def test_wildcard_grants_names_that_start_with_it(self, bot: Bot) -> None:
        bot.change(permissions=["config.*"])

        for required, has in [("config.read", True), ("config.a.b", True), ("config", False), ("configx", False)]:
            data = bot.send("validate-api-key", required_permission=required)["data"]
            assert (data["has_permission"], data["permissions"]) == (has, ["config.*"])

    @pytest.mark.parametrize(
        "expression", ["chat and", "chat read", "(chat", "and", "()", "chat && read", "(" * 9 + "chat" + ")" * 9]
    )
    def test_invalid_expression_is_400_and_counts_no_use(self, bot: Bot, expression: str) -> None:
        response = bot.internal.send("POST", VALIDATE, {"api_key": bot.secret, "required_permission": expression})

        assert response.status_code == 400
        envelope = response.json()
        assert envelope["error_code"] == "VALIDATION_ERROR"
        assert list(envelope["data"]["errors"]) == ["required_permission"]
        assert bot.row().usage_count == 0

    def test_response_shows_name_and_expiry(self, bot: Bot) -> None:
        bot.change(name="renamed", expires_at="2030-01-31T12:00:00+01:00")
        bot.internal.send("PUT", f"/api/v2/agents/{bot.agent.id}", {"name": "小明"})

        data = bot.send("validate-api-key")["data"]

        assert (data["key_name"], data["expires_at"], data["agent_name"]) == ("renamed", "2030-01-31T11:00:00Z", "小明")


@pytest.mark.embedded
class TestCheckPermission:
    @pytest.mark.parametrize(("permission", "has"), [("chat", True), ("write", False), ("Chat", False)])
    def test_response_tells_whether_the_key_has_the_permission(self, bot: Bot, permission: str, has: bool) -> None:
        envelope = bot.send("check-permission", permission=permission)

        assert envelope["success"] is True
        assert envelope["error_code"] is None
        assert envelope["tenant_id"] == bot.agent.tenant_id
        assert envelope["data"] == {
            "has_permission": has,
            "permission": permission,
            "all_permissions": ["chat", "read"],
            "tenant_id": bot.agent.tenant_id,
            "agent_id": bot.agent.id,
            "api_key_status": "active",
            "code": "VALID" if has else "AUTH_003",
        }

    @pytest.mark.parametrize(
        ("permission", "has"), [("config.read", True), ("config", False), ("chat and config.read", False)]
    )
    def test_permission_is_one_name_and_no_expression(self, bot: Bot, permission: str, has: bool) -> None:
        bot.change(permissions=["chat", "config.*"])

        data = bot.send("check-permission", permission=permission)["data"]

        assert (data["permission"], data["has_permission"]) == (permission, has)

    def test_check_permission_counts_no_use(self, bot: Bot) -> None:
        bot.send("check-permission")

        assert (bot.row().usage_count, bot.row().last_used_at) == (0, None)


@pytest.mark.embedded
@pytest.mark.parametrize("request_name", REQUESTS)
class TestKeysThatAreNotGood:
    @pytest.mark.parametrize("key", ["", "nonsense", "mmc_", "小明", "mmc_" + "A" * 112, "x" * 100_000])
    def test_malformed(self, bot: Bot, request_name: str, key: str) -> None:
        assert_rejected(bot.send(request_name, api_key=key), "AUTH_001")

    @pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "{}="])
    def test_a_good_key_with_something_around_it_is_malformed(self, bot: Bot, request_name: str, around: str) -> None:
        assert_rejected(bot.send(request_name, api_key=around.format(bot.secret)), "AUTH_001")

    def test_expired(self, bot: Bot, request_name: str) -> None:
        """Judged at each call, to the microsecond."""
        ApiKey.unscoped.update(expires_at=NOON)

        with travel(NOON - timedelta(microseconds=1), tick=False):
            assert bot.send(request_name)["success"] is True
        with travel(NOON, tick=False):
            assert_rejected(bot.send(request_name), "AUTH_002")
        with travel(NOON - timedelta(microseconds=1), tick=False):
            assert bot.send(request_name)["success"] is True

    def test_marked_as_expired(self, bot: Bot, request_name: str) -> None:
        ApiKey.unscoped.update(status="expired")

        assert_rejected(bot.send(request_name), "AUTH_002")

    def test_disabled_and_enabled_again(self, bot: Bot, request_name: str) -> None:
        path = f"/api/v2/api-keys/{bot.key_id}"

        bot.internal.send("POST", f"{path}/disable")
        assert_rejected(bot.send(request_name), "AUTH_004")
        bot.internal.send("POST", f"{path}/enable")
        assert bot.send(request_name)["success"] is True

    def test_disabled_comes_before_expired(self, bot: Bot, request_name: str) -> None:
        ApiKey.unscoped.update(status="disabled", expires_at=NOON - timedelta(days=3650))

        assert_rejected(bot.send(request_name), "AUTH_004")

    def test_unknown(self, bot: Bot, request_name: str) -> None:
        assert_rejected(bot.send(request_name, api_key=UNKNOWN), "AUTH_005")

    def test_of_the_same_agent_but_never_issued(self, bot: Bot, request_name: str) -> None:
        invented = keyformat.generate(bot.agent.tenant_id, bot.agent.id)

        assert_rejected(bot.send(request_name, api_key=invented), "AUTH_005")

    def test_deleted(self, bot: Bot, request_name: str) -> None:
        bot.internal.delete(f"/api/v2/api-keys/{bot.key_id}")

        assert_rejected(bot.send(request_name), "AUTH_005")

    @pytest.mark.parametrize("status", ["inactive", "archived"])
    def test_its_agent_is_not_active(self, bot: Bot, request_name: str, status: str) -> None:
        path = f"/api/v2/agents/{bot.agent.id}"

        bot.internal.send("PUT", path, {"status": status})
        assert_rejected(bot.send(request_name), "AUTH_007")
        bot.internal.send("PUT", path, {"status": "active"})
        assert bot.send(request_name)["success"] is True

    @pytest.mark.parametrize("status", ["inactive", "suspended"])
    def test_its_tenant_is_not_active(self, bot: Bot, request_name: str, status: str) -> None:
        path = f"/api/v2/tenants/{bot.agent.tenant_id}"

        bot.internal.send("PUT", path, {"status": status})
        assert_rejected(bot.send(request_name), "AUTH_007")
        bot.internal.send("PUT", path, {"status": "active"})
        assert bot.send(request_name)["success"] is True

    @pytest.mark.parametrize("path", ["/api/v2/agents/{agent}", "/api/v2/tenants/{tenant}"])
    def test_its_agent_or_tenant_is_deleted(self, bot: Bot, request_name: str, path: str) -> None:
        bot.internal.delete(path.format(agent=bot.agent.id, tenant=bot.agent.tenant_id))

        assert_rejected(bot.send(request_name), "AUTH_005")

    def test_rotated_out_secret_says_so(self, bot: Bot, request_name: str) -> None:
        """Else its user would take the key for expired, though its new secret is good."""
        response = bot.internal.send("POST", f"/api/v2/api-keys/{bot.key_id}/rotate", {})

        rejected = bot.send(request_name)

        assert rejected["error_code"] == "AUTH_002"
        assert rejected["data"] == {"valid": False, "code": "AUTH_002", "reason": "rotated"}
        assert bot.send(request_name, api_key=response.json()["data"]["api_key"])["success"] is True

    def test_leaked_secret_says_so(self, bot: Bot, request_name: str) -> None:
        bot.send("report-leaked-key")

        assert bot.send(request_name)["data"] == {"valid": False, "code": "AUTH_004", "reason": "leaked"}

    @pytest.mark.parametrize(
        ("fields", "code"),
        [({"status": "disabled"}, "AUTH_004"), ({"expires_at": NOON - timedelta(days=3650)}, "AUTH_002")],
    )
    def test_reason_of_the_key_comes_before_that_of_its_secret(
        self, bot: Bot, request_name: str, fields: dict[str, Any], code: str
    ) -> None:
        bot.internal.send("POST", f"/api/v2/api-keys/{bot.key_id}/rotate", {})
        ApiKey.unscoped.update(**fields)

        assert_rejected(bot.send(request_name), code)

    def test_rejection_shows_nothing_of_the_key(self, bot: Bot, request_name: str) -> None:
        ApiKey.unscoped.update(status="disabled")

        text = str(bot.send(request_name))

        assert not any(part in text for part in (bot.agent.tenant_id, bot.agent.id, bot.key_id, "chat"))


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_changed_permission_counts_at_once(bot: Bot, request_name: str) -> None:
    for permissions in ([], ["chat"], ["read"]):
        bot.internal.send("PUT", f"/api/v2/api-keys/{bot.key_id}", {"permissions": permissions})
        data = bot.send(request_name, required_permission="chat", permission="chat")["data"]
        assert data["has_permission"] == ("chat" in permissions)


@pytest.mark.embedded
class TestParse:
    def test_key_is_parsed_without_a_query(self, bot: Bot, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            envelope = bot.send("parse-api-key", api_key=UNKNOWN)

        assert envelope["success"] is True
        assert envelope["tenant_id"] == "tenant_000000000000"
        assert envelope["data"] == {
            "tenant_id": "tenant_000000000000",
            "agent_id": "agent_000000000000",
            "random_hash": keyformat.parse(UNKNOWN).random,
            "version": "v2",
            "format_valid": True,
        }

    def test_an_old_key(self, bot: Bot) -> None:
        payload = "tenant_3f0c9a71b2de_agent_0123456789ab_0123456789abcdef_v1"

        data = bot.send("parse-api-key", api_key="mmc_" + base64.b64encode(payload.encode()).decode())["data"]

        assert data == {
            "tenant_id": "tenant_3f0c9a71b2de",
            "agent_id": "agent_0123456789ab",
            "random_hash": "0123456789abcdef",
            "version": "v1",
            "format_valid": True,
        }

    @pytest.mark.parametrize(
        "key", ["", "nonsense", "mmc_", UNKNOWN + "x", UNKNOWN + "\n", " " + UNKNOWN, "x" * 100_000]
    )
    def test_a_malformed_key_is_200_without_success(self, bot: Bot, key: str) -> None:
        envelope = bot.send("parse-api-key", api_key=key)

        assert envelope["success"] is False
        assert envelope["data"] == {"valid": False, "code": "AUTH_001"}
        assert envelope["error_code"] == "AUTH_001"
        assert envelope["error"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("request_name", "body", "field"),
    [
        ("parse-api-key", {}, "api_key"),
        ("parse-api-key", {"api_key": None}, "api_key"),
        ("parse-api-key", {"api_key": 5}, "api_key"),
        ("validate-api-key", {}, "api_key"),
        ("validate-api-key", {"api_key": ["x"]}, "api_key"),
        ("validate-api-key", {"api_key": "x", "required_permission": 5}, "required_permission"),
        ("validate-api-key", {"api_key": "x", "check_rate_limit": "yes"}, "check_rate_limit"),
        ("validate-api-key", {"api_key": "x", "check_rate_limit": 1}, "check_rate_limit"),
        ("validate-api-key", {"api_key": "x", "required_permission": "x" * 501}, "required_permission"),
        ("validate-api-key", {"api_key": "x", "client_ip": "localhost"}, "client_ip"),
        ("validate-api-key", {"api_key": "x", "client_ip": "10.0.0.0/8"}, "client_ip"),
        ("validate-api-key", {"api_key": "x", "client_ip": 5}, "client_ip"),
        ("check-permission", {"api_key": "x", "permission": "chat", "client_ip": "1.2.3"}, "client_ip"),
        ("check-permission", {"permission": "chat"}, "api_key"),
        ("check-permission", {"api_key": "x"}, "permission"),
        ("check-permission", {"api_key": "x", "permission": None}, "permission"),
        ("check-permission", {"api_key": "x", "permission": ""}, "permission"),
    ],
)
def test_invalid_body_is_400(internal: SurfaceClient, request_name: str, body: dict[str, Any], field: str) -> None:
    response = internal.send("POST", f"/api/v2/auth/{request_name}", body)

    assert response.status_code == 400
    assert response.json()["error_code"] == "VALIDATION_ERROR"
    assert list(response.json()["data"]["errors"]) == [field]


def test_key_stays_valid_when_everything_else_is_deleted(bot: Bot, charlie: Person) -> None:
    bot.internal.delete(f"/api/v2/tenants/{charlie.tenant.id}")
    other = make_agent(Tenant.objects.get(pk=bot.agent.tenant_id))
    bot.internal.delete(f"/api/v2/agents/{other.id}")

    assert bot.send("validate-api-key")["success"] is True
    assert list(Agent.unscoped.values_list("id", flat=True)) == [bot.agent.id]

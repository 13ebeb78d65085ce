"""The known clients of the replaced services, simulated over real sockets against `manage.py serve`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.envelope import ENVELOPE
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

PASSWORD = "password123"
_numbers = itertools.count(1)


@pytest.fixture
def console(server: MaimServer) -> Iterator[httpx.Client]:
    """A browser console on the public port."""
    with server.client() as client:
        yield client


@pytest.fixture
def bot(server: MaimServer) -> Iterator[httpx.Client]:
    """A bot, or an operator's script, on the internal port."""
    with server.client("internal") as client:
        yield client


@pytest.fixture
def key(bot: httpx.Client) -> dict[str, Any]:
    """A key that an operator's script issued for the bot, with the ids of its tenant and agent."""
    return create_key(bot)


def unique(name: str) -> str:
    """Return a name that no other test on the shared server uses."""
    return f"{name} {next(_numbers)}"


def data_of(response: httpx.Response) -> dict[str, Any]:
    """Return the data of an envelope, which must be a success."""
    assert response.status_code == 200, response.text
    assert response.json()["success"] is True, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def create_key(v2: httpx.Client) -> dict[str, Any]:
    """Create a tenant, an agent and a key, and return the key. Use the fields that operators' scripts use."""
    tenant = v2.post("/api/v2/tenants", json={"tenant_name": unique("企业"), "tenant_type": "enterprise"})
    tenant_id = data_of(tenant)["tenant_id"]

    agent = v2.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": unique("客服助手")})
    agent_id = data_of(agent)["agent_id"]

    key = v2.post(
        "/api/v2/api-keys",
        json={"tenant_id": tenant_id, "agent_id": agent_id, "name": unique("生产密钥"), "permissions": ["chat"]},
    )
    data = data_of(key)
    assert (data["tenant_id"], data["agent_id"]) == (tenant_id, agent_id)
    return data


def sign_in(console: httpx.Client) -> str:
    """Register with JSON and sign in with a form, as the console does. Return the username."""
    username = f"console{next(_numbers)}"
    registered = console.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})
    assert registered.status_code == 200
    tokens = console.post(
        "/api/v1/auth/login", data={"grant_type": "password", "username": username, "password": PASSWORD, "scope": ""}
    )
    assert tokens.status_code == 200
    console.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
    return username


class TestBrowserConsole:
    def test_registers_and_signs_in(self, console: httpx.Client) -> None:
        username = f"console{next(_numbers)}"

        registered = console.post(
            "/api/v1/auth/register",
            json={"username": username, "password": PASSWORD, "email": f"{username}@example.com"},
        )
        tokens = console.post("/api/v1/auth/login", data={"username": username, "password": PASSWORD})

        assert registered.status_code == 200
        user_id = registered.json()["id"]
        assert user_id.startswith("user_")
        assert registered.json() == {
            "id": user_id,
            "username": username,
            "email": f"{username}@example.com",
            "is_active": True,
        }
        assert tokens.status_code == 200
        assert tokens.json()["token_type"] == "bearer"
        assert tokens.json()["expires_in"] == 8 * 24 * 3600
        assert tokens.json()["access_token"] != tokens.json()["refresh_token"]

    def test_creates_an_agent_and_a_key_and_deletes_the_key(self, console: httpx.Client, bot: httpx.Client) -> None:
        sign_in(console)

        agent = console.post("/api/v1/agents/", json={"name": "My first bot", "description": "说你好"})
        assert agent.status_code == 200
        agents = console.get("/api/v1/agents/")
        assert agents.status_code == 200
        assert agents.json() == [agent.json()]
        assert agents.headers["X-Total-Count"] == "1"

        keys = f"/api/v1/agents/{agent.json()['id']}/api_keys"
        key = console.post(keys, json={"name": "web", "permissions": ["chat"]})
        assert key.status_code == 200
        secret = key.json()["api_key"]
        assert bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).json()["data"]["valid"]

        listed = console.get(keys)
        assert listed.status_code == 200
        assert [row["id"] for row in listed.json()] == [key.json()["id"]]
        assert listed.json()[0]["api_key"] == f"mmc_…{listed.json()[0]['api_key'][-4:]}"
        assert secret not in listed.text

        deleted = console.delete(f"{keys}/{key.json()['id']}")
        assert deleted.status_code == 204
        assert deleted.content == b""
        assert console.get(keys).json() == []
        assert not bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).json()["success"]

    def test_reads_the_error_from_detail(self, console: httpx.Client) -> None:
        username = sign_in(console)

        taken = console.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})
        unknown = console.get("/api/v1/agents/agent_000000000000")
        del console.headers["Authorization"]
        anonymous = console.get("/api/v1/agents/")

        assert (taken.status_code, unknown.status_code, anonymous.status_code) == (400, 404, 401)
        assert anonymous.headers["WWW-Authenticate"] == "Bearer"
        for error in (taken, unknown, anonymous):
            assert type(error.json()["detail"]) is str
            assert re.search(r"\w+ \w+", error.json()["detail"])

    def test_trailing_slash_is_optional(self, console: httpx.Client) -> None:
        sign_in(console)

        with_slash = console.post("/api/v1/agents/", json={"name": "with"})
        without = console.post("/api/v1/agents", json={"name": "without"})

        assert (with_slash.status_code, without.status_code) == (200, 200)
        assert console.get("/api/v1/agents").json() == console.get("/api/v1/agents/").json()


class TestOperatorScript:
    def test_creates_a_tenant_an_agent_and_a_key(self, bot: httpx.Client) -> None:
        key = create_key(bot)

        verdict = bot.post("/api/v2/auth/validate-api-key", json={"api_key": key["api_key"]}).json()
        alive = bot.get("/api/v2/agent-activity", params={"tenant_id": key["tenant_id"]}).json()

        assert verdict["data"]["tenant_id"] == verdict["tenant_id"] == key["tenant_id"]
        assert verdict["data"]["agent_id"] == key["agent_id"]
        assert [item["agent_id"] for item in alive["data"]["items"]] == [key["agent_id"]]

    def test_responses_have_both_names_of_an_id(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        tenant = bot.get(f"/api/v2/tenants/{key['tenant_id']}").json()["data"]
        agent = bot.get(f"/api/v2/agents/{key['agent_id']}").json()["data"]

        assert tenant["id"] == tenant["tenant_id"] == key["tenant_id"]
        assert agent["id"] == agent["agent_id"] == key["agent_id"]

    def test_every_response_is_an_envelope_of_nine_keys_in_order(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        responses = [
            bot.get("/api/v2/tenants"),
            bot.get("/api/v2/agents", params={"tenant_id": key["tenant_id"]}),
            bot.get("/api/v2/tenants/tenant_000000000000"),
            bot.post("/api/v2/tenants", content=b"{"),
            bot.post("/api/v2/auth/validate-api-key", json={"api_key": "no key"}),
            bot.patch("/api/v2/tenants"),
            bot.get("/api/v2/nowhere"),
            bot.post("/api/v1/usage/log", json={"action": "chat"}),
        ]

        for response in responses:
            body = response.json()
            assert list(body) == ENVELOPE, response.url
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
            assert body["request_id"] == response.headers["X-Request-ID"]
            assert body["message"]
            assert isinstance(body["execution_time"], float)
            assert body["success"] == (body["error_code"] is None) == (body["error"] is None)


class TestBot:
    def test_parses_and_validates_a_key_and_checks_a_permission(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        secret = key["api_key"]

        parsed = data_of(bot.post("/api/v2/auth/parse-api-key", json={"api_key": secret}))
        validated = data_of(
            bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret, "required_permission": "chat"})
        )
        checked = data_of(bot.post("/api/v2/auth/check-permission", json={"api_key": secret, "permission": "admin"}))

        owner = {"tenant_id": key["tenant_id"], "agent_id": key["agent_id"]}
        assert parsed == {**parsed, **owner, "format_valid": True}
        assert parsed.keys() == {*owner, "random_hash", "version", "format_valid"}
        assert validated == {
            **validated,
            **owner,
            "valid": True,
            "has_permission": True,
            "api_key_id": key["api_key_id"],
            "permissions": ["chat"],
            "status": "active",
        }
        assert checked == {**checked, **owner, "has_permission": False, "all_permissions": ["chat"]}

    def test_sends_the_heartbeat_of_its_agent(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        beat = bot.put(
            "/api/v2/agent-activity",
            json={"tenant_id": key["tenant_id"], "agent_id": key["agent_id"], "ttl_seconds": 60},
        )

        assert beat.status_code == 200
        assert beat.json()["data"]["ttl_seconds"] == 60
        alive = bot.get("/api/v2/agent-activity", params={"tenant_id": key["tenant_id"]}).json()["data"]
        assert alive == {"items": [beat.json()["data"]], "count": 1}

    @pytest.mark.parametrize(
        ("timestamp_sent", "stored"),
        [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T20:00:00+08:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00.25", "2026-01-31T12:00:00.250000Z"),
            (1769860800, "2026-01-31T12:00:00Z"),
            (1769860800.5, "2026-01-31T12:00:00.500000Z"),
        ],
    )
    def test_logs_its_usage_with_a_time_as_text_or_number(
        self, bot: httpx.Client, key: dict[str, Any], timestamp_sent: str | float, stored: str
    ) -> None:
        entry = {
            "tenant_id": key["tenant_id"],
            "agent_id": key["agent_id"],
            "user_id": "qq:10001",
            "platform": "qq",
            "action": "chat",
            "details": {"tokens": 321, "情绪": "😀"},
        }

        logged = bot.post("/api/v1/usage/log", json={**entry, "timestamp": timestamp_sent})

        assert data_of(logged) == {**data_of(logged), **entry, "timestamp": stored}

    def test_reads_and_writes_plugin_settings_without_an_envelope(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        tenant = {"tenant_id": key["tenant_id"]}
        agent = {**tenant, "agent_id": key["agent_id"]}
        url = "/api/v1/plugins/settings"
        plugin = {"plugin_name": "weather", "enabled": True, "config": {"city": "上海"}}

        assert bot.get(url, params=agent).json() == []
        of_tenant = bot.post(url, params=tenant, json=plugin)
        inherited = bot.get(url, params=agent)
        of_agent = bot.post(url, params=agent, json={**plugin, "enabled": False})

        assert of_tenant.status_code == of_agent.status_code == 200
        assert of_tenant.json() == {**of_tenant.json(), **tenant, **plugin, "agent_id": None}
        assert inherited.json() == [of_tenant.json()]
        assert bot.get(url, params=agent).json() == [of_agent.json()]
        assert bot.get(url, params=tenant).json() == [of_tenant.json()]


class TestConfigFlows:
    CONFIG = {"model": "gpt-4", "temperature": 0.7}

    def test_v2_returns_the_config_as_it_was_sent(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        created = bot.post(
            "/api/v2/agents",
            json={"tenant_id": key["tenant_id"], "name": unique("agent"), "config": self.CONFIG},
        ).json()["data"]

        assert created["config"] == self.CONFIG
        assert bot.get(f"/api/v2/agents/{created['id']}").json()["data"]["config"] == self.CONFIG
        assert bot.get(f"/api/v2/agents/{created['id']}/config").json()["data"] == self.CONFIG

    def test_v1_returns_the_config_as_it_was_sent(self, console: httpx.Client) -> None:
        sign_in(console)

        created = console.post("/api/v1/agents/", json={"name": "bot", "config": self.CONFIG}).json()

        assert created["config"] == self.CONFIG
        assert console.get(f"/api/v1/agents/{created['id']}").json()["config"] == self.CONFIG

    def test_unknown_setting_is_stored_with_the_known_ones(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        url = f"/api/v2/agents/{key['agent_id']}/config"
        known = {"persona": {"personality": "温柔"}, "config_overrides": {"chat": {"talk_value": 0.5}}}

        bot.put(url, json=known)
        merged = bot.put(url, json={"custom_setting": {"深": [1, {"x": False}]}})

        assert merged.status_code == 200
        assert bot.get(url).json()["data"] == {**known, "custom_setting": {"深": [1, {"x": False}]}}

    def test_writing_the_config_as_it_was_read_changes_nothing(self, bot: httpx.Client, key: dict[str, Any]) -> None:
        url = f"/api/v2/agents/{key['agent_id']}"
        bot.put(f"{url}/config", json={**self.CONFIG, "custom_setting": True})
        before = bot.get(url).json()["data"]

        bot.put(f"{url}/config", json=bot.get(f"{url}/config").json()["data"])

        assert bot.get(url).json()["data"] == before


class ApiError(Exception):
    """The error that a client shows its user."""


def check_status_and_success(response: httpx.Response) -> Any:
    if response.status_code == 200 and response.json()["success"]:
        return response.json()["data"]
    raise ApiError(response.json()["error"])


def check_status(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise ApiError(response.json()["message"])
    return response.json()["data"]


def check_success(response: httpx.Response) -> Any:
    if not response.json()["success"]:
        raise ApiError(response.json()["message"])
    return response.json()["data"]


ParseResponse = Callable[[httpx.Response], Any]


def accepts_key(parse: ParseResponse, verdict: httpx.Response) -> bool:
    """Return whether a client accepts a key. A client that finds no error reads `valid`."""
    try:
        return bool(parse(verdict)["valid"])
    except ApiError:
        return False


ERROR_STYLES = [check_status_and_success, check_status, check_success]


@pytest.mark.parametrize("parse", ERROR_STYLES)
class TestErrorStyles:
    def test_success_is_no_error(self, bot: httpx.Client, key: dict[str, Any], parse: ParseResponse) -> None:
        assert parse(bot.get(f"/api/v2/tenants/{key['tenant_id']}"))["tenant_id"] == key["tenant_id"]

    def test_duplicate_is_an_error(self, bot: httpx.Client, key: dict[str, Any], parse: ParseResponse) -> None:
        agent = {"tenant_id": key["tenant_id"], "name": "twice"}
        parse(bot.post("/api/v2/agents", json=agent))

        with pytest.raises(ApiError, match=r"."):
            parse(bot.post("/api/v2/agents", json=agent))

    def test_unknown_id_is_an_error(self, bot: httpx.Client, parse: ParseResponse) -> None:
        with pytest.raises(ApiError, match=r"."):
            parse(bot.get("/api/v2/agents/agent_000000000000"))

    @pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"tenant_name": 5, "tenant_type": "enterprise"}'])
    def test_malformed_body_is_an_error(self, bot: httpx.Client, parse: ParseResponse, body: bytes) -> None:
        with pytest.raises(ApiError, match=r"."):
            parse(bot.post("/api/v2/tenants", content=body, headers={"Content-Type": "application/json"}))

    @pytest.mark.parametrize(
        "change", [lambda key: "mmc_junk", lambda key: key[:-4] + "AAAA"], ids=["junk", "mistyped"]
    )
    def test_invalid_key_is_not_accepted(
        self, bot: httpx.Client, key: dict[str, Any], parse: ParseResponse, change: Callable[[str], str]
    ) -> None:
        response = bot.post("/api/v2/auth/validate-api-key", json={"api_key": change(key["api_key"])})

        assert response.status_code == 200  # the verdict is in the body
        assert accepts_key(parse, response) is False

    def test_valid_key_is_accepted(self, bot: httpx.Client, key: dict[str, Any], parse: ParseResponse) -> None:
        assert accepts_key(parse, bot.post("/api/v2/auth/validate-api-key", json={"api_key": key["api_key"]})) is True

    def test_disabled_key_is_not_accepted(self, bot: httpx.Client, key: dict[str, Any], parse: ParseResponse) -> None:
        parse(bot.post(f"/api/v2/api-keys/{key['api_key_id']}/disable"))

        response = bot.post("/api/v2/auth/validate-api-key", json={"api_key": key["api_key"]})

        assert response.json()["data"] == {"valid": False, "code": "AUTH_004"}
        assert accepts_key(parse, response) is False

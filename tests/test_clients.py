"""The known clients of the replaced services, played over real sockets against `manage.py serve`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.envelope import ENVELOPE
from tests.support.server import MaimServer

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
def issued(bot: httpx.Client) -> dict[str, Any]:
    """The key that an operator's script made for the bot, with the ids of its tenant and agent."""
    return operator_creates(bot)


def unique(name: str) -> str:
    """A name that no other test on the shared server uses."""
    return f"{name} {next(_numbers)}"


def data_of(answer: httpx.Response) -> dict[str, Any]:
    """The data of an envelope, which must be that of a success."""
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def operator_creates(v2: httpx.Client) -> dict[str, Any]:
    """A tenant, an agent in it and a key of that, read by the names the scripts read."""
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
    """Registers with JSON and signs in with a form, as the console does; the username."""
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

    def test_reads_a_refusal_from_detail(self, console: httpx.Client) -> None:
        username = sign_in(console)

        taken = console.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})
        unknown = console.get("/api/v1/agents/agent_000000000000")
        del console.headers["Authorization"]
        anonymous = console.get("/api/v1/agents/")

        assert (taken.status_code, unknown.status_code, anonymous.status_code) == (400, 404, 401)
        assert anonymous.headers["WWW-Authenticate"] == "Bearer"
        for refusal in (taken, unknown, anonymous):
            assert type(refusal.json()["detail"]) is str
            assert re.search(r"\w+ \w+", refusal.json()["detail"])

    def test_a_slash_at_the_end_changes_nothing(self, console: httpx.Client) -> None:
        sign_in(console)

        with_slash = console.post("/api/v1/agents/", json={"name": "with"})
        without = console.post("/api/v1/agents", json={"name": "without"})

        assert (with_slash.status_code, without.status_code) == (200, 200)
        assert console.get("/api/v1/agents").json() == console.get("/api/v1/agents/").json()


class TestOperatorScript:
    def test_creates_a_tenant_an_agent_and_a_key(self, bot: httpx.Client) -> None:
        key = operator_creates(bot)

        verdict = bot.post("/api/v2/auth/validate-api-key", json={"api_key": key["api_key"]}).json()
        alive = bot.get("/api/v2/agent-activity", params={"tenant_id": key["tenant_id"]}).json()

        assert verdict["data"]["tenant_id"] == verdict["tenant_id"] == key["tenant_id"]
        assert verdict["data"]["agent_id"] == key["agent_id"]
        assert [item["agent_id"] for item in alive["data"]["items"]] == [key["agent_id"]]

    def test_both_spellings_of_an_id_are_sent(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        tenant = bot.get(f"/api/v2/tenants/{issued['tenant_id']}").json()["data"]
        agent = bot.get(f"/api/v2/agents/{issued['agent_id']}").json()["data"]

        assert tenant["id"] == tenant["tenant_id"] == issued["tenant_id"]
        assert agent["id"] == agent["agent_id"] == issued["agent_id"]

    def test_every_answer_is_an_envelope_of_nine_keys_in_order(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        answers = [
            bot.get("/api/v2/tenants"),
            bot.get("/api/v2/agents", params={"tenant_id": issued["tenant_id"]}),
            bot.get("/api/v2/tenants/tenant_000000000000"),
            bot.post("/api/v2/tenants", content=b"{"),
            bot.post("/api/v2/auth/validate-api-key", json={"api_key": "no key"}),
            bot.patch("/api/v2/tenants"),
            bot.get("/api/v2/nowhere"),
            bot.post("/api/v1/usage/log", json={"action": "chat"}),
        ]

        for answer in answers:
            body = answer.json()
            assert list(body) == ENVELOPE, answer.url
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
            assert body["request_id"] == answer.headers["X-Request-ID"]
            assert body["message"]
            assert isinstance(body["execution_time"], float)
            assert body["success"] == (body["error_code"] is None) == (body["error"] is None)


class TestBot:
    def test_parses_validates_and_checks_a_permission(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        secret = issued["api_key"]

        parsed = data_of(bot.post("/api/v2/auth/parse-api-key", json={"api_key": secret}))
        validated = data_of(
            bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret, "required_permission": "chat"})
        )
        checked = data_of(bot.post("/api/v2/auth/check-permission", json={"api_key": secret, "permission": "admin"}))

        owner = {"tenant_id": issued["tenant_id"], "agent_id": issued["agent_id"]}
        assert parsed == {**parsed, **owner, "format_valid": True}
        assert parsed.keys() == {*owner, "random_hash", "version", "format_valid"}
        assert validated == {
            **validated,
            **owner,
            "valid": True,
            "has_permission": True,
            "api_key_id": issued["api_key_id"],
            "permissions": ["chat"],
            "status": "active",
        }
        assert checked == {**checked, **owner, "has_permission": False, "all_permissions": ["chat"]}

    def test_says_that_its_agent_is_alive(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        beat = bot.put(
            "/api/v2/agent-activity",
            json={"tenant_id": issued["tenant_id"], "agent_id": issued["agent_id"], "ttl_seconds": 60},
        )

        assert beat.status_code == 200
        assert beat.json()["data"]["ttl_seconds"] == 60
        alive = bot.get("/api/v2/agent-activity", params={"tenant_id": issued["tenant_id"]}).json()["data"]
        assert alive == {"items": [beat.json()["data"]], "count": 1}

    @pytest.mark.parametrize(
        ("sent", "stored"),
        [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T20:00:00+08:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00.25", "2026-01-31T12:00:00.250000Z"),
            (1769860800, "2026-01-31T12:00:00Z"),
            (1769860800.5, "2026-01-31T12:00:00.500000Z"),
        ],
    )
    def test_logs_its_usage_with_a_time_as_text_or_number(
        self, bot: httpx.Client, issued: dict[str, Any], sent: str | float, stored: str
    ) -> None:
        entry = {
            "tenant_id": issued["tenant_id"],
            "agent_id": issued["agent_id"],
            "user_id": "qq:10001",
            "platform": "qq",
            "action": "chat",
            "details": {"tokens": 321, "情绪": "😀"},
        }

        logged = bot.post("/api/v1/usage/log", json={**entry, "timestamp": sent})

        assert data_of(logged) == {**data_of(logged), **entry, "timestamp": stored}

    def test_reads_and_writes_plugin_settings_without_an_envelope(
        self, bot: httpx.Client, issued: dict[str, Any]
    ) -> None:
        tenant = {"tenant_id": issued["tenant_id"]}
        agent = {**tenant, "agent_id": issued["agent_id"]}
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

    def test_what_comes_back_over_v2_is_what_was_sent(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        created = bot.post(
            "/api/v2/agents",
            json={"tenant_id": issued["tenant_id"], "name": unique("agent"), "config": self.CONFIG},
        ).json()["data"]

        assert created["config"] == self.CONFIG
        assert bot.get(f"/api/v2/agents/{created['id']}").json()["data"]["config"] == self.CONFIG
        assert bot.get(f"/api/v2/agents/{created['id']}/config").json()["data"] == self.CONFIG

    def test_what_comes_back_over_v1_is_what_was_sent(self, console: httpx.Client) -> None:
        sign_in(console)

        created = console.post("/api/v1/agents/", json={"name": "bot", "config": self.CONFIG}).json()

        assert created["config"] == self.CONFIG
        assert console.get(f"/api/v1/agents/{created['id']}").json()["config"] == self.CONFIG

    def test_an_unknown_setting_is_kept_beside_the_known_ones(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        url = f"/api/v2/agents/{issued['agent_id']}/config"
        known = {"persona": {"personality": "温柔"}, "config_overrides": {"chat": {"talk_value": 0.5}}}

        bot.put(url, json=known)
        merged = bot.put(url, json={"custom_setting": {"深": [1, {"x": False}]}})

        assert merged.status_code == 200
        assert bot.get(url).json()["data"] == {**known, "custom_setting": {"深": [1, {"x": False}]}}

    def test_sending_back_what_was_read_changes_nothing(self, bot: httpx.Client, issued: dict[str, Any]) -> None:
        url = f"/api/v2/agents/{issued['agent_id']}"
        bot.put(f"{url}/config", json={**self.CONFIG, "custom_setting": True})
        before = bot.get(url).json()["data"]

        bot.put(f"{url}/config", json=bot.get(f"{url}/config").json()["data"])

        assert bot.get(url).json()["data"] == before


class Refused(Exception):
    """The error that a client shows its user."""


def compares_status_then_success(answer: httpx.Response) -> Any:
    if answer.status_code == 200 and answer.json()["success"]:
        return answer.json()["data"]
    raise Refused(answer.json()["error"])


def raises_on_status_and_shows_message(answer: httpx.Response) -> Any:
    if answer.status_code != 200:
        raise Refused(answer.json()["message"])
    return answer.json()["data"]


def looks_at_success_alone(answer: httpx.Response) -> Any:
    if not answer.json()["success"]:
        raise Refused(answer.json()["message"])
    return answer.json()["data"]


ReadAnswer = Callable[[httpx.Response], Any]


def admits(read: ReadAnswer, verdict: httpx.Response) -> bool:
    """Return whether such a client lets the holder of a key in; one that reads no error reads `valid`."""
    try:
        return bool(read(verdict)["valid"])
    except Refused:
        return False


STYLES = [compares_status_then_success, raises_on_status_and_shows_message, looks_at_success_alone]


@pytest.mark.parametrize("read", STYLES)
class TestStylesOfReadingErrors:
    def test_an_answer_is_read_as_one(self, bot: httpx.Client, issued: dict[str, Any], read: ReadAnswer) -> None:
        assert read(bot.get(f"/api/v2/tenants/{issued['tenant_id']}"))["tenant_id"] == issued["tenant_id"]

    def test_a_duplicate_is_an_error(self, bot: httpx.Client, issued: dict[str, Any], read: ReadAnswer) -> None:
        agent = {"tenant_id": issued["tenant_id"], "name": "twice"}
        read(bot.post("/api/v2/agents", json=agent))

        with pytest.raises(Refused, match=r"."):
            read(bot.post("/api/v2/agents", json=agent))

    def test_an_unknown_id_is_an_error(self, bot: httpx.Client, read: ReadAnswer) -> None:
        with pytest.raises(Refused, match=r"."):
            read(bot.get("/api/v2/agents/agent_000000000000"))

    @pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"tenant_name": 5, "tenant_type": "enterprise"}'])
    def test_a_bad_body_is_an_error(self, bot: httpx.Client, read: ReadAnswer, body: bytes) -> None:
        with pytest.raises(Refused, match=r"."):
            read(bot.post("/api/v2/tenants", content=body, headers={"Content-Type": "application/json"}))

    @pytest.mark.parametrize("spoil", [lambda key: "mmc_junk", lambda key: key[:-4] + "AAAA"], ids=["junk", "mistyped"])
    def test_a_key_that_is_not_good_lets_nobody_in(
        self, bot: httpx.Client, issued: dict[str, Any], read: ReadAnswer, spoil: Callable[[str], str]
    ) -> None:
        answer = bot.post("/api/v2/auth/validate-api-key", json={"api_key": spoil(issued["api_key"])})

        assert answer.status_code == 200  # the question was answered
        assert admits(read, answer) is False

    def test_a_good_key_lets_its_holder_in(self, bot: httpx.Client, issued: dict[str, Any], read: ReadAnswer) -> None:
        assert admits(read, bot.post("/api/v2/auth/validate-api-key", json={"api_key": issued["api_key"]})) is True

    def test_a_disabled_key_lets_nobody_in(self, bot: httpx.Client, issued: dict[str, Any], read: ReadAnswer) -> None:
        read(bot.post(f"/api/v2/api-keys/{issued['api_key_id']}/disable"))

        answer = bot.post("/api/v2/auth/validate-api-key", json={"api_key": issued["api_key"]})

        assert answer.json()["data"] == {"valid": False, "code": "AUTH_004"}
        assert admits(read, answer) is False

"""The clients of the replaced services, simulated request by request over sockets.

A step asserts only what the client reads of the response.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support import documented_configs as configs
from tests.support.old_clients import PASSWORD, Bot, WebService, new_username, unique
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def public(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def internal(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client("internal") as client:
        yield client


@pytest.fixture(scope="module")
def bot(internal: httpx.Client) -> Bot:
    return Bot(internal)


@pytest.fixture(scope="module")
def tenant_id(internal: httpx.Client) -> str:
    tenant = {"tenant_name": unique("公司"), "tenant_type": "enterprise"}
    created: str = internal.post("/api/v2/tenants", json=tenant).json()["data"]["id"]
    return created


class TestEndToEndTest:
    """The end-to-end test of the replaced systems, from registration to the bot's reply."""

    @pytest.fixture(scope="class")
    @classmethod
    def username(cls) -> str:
        return new_username()

    @pytest.fixture(scope="class")
    @classmethod
    def registered(cls, public: httpx.Client, username: str) -> httpx.Response:
        person = {"username": username, "password": PASSWORD, "email": f"{username}@example.com"}
        return public.post("/api/v1/auth/register", json=person)

    @pytest.fixture(scope="class")
    @classmethod
    def signed_in(cls, public: httpx.Client, username: str, registered: httpx.Response) -> httpx.Response:
        return public.post("/api/v1/auth/login", data={"username": username, "password": PASSWORD})

    @pytest.fixture(scope="class")
    @classmethod
    def bearer(cls, signed_in: httpx.Response) -> dict[str, str]:
        return {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

    @pytest.fixture(scope="class")
    @classmethod
    def agent(cls, public: httpx.Client, bearer: dict[str, str]) -> httpx.Response:
        config = {"persona": "a bot for tests", "custom_setting": "a value for tests"}
        agent = {"name": "Replay", "description": "Made by a replay", "config": config}
        return public.post("/api/v1/agents/", json=agent, headers=bearer)

    @pytest.fixture(scope="class")
    @classmethod
    def agent_url(cls, agent: httpx.Response) -> str:
        return f"/api/v1/agents/{agent.json()['id']}"

    @pytest.fixture(scope="class")
    @classmethod
    def plugin(cls, public: httpx.Client, bearer: dict[str, str], agent: httpx.Response) -> httpx.Response:
        setting = {"plugin_name": "greeter", "enabled": True, "config": {}}
        params = {"agent_id": agent.json()["id"]}
        return public.post("/api/v1/plugins/settings", params=params, json=setting, headers=bearer)

    @pytest.fixture(scope="class")
    @classmethod
    def key(cls, public: httpx.Client, bearer: dict[str, str], agent_url: str) -> httpx.Response:
        key = {"name": "Replay", "description": "For a replay", "permissions": []}
        return public.post(f"{agent_url}/api_keys", json=key, headers=bearer)

    def test_step_1_registers(self, registered: httpx.Response) -> None:
        assert registered.status_code == 200, registered.text

    def test_step_2_signs_in_with_a_form(self, signed_in: httpx.Response) -> None:
        assert signed_in.status_code == 200, signed_in.text
        assert signed_in.json()["access_token"]

    def test_step_3_creates_an_agent_with_a_config(self, agent: httpx.Response) -> None:
        assert agent.status_code == 200, agent.text
        assert agent.json()["id"].startswith("agent_")
        assert agent.json()["tenant_id"].startswith("tenant_")

    def test_steps_4_and_5_change_the_config_and_read_the_change(
        self, public: httpx.Client, bearer: dict[str, str], agent_url: str
    ) -> None:
        changed = public.put(agent_url, json={"config": configs.NEW_FIELDS}, headers=bearer)

        assert changed.status_code == 200, changed.text
        overrides = changed.json().get("config", {}).get("config_overrides", {})
        assert overrides.get("message_receive", {}).get("ban_words") == ["垃圾", "广告"]
        assert overrides.get("memory", {}).get("max_agent_iterations") == 7
        assert overrides.get("expression", {}).get("reflect") is True

    def test_step_6_enables_a_plugin(self, plugin: httpx.Response) -> None:
        assert plugin.status_code == 200, plugin.text

    def test_step_7_issues_a_key_without_permissions(self, key: httpx.Response) -> None:
        assert key.status_code == 200, key.text
        assert key.json()["api_key"].startswith("mmc_")
        assert key.json()["id"].startswith("key_")

    def test_step_8_connects_to_the_bot(self, bot: Bot, key: httpx.Response, agent: httpx.Response) -> None:
        api_key = key.json()["api_key"]
        tenant_id, agent_id = agent.json()["tenant_id"], agent.json()["id"]

        assert bot.lets_in(api_key)
        assert bot.name_of(api_key).startswith(f"{tenant_id}_{agent_id}_v")

    def test_step_9_lets_the_bot_reply_through_the_plugin(
        self, bot: Bot, agent: httpx.Response, plugin: httpx.Response
    ) -> None:
        assert "greeter" in bot.plugins(agent.json()["tenant_id"], agent.json()["id"])

    def test_step_10_deletes_the_key(
        self, public: httpx.Client, bearer: dict[str, str], agent_url: str, key: httpx.Response
    ) -> None:
        deleted = public.delete(f"{agent_url}/api_keys/{key.json()['id']}", headers=bearer)

        assert deleted.status_code == 204, deleted.text


def test_integration_test_creates_a_key_and_deletes_everything(internal: httpx.Client, bot: Bot) -> None:
    tenant: dict[str, Any] = {
        "tenant_name": unique("integration"),
        "tenant_type": "personal",
        "description": "for one test",
        "contact_email": None,
        "tenant_config": {},
    }
    tenant_id = internal.post("/api/v2/tenants", json=tenant).json().get("data", {}).get("id")
    assert tenant_id
    config = {"persona": "a bot for tests", "custom_setting": "a value for tests"}
    agent = {"tenant_id": tenant_id, "name": unique("agent"), "description": "", "template_id": None, "config": config}
    agent_id = internal.post("/api/v2/agents", json=agent).json().get("data", {}).get("id")
    assert agent_id
    key = {"tenant_id": tenant_id, "agent_id": agent_id, "name": unique("key"), "permissions": [], "expires_at": None}
    issued = internal.post("/api/v2/api-keys", json=key).json().get("data", {})
    assert bot.lets_in(issued.get("api_key"))

    for path in (f"api-keys/{issued.get('api_key_id')}", f"agents/{agent_id}", f"tenants/{tenant_id}"):
        assert internal.delete(f"/api/v2/{path}").status_code in (200, 204), path


class TestApiDocument:
    """The requests of MaimConfig's API document."""

    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(configs.SHORT_PERSONA, id="of a create"),
            pytest.param(configs.LISTED, id="of a list"),
            pytest.param(configs.UPDATED, id="of a change"),
            pytest.param(configs.PARTIAL, id="of a partial change"),
            pytest.param(configs.STRUCTURED, id="of a read"),
            pytest.param(configs.COMPLETE, id="of the main example"),
        ],
    )
    def test_config_of_an_example_is_returned_as_it_was_sent(
        self, internal: httpx.Client, tenant_id: str, config: configs.Config
    ) -> None:
        agent = {
            "tenant_id": tenant_id,
            "name": unique("助手"),
            "template_id": "a_template_of_theirs",
            "config": config,
        }
        created = internal.post("/api/v2/agents", json=agent).json()["data"]
        url = f"/api/v2/agents/{created['agent_id']}"

        changed = internal.put(url, json={"name": unique("助手"), "description": "改", "config": config})

        assert (created["tenant_id"], created["status"], created["config"]) == (tenant_id, "active", config)
        assert changed.json()["data"]["updated_at"]
        assert internal.get(url).json()["data"]["config"] == config
        assert internal.get(f"{url}/config").json()["data"] == config

    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(configs.COMPLETE, id="as it stands"),
            pytest.param(
                {**configs.COMPLETE, "persona": {"personality": "细心", "reply_style": "温柔"}, "bot_overrides": {}},
                id="without the lists",
            ),
        ],
    )
    def test_main_example(self, internal: httpx.Client, config: configs.Config) -> None:
        tenant = {"tenant_name": unique("公司"), "tenant_type": "enterprise", "contact_email": "boss@example.com"}
        tenant_id = internal.post("/api/v2/tenants", json=tenant).json()["data"]["tenant_id"]
        agent = {"tenant_id": tenant_id, "name": "客服", "description": "答疑", "config": config}
        agent_id = internal.post("/api/v2/agents", json=agent).json()["data"]["agent_id"]
        config_url = f"/api/v2/agents/{agent_id}/config"

        read = internal.get(config_url).json()["data"]
        assert read["persona"]["personality"] == config["persona"]["personality"]
        assert read["config_overrides"]["chat"]["max_context_size"] == 22

        change = {
            "persona": {"personality": "更细心", "reply_style": "简短"},
            "config_overrides": {"chat": {"max_context_size": 25, "talk_value": 0.85}},
        }
        assert internal.put(config_url, json=change).json()["success"] is True
        read = internal.get(config_url).json()["data"]
        assert read["persona"]["personality"] == "更细心"
        assert read["config_overrides"]["chat"]["max_context_size"] == 25

        key = {"tenant_id": tenant_id, "agent_id": agent_id, "name": "生产", "permissions": ["chat", "config_read"]}
        api_key = internal.post("/api/v2/api-keys", json=key).json()["data"]["api_key"]
        body = {"api_key": api_key, "required_permission": "chat"}
        assert internal.post("/api/v2/auth/validate-api-key", json=body).json()["success"]

    @pytest.mark.parametrize(
        "states",
        [
            pytest.param(configs.STATES),
            pytest.param(["平静", "兴奋"]),
        ],
        ids=["states as objects", "states as texts"],
    )
    def test_config_is_changed_in_parts(self, internal: httpx.Client, tenant_id: str, states: list[Any]) -> None:
        agent = {"tenant_id": tenant_id, "name": unique("助手"), "config": {"persona": {"personality": "认真"}}}
        url = f"/api/v2/agents/{internal.post('/api/v2/agents', json=agent).json()['data']['agent_id']}/config"
        parts: list[configs.Config] = [
            {"config_overrides": {"chat": {"max_context_size": 31, "interest_rate_mode": "fast", "talk_value": 0.9}}},
            {"persona": {"personality": "老练", "reply_style": "有条理", "states": states, "state_probability": 0.15}},
            {"config_overrides": {"plugin": {"enable_plugins": True, "allowed_plugins": ["search", "files"]}}},
        ]

        for part in parts:
            assert internal.put(url, json=part).status_code == 200

        config = internal.get(url).json()["data"]
        assert config["persona"]["personality"] == "老练"
        assert config["config_overrides"]["chat"]["max_context_size"] == 31
        assert config["config_overrides"]["plugin"]["allowed_plugins"] == ["search", "files"]

    def test_key_is_listed_changed_disabled_and_deleted(self, internal: httpx.Client, tenant_id: str) -> None:
        agent = internal.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": unique("助手")}).json()["data"]
        key = {"tenant_id": tenant_id, "agent_id": agent["agent_id"], "name": unique("密钥"), "permissions": ["chat"]}
        key_id = internal.post("/api/v2/api-keys", json=key).json()["data"]["api_key_id"]
        url = f"/api/v2/api-keys/{key_id}"

        listed = internal.get("/api/v2/api-keys", params={"tenant_id": tenant_id, "agent_id": agent["agent_id"]})
        assert [item["api_key_id"] for item in listed.json()["data"]["items"]] == [key_id]
        counts = {"page": 1, "page_size": 20, "total": 1, "total_pages": 1, "has_next": False, "has_prev": False}
        assert listed.json()["data"]["pagination"].items() >= counts.items()

        change = {
            "name": unique("密钥"),
            "description": "改",
            "permissions": ["chat", "config_write"],
            "expires_at": "2035-06-01T00:00:00Z",
        }
        assert internal.put(url, json=change).json()["success"] is True
        assert internal.get(url).json()["data"].items() >= change.items()
        assert internal.post(f"{url}/disable").json()["data"]["status"] == "disabled"
        assert internal.delete(url).json()["data"]["api_key_id"] == key_id
        assert internal.get(url).json()["success"] is False


def test_complete_example_of_the_field_document(internal: httpx.Client, tenant_id: str) -> None:
    agent = {
        "agent_id": "tenant_7:help_desk",
        "tenant_id": tenant_id,
        "name": unique("全能"),
        "config": configs.OF_THE_FIELD_DOCUMENT,
    }

    created = internal.post("/api/v2/agents", json=agent)

    assert created.status_code == 200, created.text
    assert created.json()["data"]["agent_id"] != "tenant_7:help_desk"
    assert created.json()["data"]["config"] == configs.OF_THE_FIELD_DOCUMENT


class TestBot:
    """The five calls of the bot's public branch."""

    @pytest.fixture(scope="class")
    @classmethod
    def issued(cls, internal: httpx.Client, tenant_id: str) -> dict[str, Any]:
        agent = internal.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": unique("bot")}).json()["data"]
        key = {"tenant_id": tenant_id, "agent_id": agent["id"], "name": unique("bot")}
        data: dict[str, Any] = internal.post("/api/v2/api-keys", json=key).json()["data"]
        return data

    def test_accepts_a_valid_key(self, bot: Bot, issued: dict[str, Any]) -> None:
        assert bot.lets_in(issued["api_key"])
        assert bot.name_of(issued["api_key"]) == f"{issued['tenant_id']}_{issued['agent_id']}_v2"

    @pytest.mark.parametrize("api_key", ["mmc_", "mmc_bm90IGEga2V5", "sk-another", "密钥"])
    def test_refuses_an_invalid_key(self, bot: Bot, api_key: str) -> None:
        assert not bot.lets_in(api_key)

    def test_logs_a_use_by_a_monotonic_clock(self, bot: Bot, issued: dict[str, Any]) -> None:
        assert bot.log_use(issued["tenant_id"], "qq", "auth", time.monotonic())
        assert bot.log_use(issued["tenant_id"], "unknown", "auth", 0.0)

    def test_missing_keys_and_users_are_not_found(self, bot: Bot) -> None:
        assert bot.find("/api/v1/auth/api-key/key_000000000000") is None
        assert bot.find("/api/v1/users/user_000000000000") is None

    def test_reads_the_plugins_of_a_tenant_and_of_an_agent(
        self, bot: Bot, internal: httpx.Client, issued: dict[str, Any]
    ) -> None:
        web = WebService(internal)
        tenant_id, agent_id = issued["tenant_id"], issued["agent_id"]
        assert bot.plugins(tenant_id, agent_id) == bot.plugins(tenant_id) == {}

        web.set_plugin(tenant_id, agent_id, {"plugin_name": "dice", "enabled": True, "config": {"sides": 20}})
        web.set_plugin(tenant_id, agent_id, {"plugin_name": "mute", "enabled": False, "config": {}})

        assert bot.plugins(tenant_id, agent_id) == {"dice": {"sides": 20}}
        assert bot.plugins(tenant_id) == {}

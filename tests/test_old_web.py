"""The old web service in front of port 8000, and the old console in front of port 8880, replayed over sockets.

A step asserts only what the client reads of the response.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.old_clients import PASSWORD, Failure, WebService, new_username, unique
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

OWNER = "user_0a1b2c3d4e5f"  # a user whom only the web service knows
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def internal(server: MaimServer) -> Iterator[httpx.Client]:
    with server.client("internal") as client:
        yield client


@pytest.fixture(scope="module")
def web(internal: httpx.Client) -> WebService:
    return WebService(internal)


@pytest.fixture
def tenant_id(web: WebService) -> str:
    return web.register_tenant(OWNER, new_username(), "somebody@example.com")


@pytest.fixture
def agent(web: WebService, tenant_id: str) -> dict[str, Any]:
    """An agent created as the web service does, with null for each missing field."""
    sent: dict[str, Any] = {
        "name": unique("agent"),
        "description": None,
        "config": None,
        "template_id": None,
        "tenant_id": tenant_id,
    }
    created: dict[str, Any] = web.request("POST", "/agents", json=sent)
    return created


@pytest.fixture
def key(web: WebService, agent: dict[str, Any]) -> dict[str, Any]:
    sent: dict[str, Any] = {"name": unique("key"), "description": None, "permissions": []}
    issued: dict[str, Any] = web.issue_key({**sent, "tenant_id": agent["tenant_id"], "agent_id": agent["id"]})
    return issued


class TestWebService:
    @pytest.mark.parametrize("email", [None, "somebody@example.com"])
    def test_creates_the_tenant_of_a_person_unknown_to_maim(self, web: WebService, email: str | None) -> None:
        username = new_username()

        tenant_id = web.register_tenant(OWNER, username, email)

        tenant = web.request("GET", f"/tenants/{tenant_id}")
        assert tenant["owner_id"] == OWNER
        assert tenant["tenant_name"] == f"{username}'s Personal Tenant"

    def test_creates_tenants_with_the_same_name_for_two_people(self, web: WebService) -> None:
        username = new_username()

        assert web.register_tenant(OWNER, username) != web.register_tenant("user_ffffffffffff", username)
        with pytest.raises(Failure, match=r"."):
            web.register_tenant(OWNER, username)

    def test_changes_and_deletes_a_tenant(self, web: WebService, tenant_id: str) -> None:
        change = {"tenant_name": unique("tenant"), "status": "suspended"}

        assert web.request("PUT", f"/tenants/{tenant_id}", json=change).items() >= change.items()
        page = web.request("GET", "/tenants", params={"page": 1, "size": 20})
        assert tenant_id in [each["id"] for each in page["items"]]
        assert (page["page"], page["size"], type(page["total"])) == (1, 20, int)
        assert web.request("DELETE", f"/tenants/{tenant_id}")["id"] == tenant_id
        with pytest.raises(Failure, match=r"."):
            web.request("GET", f"/tenants/{tenant_id}")

    def test_creates_reads_and_changes_an_agent(self, web: WebService, tenant_id: str, agent: dict[str, Any]) -> None:
        url = f"/agents/{agent['id']}"
        change = {"description": "changed", "config": {"model": "some-model", "temperature": 0.4}, "status": "inactive"}

        assert (agent["tenant_id"], agent["status"]) == (tenant_id, "active")
        assert (agent["description"], agent["template_id"]) == (None, None)
        listed = web.request("GET", "/agents", params={"tenant_id": tenant_id}).get("items", [])
        assert [each["id"] for each in listed] == [agent["id"]]
        assert web.request("PUT", url, json=change).items() >= change.items()
        assert web.request("GET", url)["tenant_id"] == tenant_id

    def test_issues_lists_and_deletes_a_key(self, web: WebService, agent: dict[str, Any], key: dict[str, Any]) -> None:
        owner = {"tenant_id": agent["tenant_id"], "agent_id": agent["id"]}

        for each in (key, *self.keys(web, owner)):
            assert each["id"] == key["id"]
            assert each.items() >= {**owner, "name": key["name"], "permissions": [], "status": "active"}.items()
            assert type(each["api_key"]) is type(each["created_at"]) is str
            assert [each[name] for name in ("description", "last_used_at", "expires_at")] == [None] * 3
        web.request("DELETE", f"/api-keys/{key['id']}")
        assert self.keys(web, owner) == []

    @staticmethod
    def keys(web: WebService, owner: dict[str, str]) -> list[dict[str, Any]]:
        """Return the keys with the `id` that the web service adds."""
        items: list[dict[str, Any]] = web.request("GET", "/api-keys", params={**owner, "page": 1, "page_size": 20})[
            "items"
        ]
        return [{**each, "id": each.pop("api_key_id", None) or each.get("id")} for each in items]

    def test_passes_on_the_status_and_message_of_a_refused_key(
        self, web: WebService, agent: dict[str, Any], key: dict[str, Any]
    ) -> None:
        same_name = {"tenant_id": agent["tenant_id"], "agent_id": agent["id"], "name": key["name"], "permissions": []}

        for sent, status in (
            (same_name, 409),
            ({**same_name, "agent_id": "agent_000000000000"}, 404),
            ({**same_name, "tenant_id": "tenant_000000000000"}, 404),
            ({**same_name, "name": ""}, 400),
        ):
            with pytest.raises(Failure) as failure:
                web.issue_key(sent)
            assert failure.value.args[0] == status
            assert isinstance(failure.value.args[1], str)
            assert failure.value.args[1]

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/agents/agent_000000000000", None),
            ("PUT", "/agents/agent_000000000000", {"name": "new"}),
            ("DELETE", "/api-keys/key_000000000000", None),
            ("POST", "/agents", {"tenant_id": "tenant_000000000000", "name": "lost"}),
            ("POST", "/tenants", {"tenant_type": "personal"}),
        ],
    )
    def test_shows_the_message_of_an_error(
        self, web: WebService, method: str, path: str, body: dict[str, Any] | None
    ) -> None:
        with pytest.raises(Failure, match=r"."):
            web.request(method, path, **({} if body is None else {"json": body}))

    def test_sets_a_plugin_without_an_envelope(self, web: WebService, agent: dict[str, Any]) -> None:
        setting = {"plugin_name": "dice", "enabled": True, "config": {"sides": 6}}

        assert web.set_plugin(agent["tenant_id"], agent["id"], setting).items() >= setting.items()

    def test_shows_the_models_and_defaults_of_the_system(self, web: WebService) -> None:
        assert web.request("GET", "/system/models").keys() >= {"providers", "models", "defaults"}
        assert isinstance(web.request("GET", "/system/bot-defaults"), dict)


class TestConsole:
    """The console's flow, request by request as a browser sends it."""

    def test_goes_from_registration_to_a_key(self, server: MaimServer) -> None:
        username = new_username()
        with server.client() as browser:
            person = f'{{"username": "{username}", "email": "{username}@example.com", "password": "{PASSWORD}"}}'
            registered = browser.post("/api/v1/auth/register", content=person, headers=JSON)
            assert registered.status_code == 200

            form = f"username={username}&password={PASSWORD.replace(' ', '+')}"
            access_token = browser.post("/api/v1/auth/login", content=form, headers=FORM).json()["access_token"]
            signed_in = {**JSON, "Authorization": f"Bearer {access_token}"}

            agent = browser.post(
                "/api/v1/agents/", content='{"name": "My bot", "description": "First"}', headers=signed_in
            )
            keys = f"/api/v1/agents/{agent.json()['id']}/api_keys"
            key = browser.post(keys, content='{"name": "Production", "permissions": ["chat"]}', headers=signed_in)
            assert key.status_code == 200
            assert key.json()["api_key"].startswith("mmc_")
            assert key.json()["permissions"] == ["chat"]

    def test_backend_check_changes_a_config_and_finds_its_key(self, server: MaimServer) -> None:
        username, config = new_username(), {"model": "some-model", "temperature": 0.4}
        with server.client() as script:
            person = {"username": username, "password": PASSWORD, "email": f"{username}@example.com"}
            assert script.post("/api/v1/auth/register", json=person).json()["id"]
            tokens = script.post("/api/v1/auth/login", data={"username": username, "password": PASSWORD})
            script.headers["Authorization"] = f"Bearer {tokens.json()['access_token']}"
            url = f"/api/v1/agents/{script.post('/api/v1/agents/', json={'name': 'Check'}).json()['id']}"

            assert script.put(url, json={"config": config}).json()["config"] == config
            key_id = script.post(f"{url}/api_keys", json={"name": "Check"}).json()["id"]
            listed = script.get(f"{url}/api_keys").json()
            assert (len(listed), listed[0]["id"]) == (1, key_id)
            assert script.delete(f"{url}/api_keys/{key_id}").status_code == 204

    def test_signs_in_with_form_data(self, server: MaimServer) -> None:
        """Send what `fetch` and `axios` make of a `FormData`, which the old service accepted like any other form."""
        username = new_username()
        with server.client() as browser:
            browser.post("/api/v1/auth/register", json={"username": username, "password": PASSWORD})
            parts = {"username": (None, username), "password": (None, PASSWORD)}

            tokens = browser.post("/api/v1/auth/login", files=parts)

        assert tokens.status_code == 200, tokens.text
        assert tokens.json()["access_token"]

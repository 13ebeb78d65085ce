"""A move of port 8000 first, with the old web service in front of it, and of port 8880 later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.http.surfaces import INTERNAL, PUBLIC
from legacy.tests.clients import verdict
from legacy.tests.import_command import import_from, verify
from legacy.tests.old_databases import AGENT_ID, PASSWORD, TENANT_ID, USER_ID, OldDatabase
from tests.support.client import SurfaceClient

pytestmark = pytest.mark.django_db


class OldWebService:
    """The old web service: its own rows, and its requests to port 8000."""

    def __init__(self, directory: Path) -> None:
        self.database = OldDatabase(f"sqlite:///{directory / 'web.sqlite3'}", ["users", "tenants"])
        self._config = SurfaceClient(INTERNAL)

    def register(self, user_id: str, username: str) -> str:
        """Register a user with a personal tenant, and return the tenant's id."""
        self.database.user(user_id, username)
        name = f"{username}'s Personal Tenant"
        body = {"tenant_name": name, "tenant_type": "personal", "owner_id": user_id, "contact_email": None}
        tenant_id = str(self._post("/api/v2/tenants", body)["id"])
        self.database.tenant(tenant_id, name, tenant_type="personal", owner_id=user_id)
        return tenant_id

    def make_agent(self, tenant_id: str, name: str) -> str:
        return str(self._post("/api/v2/agents", {"tenant_id": tenant_id, "name": name, "config": {}})["id"])

    def make_key(self, tenant_id: str, agent_id: str) -> str:
        body: dict[str, Any] = {
            "tenant_id": tenant_id,
            "agent_id": agent_id,
            "name": f"of {agent_id}",
            "description": None,
            "permissions": [],
        }
        return str(self._post("/api/v2/api-keys", body)["api_key"])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._config.send("POST", path, body)
        assert response.status_code == 200, response.content
        assert response.json()["success"]
        return response.json()["data"]


def agent_names(username: str) -> set[str]:
    """Sign in on port 8880, and return the names of all agents."""
    credentials = {"username": username, "password": PASSWORD}
    token = SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials).json()["access_token"]
    return {agent["name"] for agent in SurfaceClient(PUBLIC, token).get("/api/v1/agents/").json()}


def test_users_own_their_tenants_after_the_second_move(old: OldDatabase, tmp_path: Path) -> None:
    web = OldWebService(tmp_path)
    web.database.user(USER_ID, "alice")
    web.database.tenant(TENANT_ID, "Alice's", owner_id=USER_ID)
    old.tenant(TENANT_ID, "Alice's", owner_id=USER_ID)
    old.agent(TENANT_ID, AGENT_ID, "old bot")
    old_secret = old.key(TENANT_ID, AGENT_ID)
    import_from(old, tmp_path)  # port 8000 moves; the config service has stopped

    bobs_tenant = web.register("user_00000000000b", "bob")
    secrets = [old_secret]
    for tenant_id, name in ((TENANT_ID, "alice's new bot"), (bobs_tenant, "bob's bot")):
        secrets.append(web.make_key(tenant_id, web.make_agent(tenant_id, name)))
    second = import_from(old, tmp_path, "--apply", web=web.database)  # port 8880 moves

    assert second.report["findings"] == []
    assert agent_names("alice") == {"old bot", "alice's new bot"}
    assert agent_names("bob") == {"bob's bot"}
    assert [verdict(secret) for secret in secrets] == ["VALID"] * 3
    assert verify(old, web=web.database).status == 0
    third = import_from(old, tmp_path, "--apply", web=web.database)
    assert third.counts("tenants") == {"read": 2, "unchanged": 2}

"""The ways to an agent's keys: v1's own, and v2's envelope on either surface."""

from __future__ import annotations

from typing import Any

from agents.models import Agent
from tests.support.client import SurfaceClient
from tests.support.people import Person

ENVELOPED = ("v1 enveloped", "v2")
DOORS = ("v1", *ENVELOPED)
_ADDED = ["rate_limit", "quota", "allowed_networks", "metadata", "old_secret_last_used_at", "leaked_at"]
V1_FIELDS = [
    "id",
    "tenant_id",
    "agent_id",
    "name",
    "description",
    "api_key",
    "permissions",
    "status",
    "created_at",
    "last_used_at",
    "expires_at",
    "usage_count",
    *_ADDED,
    "revision",
]
V2_FIELDS = [
    "api_key_id",
    "tenant_id",
    "agent_id",
    "name",
    "description",
    "api_key",
    "permissions",
    "status",
    "expires_at",
    "last_used_at",
    "usage_count",
    "created_at",
    "updated_at",
    *_ADDED,
    "revision",
]


class KeyDoor:
    """One way to an agent's keys."""

    def __init__(self, kind: str, agent: Agent, alice: Person, internal: SurfaceClient) -> None:
        self.agent = agent
        self.is_bare = kind == "v1"
        self.client = internal if kind == "v2" else alice.client
        self.path = {
            "v1": f"/api/v1/agents/{agent.id}/api_keys",
            "v1 enveloped": "/api/v1/api-keys",
            "v2": "/api/v2/api-keys",
        }[kind]
        self.fields = V1_FIELDS if self.is_bare else V2_FIELDS

    def data(self, response: Any) -> Any:
        """What a good answer carries."""
        assert response.status_code == 200, response.content
        return response.json() if self.is_bare else response.json()["data"]

    def try_create(self, name: Any = "key", **fields: Any) -> Any:
        ids = {} if self.is_bare else {"tenant_id": self.agent.tenant_id, "agent_id": self.agent.id}
        return self.client.send("POST", self.path, {**ids, "name": name, **fields})

    def create(self, name: str = "key", **fields: Any) -> dict[str, Any]:
        key: dict[str, Any] = self.data(self.try_create(name, **fields))
        return key

    def key_path(self, key: dict[str, Any]) -> str:
        return f"{self.path}/{key['id' if self.is_bare else 'api_key_id']}"

    def get(self, key: dict[str, Any]) -> dict[str, Any]:
        read: dict[str, Any] = self.data(self.client.get(self.key_path(key)))
        return read

    def put(self, key: dict[str, Any], **changes: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.data(self.client.send("PUT", self.key_path(key), changes))
        return changed

    def try_rotate(self, key: dict[str, Any], body: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.client.send("POST", f"{self.key_path(key)}/rotate", {} if body is None else body, **headers)

    def rotate(self, key: dict[str, Any], **body: Any) -> dict[str, Any]:
        rotated: dict[str, Any] = self.data(self.try_rotate(key, body))
        return rotated

    def listed(self, query: str = "") -> list[dict[str, Any]]:
        prefix = "?" if self.is_bare else f"?tenant_id={self.agent.tenant_id}&agent_id={self.agent.id}&"
        data = self.data(self.client.get(f"{self.path}{prefix}{query}"))
        found: list[dict[str, Any]] = data if self.is_bare else data["items"]
        return found

    def refused(self, response: Any, status: int, code: str) -> list[str]:
        """A refusal; the names of the fields that are to blame."""
        assert response.status_code == status, response.content
        body = response.json()
        assert body["code" if self.is_bare else "error_code"] == code
        errors = body.get("errors") if self.is_bare else (body["data"] or {}).get("errors")
        return list(errors or {})

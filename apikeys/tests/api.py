"""The `api` of keys: v1's under their agent, and the enveloped one of either surface."""

from __future__ import annotations

from typing import Any

from agents.models import Agent
from tests.support.api import ApiClient
from tests.support.people import Person

ENVELOPED = ("v1 enveloped", "v2")
KINDS = ("v1", *ENVELOPED)
_SHARED = [
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
    "rate_limit",
    "quota",
    "allowed_networks",
    "metadata",
    "old_secret_last_used_at",
    "leaked_at",
    "revision",
]
V1_FIELDS = ["id", *_SHARED]
V2_FIELDS = ["api_key_id", *_SHARED, "updated_at"]


class KeyApi(ApiClient):
    """An agent's keys in one API."""

    def __init__(self, kind: str, agent: Agent, person: Person) -> None:
        super().__init__(kind[:2], person, is_enveloped=kind in ENVELOPED)
        self.agent = agent
        self.path = "/api-keys" if self.is_enveloped else f"/agents/{agent.id}/api_keys"
        self.fields = V2_FIELDS if self.is_enveloped else V1_FIELDS

    def try_create(self, name: Any = "key", **fields: Any) -> Any:
        ids = {"tenant_id": self.agent.tenant_id, "agent_id": self.agent.id} if self.is_enveloped else {}
        return self.send("POST", self.path, {**ids, "name": name, **fields})

    def create(self, name: str = "key", **fields: Any) -> dict[str, Any]:
        key: dict[str, Any] = self.data(self.try_create(name, **fields))
        return key

    def key_path(self, key: dict[str, Any]) -> str:
        return f"{self.path}/{key['api_key_id' if self.is_enveloped else 'id']}"

    def get(self, key: dict[str, Any]) -> dict[str, Any]:
        read: dict[str, Any] = self.data(self.send("GET", self.key_path(key)))
        return read

    def put(self, key: dict[str, Any], **changes: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.data(self.send("PUT", self.key_path(key), changes))
        return changed

    def try_rotate(self, key: dict[str, Any], body: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.send("POST", f"{self.key_path(key)}/rotate", {} if body is None else body, **headers)

    def rotate(self, key: dict[str, Any], **body: Any) -> dict[str, Any]:
        rotated: dict[str, Any] = self.data(self.try_rotate(key, body))
        return rotated

    def listed(self, query: str = "") -> list[dict[str, Any]]:
        prefix = f"?tenant_id={self.agent.tenant_id}&agent_id={self.agent.id}&" if self.is_enveloped else "?"
        return self.items(f"{self.path}{prefix}{query}")

"""The clients of the replaced services, each with its own way to send requests and read responses."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

PASSWORD = "a password of before"
_numbers = itertools.count(1)


def unique(name: str) -> str:
    """Return a name that nothing else on the shared server has."""
    return f"{name} {next(_numbers)}"


def new_username() -> str:
    return f"old_client_{next(_numbers)}"


class Failure(Exception):
    """An error with which a client gives up."""


class Bot:
    """The bot's client of port 8000, which treats any status but 200 as no response."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def parse_key(self, api_key: str) -> dict[str, Any] | None:
        response = self._http.post("/api/v2/auth/parse-api-key", json={"api_key": api_key})
        if response.status_code != 200 or not response.json().get("success"):
            return None
        data: dict[str, Any] = response.json().get("data")
        return data

    def lets_in(self, api_key: str) -> bool:
        """Return whether the holder of a key may connect."""
        parsed = self.parse_key(api_key)
        return parsed is not None and bool(parsed.get("format_valid", False))

    def name_of(self, api_key: str) -> str:
        """Return the name that the bot gives the holder of a key."""
        parsed = self.parse_key(api_key)
        assert parsed is not None
        return "_".join((parsed["tenant_id"], parsed["agent_id"], parsed["version"]))

    def log_use(self, tenant_id: str, platform: str, action: str, clock: float) -> bool:
        """Log a use at the time of a monotonic clock, and return whether it was accepted."""
        entry = {"user_id": tenant_id, "platform": platform, "action": action, "timestamp": clock}
        return self._http.post("/api/v1/usage/log", json=entry).status_code == 200

    def plugins(self, tenant_id: str, agent_id: str = "") -> dict[str, dict[str, Any]]:
        """Return the configs of the enabled plugins by name."""
        params = {"tenant_id": tenant_id, **({"agent_id": agent_id} if agent_id else {})}
        response = self._http.get("/api/v1/plugins/settings", params=params, timeout=2.0)
        if response.status_code != 200:
            return {}
        return {each["plugin_name"]: each.get("config", {}) for each in response.json() if each.get("enabled", False)}

    def find(self, path: str) -> Any:
        """Return the object at a path, or None for 404. Raise Failure for any other status but 200."""
        response = self._http.get(path)
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise Failure(response.status_code)
        return response.json()


class WebService:
    """The old web service as a client of port 8000. `base` is the base path in its settings."""

    def __init__(self, http: httpx.Client, base: str = "/api/v2") -> None:
        self._http, self._base = http, base

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Return the data of a successful response. Raise Failure with the body's message for any other."""
        response = self._http.request(method, self._base + path, **options)
        try:
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise Failure(response.json()["message"]) from error
        if not response.json().get("success"):
            raise Failure(response.json()["message"])
        return response.json()["data"]

    def register_tenant(self, owner_id: str, username: str, email: str | None = None) -> str:
        """Create the tenant of a user whom only the web service knows, and return its id."""
        tenant = {
            "tenant_name": f"{username}'s Personal Tenant",
            "tenant_type": "personal",
            "description": "Made at registration",
            "contact_email": email,
            "owner_id": owner_id,
        }
        tenant_id: str = self.request("POST", "/tenants", json=tenant)["id"]
        return tenant_id

    def set_plugin(self, tenant_id: str, agent_id: str, setting: dict[str, Any]) -> Any:
        """Return the setting in the response, which has no envelope."""
        url = self._base.replace("/v2", "/v1") + "/plugins/settings"
        response = self._http.post(url, params={"tenant_id": tenant_id, "agent_id": agent_id}, json=setting)
        response.raise_for_status()
        return response.json()

    def issue_key(self, key: dict[str, Any]) -> Any:
        """Return an issued key. Raise Failure with the status and the message, which the web service passes on."""
        response = self._http.post(f"{self._base}/api-keys", json=key, timeout=10.0)
        if response.status_code != 200:
            raise Failure(response.status_code, response.json().get("message", response.text))
        if not response.json().get("success", False):
            raise Failure(400, response.json().get("message"))
        data = response.json()["data"]
        data["id"] = data.pop("api_key_id")
        return data

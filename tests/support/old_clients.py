"""The programs that knew the replaced services, each with its own way to ask and to read an answer."""

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
    """The sentence with which a client gives up."""


class Bot:
    """The bot's client of port 8000, which takes anything but 200 for nothing."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def parse_key(self, api_key: str) -> dict[str, Any] | None:
        answer = self._http.post("/api/v2/auth/parse-api-key", json={"api_key": api_key})
        if answer.status_code != 200 or not answer.json().get("success"):
            return None
        data: dict[str, Any] = answer.json().get("data")
        return data

    def lets_in(self, api_key: str) -> bool:
        """Return whether the holder of a key may connect."""
        parsed = self.parse_key(api_key)
        return parsed is not None and bool(parsed.get("format_valid", False))

    def name_of(self, api_key: str) -> str:
        """Return the name under which the holder of a key is known from then on."""
        parsed = self.parse_key(api_key)
        assert parsed is not None
        return "_".join((parsed["tenant_id"], parsed["agent_id"], parsed["version"]))

    def log_use(self, tenant_id: str, platform: str, action: str, clock: float) -> bool:
        """Return whether the use was logged; `clock` is a monotonic one, whose zero is the start of the machine."""
        entry = {"user_id": tenant_id, "platform": platform, "action": action, "timestamp": clock}
        return self._http.post("/api/v1/usage/log", json=entry).status_code == 200

    def plugins(self, tenant_id: str, agent_id: str = "") -> dict[str, dict[str, Any]]:
        """Return the configs of the enabled plugins by name."""
        params = {"tenant_id": tenant_id, **({"agent_id": agent_id} if agent_id else {})}
        answer = self._http.get("/api/v1/plugins/settings", params=params, timeout=2.0)
        if answer.status_code != 200:
            return {}
        return {each["plugin_name"]: each.get("config", {}) for each in answer.json() if each.get("enabled", False)}

    def find(self, path: str) -> Any:
        """Return what is at a path, None where nothing is. Raise Failure for any other answer."""
        answer = self._http.get(path)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise Failure(answer.status_code)
        return answer.json()


class WebService:
    """The old web service as a client of port 8000, with the base path of its setting."""

    def __init__(self, http: httpx.Client, base: str = "/api/v2") -> None:
        self._http, self._base = http, base

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Return the data of a success. Raise Failure, with the message in the body, for any other answer."""
        answer = self._http.request(method, self._base + path, **options)
        try:
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise Failure(answer.json()["message"]) from error
        if not answer.json().get("success"):
            raise Failure(answer.json()["message"])
        return answer.json()["data"]

    def register_tenant(self, owner_id: str, username: str, email: str | None = None) -> str:
        """Return the id of the tenant of a person whom only the web service knows."""
        tenant = {
            "tenant_name": f"{username}'s Personal Tenant",
            "tenant_type": "personal",
            "description": "Made at registration",
            "contact_email": email,
            "owner_id": owner_id,
        }
        tenant_id: str = self.ask("POST", "/tenants", json=tenant)["id"]
        return tenant_id

    def set_plugin(self, tenant_id: str, agent_id: str, setting: dict[str, Any]) -> Any:
        """Return the setting as it was answered, outside of any envelope."""
        url = self._base.replace("/v2", "/v1") + "/plugins/settings"
        answer = self._http.post(url, params={"tenant_id": tenant_id, "agent_id": agent_id}, json=setting)
        answer.raise_for_status()
        return answer.json()

    def issue_key(self, key: dict[str, Any]) -> Any:
        """Return an issued key. Raise Failure with the status and the message that are passed on to the person."""
        answer = self._http.post(f"{self._base}/api-keys", json=key, timeout=10.0)
        if answer.status_code != 200:
            raise Failure(answer.status_code, answer.json().get("message", answer.text))
        if not answer.json().get("success", False):
            raise Failure(400, answer.json().get("message"))
        data = answer.json()["data"]
        data["id"] = data.pop("api_key_id")
        return data

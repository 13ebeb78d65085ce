"""The interfaces that change keys, agents and tenants on real servers: v2, v1, the admin and commands.

All have the same methods, so that one script of changes runs through any of them. The objects to change are always
created through v2.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import httpx
from django.contrib.admin.utils import quote

from tests.support.operators import Fields, form_of
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

OLIVIA = "olivia"
NETWORKS = ["203.0.113.0/24"]
_numbers = itertools.count(1)


class InternalApi:
    """v2, and the base of the others: a tenant, its agent, the agent's key, and the key's current secret.

    Requests go to the servers in turn.
    """

    def __init__(self, servers: Sequence[MaimServer]) -> None:
        self._stack = ExitStack()
        self._v2 = itertools.cycle([self._stack.enter_context(maim.client("internal")) for maim in servers])
        self.tenant_id = self.agent_id = self.key_id = self.secret = ""

    def close(self) -> None:
        self._stack.close()

    # ---- creating

    def make_tenant(self) -> None:
        """Create a tenant with an agent and a key."""
        body = {"tenant_name": f"tenant {next(_numbers)}", "tenant_type": "enterprise", "owner_id": self._owner_id()}
        self.tenant_id = self._data("POST", "/api/v2/tenants", body)["id"]
        self.make_agent()

    def make_agent(self) -> None:
        """Create an agent in the tenant, with a key."""
        self.agent_id = self._data("POST", "/api/v2/agents", {"tenant_id": self.tenant_id, "name": "agent"})["id"]
        self.make_key()

    def make_key(self) -> None:
        """Create a key of the agent."""
        owner = {"tenant_id": self.tenant_id, "agent_id": self.agent_id}
        created = self._data("POST", "/api/v2/api-keys", {**owner, "name": "key", "permissions": ["chat"]})
        self.key_id, self.secret = created["api_key_id"], created["api_key"]

    # ---- changing

    def change_key(self, **changes: Any) -> None:
        self._data("PUT", f"/api/v2/api-keys/{self.key_id}", changes)

    def disable_key(self) -> None:
        self._data("POST", f"/api/v2/api-keys/{self.key_id}/disable")

    def enable_key(self) -> None:
        self._data("POST", f"/api/v2/api-keys/{self.key_id}/enable")

    def change_keys(self, verb: str) -> None:
        """Disable or enable the key together with another, which does not exist."""
        self._data("POST", f"/api/v2/api-keys/{verb}", {"api_key_ids": ["key_000000000000", self.key_id]})

    def rotate_key(self) -> None:
        """Rotate the key without grace. The new secret is then `secret`."""
        rotated = self._data("POST", f"/api/v2/api-keys/{self.key_id}/rotate", {"grace_seconds": 0})
        self.secret = rotated["api_key"]

    def report_leak(self) -> None:
        self._data("POST", "/api/v2/auth/report-leaked-key", {"api_key": self.secret})

    def delete_key(self) -> None:
        self._data("DELETE", f"/api/v2/api-keys/{self.key_id}")

    def change_agent(self, **changes: Any) -> None:
        self._data("PUT", f"/api/v2/agents/{self.agent_id}", changes)

    def delete_agent(self) -> None:
        self._data("DELETE", f"/api/v2/agents/{self.agent_id}")

    def change_tenant(self, **changes: Any) -> None:
        self._data("PUT", f"/api/v2/tenants/{self.tenant_id}", changes)

    def delete_tenant(self) -> None:
        self._data("DELETE", f"/api/v2/tenants/{self.tenant_id}")

    # ---- requests

    def _owner_id(self) -> str | None:
        return None

    def _data(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = next(self._v2).request(method, path, json=body)
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()["data"]
        return data


class PublicApi(InternalApi):
    """v1 as the tenant's owner, who may neither suspend the tenant nor report leaks."""

    def __init__(self, servers: Sequence[MaimServer]) -> None:
        super().__init__(servers)
        clients = [self._stack.enter_context(maim.client()) for maim in servers]
        person = {"username": f"console{next(_numbers)}", "password": PASSWORD}
        self._user_id: str = clients[0].post("/api/v1/auth/register", json=person).json()["id"]
        token = clients[0].post("/api/v1/auth/login", json=person).json()["access_token"]
        for client in clients:
            client.headers["Authorization"] = f"Bearer {token}"
        self._v1 = itertools.cycle(clients)

    def change_key(self, **changes: Any) -> None:
        self._send("PATCH", self._key_url, changes)

    def disable_key(self) -> None:
        self._send("POST", f"/api/v1/api-keys/{self.key_id}/disable")

    def enable_key(self) -> None:
        self._send("POST", f"/api/v1/api-keys/{self.key_id}/enable")

    def change_keys(self, verb: str) -> None:
        self._send("POST", f"/api/v1/api-keys/{verb}", {"api_key_ids": ["key_000000000000", self.key_id]})

    def rotate_key(self) -> None:
        self.secret = self._send("POST", f"{self._key_url}/rotate", {}).json()["api_key"]

    def delete_key(self) -> None:
        self._send("DELETE", self._key_url)

    def change_agent(self, **changes: Any) -> None:
        self._send("PATCH", f"/api/v1/agents/{self.agent_id}", changes)

    def delete_agent(self) -> None:
        self._send("DELETE", f"/api/v1/agents/{self.agent_id}")

    def delete_tenant(self) -> None:
        self._send("DELETE", f"/api/v1/tenants/{self.tenant_id}")

    @property
    def _key_url(self) -> str:
        return f"/api/v1/agents/{self.agent_id}/api_keys/{self.key_id}"

    def _owner_id(self) -> str | None:
        return self._user_id

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        response = next(self._v1).request(method, path, json=body)
        assert response.is_success, response.text
        return response


class AdminSite(InternalApi):
    """The operators' admin, through its forms."""

    def __init__(self, servers: Sequence[MaimServer]) -> None:
        super().__init__(servers)
        self._admin = itertools.cycle([self._stack.enter_context(signed_in(maim)) for maim in servers])

    def change_key(self, **changes: Any) -> None:
        self._submit("apikeys/apikey", self.key_id, "change", changes)

    def disable_key(self) -> None:
        self._run_action("disable")

    def enable_key(self) -> None:
        self._run_action("enable")

    def rotate_key(self) -> None:
        page = self._submit("apikeys/apikey", self.key_id, "rotate", {"grace_seconds": 0}, status=200)
        (self.secret,) = re.findall(r"mmc_[A-Za-z0-9+/]+", page.text)

    def delete_key(self) -> None:
        self._submit("apikeys/apikey", self.key_id, "delete", {})

    def change_agent(self, **changes: Any) -> None:
        self._submit("agents/agent", self.agent_id, "change", changes)

    def delete_agent(self) -> None:
        self._submit("agents/agent", self.agent_id, "delete", {})

    def change_tenant(self, **changes: Any) -> None:
        self._submit("tenants/tenant", self.tenant_id, "change", changes)

    def delete_tenant(self) -> None:
        self._submit("tenants/tenant", self.tenant_id, "delete", {})

    def _run_action(self, action: str) -> None:
        run_action(next(self._admin), action, [self.key_id])

    def _submit(self, model: str, row: str, page: str, changes: dict[str, Any], *, status: int = 302) -> httpx.Response:
        """Fill in the form of a row's page and send it, as a browser would."""
        admin, path = next(self._admin), f"/admin/{model}/{quote(row)}/{page}/"
        form = form_of(admin.get(path))
        for name, value in changes.items():
            form.update(_as_fields(name, value))
        response = admin.post(path, data=form)
        assert response.status_code == status, response.text
        return response


class Commands(InternalApi):
    """`manage.py keys`, which changes keys alone."""

    def __init__(self, servers: Sequence[MaimServer]) -> None:
        super().__init__(servers)
        self._maim = servers[0]

    def disable_key(self) -> None:
        self._maim.manage("keys", "disable", self.key_id)

    def enable_key(self) -> None:
        self._maim.manage("keys", "enable", self.key_id)

    def rotate_key(self) -> None:
        self.secret = self._maim.manage("keys", "rotate", self.key_id, "--quiet").strip()

    def delete_key(self) -> None:
        self._maim.manage("keys", "delete", self.key_id, "--yes")


def make_operator(maim: MaimServer) -> None:
    """Create Olivia, who may change everything."""
    maim.manage(
        "createsuperuser",
        "--noinput",
        f"--username={OLIVIA}",
        "--email=olivia@example.com",
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )


@contextmanager
def signed_in(maim: MaimServer) -> Iterator[httpx.Client]:
    """Yield a browser in which Olivia is signed in to the admin."""
    with maim.client() as admin:
        admin.get("/admin/login/")
        response = admin.post(
            "/admin/login/",
            data={"csrfmiddlewaretoken": admin.cookies["csrftoken"], "username": OLIVIA, "password": PASSWORD},
        )
        assert response.status_code == 302, response.text
        yield admin


def run_action(admin: httpx.Client, action: str, key_ids: Sequence[str]) -> None:
    """Run an action of the admin's list of keys on some of them."""
    fields = {
        "csrfmiddlewaretoken": admin.cookies["csrftoken"],
        "action": action,
        "index": "0",
        "_selected_action": list(key_ids),
    }
    response = admin.post("/admin/apikeys/apikey/", data=fields)
    assert response.status_code == 302, response.text


_PARTS = {"rate_limit": ("limit", "window_seconds"), "quota": ("limit", "period")}


def _as_fields(name: str, value: Any) -> Fields:
    """Return a value as the fields of a form: two for a time or limit, JSON for a document, empty for None."""
    if name in _PARTS:
        return {f"{name}_{part}": [str((value or {}).get(part, ""))] for part in _PARTS[name]}
    if name == "expires_at":
        parsed = None if value is None else datetime.fromisoformat(value)
        date, time = (f"{parsed:%Y-%m-%d}", f"{parsed:%H:%M:%S}") if parsed else ("", "")
        return {f"{name}_0": [date], f"{name}_1": [time]}
    if isinstance(value, dict | list):
        return {name: [json.dumps(value)]}
    return {name: ["" if value is None else str(value)]}

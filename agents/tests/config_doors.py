"""The two doors to an agent's config, its layers and its versions, with the same few verbs."""

from __future__ import annotations

import itertools
import json
from typing import Any, Self

from agent_config.secrets import opened
from agents.models import Agent, ConfigVersion
from core.models import AuditEntry, FeedEntry
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config
from tests.support.people import Person

SURFACES = ("v1", "v2")
_numbers = itertools.count(1)


class Door:
    """An agent of Alice's as one surface shows it; everything but `try_` must succeed."""

    def __init__(self, version: str, client: SurfaceClient, person: Person) -> None:
        self.version, self.client, self.person = version, client, person
        self.tenant_id = person.tenant.id
        self.agent_id = ""

    def of(self, person: Person) -> Self:
        """The same door and agent, for somebody else."""
        door = type(self)(self.version, person.client if self.version == "v1" else self.client, person)
        door.agent_id = self.agent_id
        return door

    # ---- requests

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The response to a request below the door's own root."""
        return self.client.send(method, f"/api/{self.version}{path}", body, **headers)

    def data(self, response: Any) -> Any:
        """What a good answer tells."""
        assert response.status_code == 200, response.content
        return response.json() if self.version == "v1" else response.json()["data"]

    def rows(self, path: str) -> list[dict[str, Any]]:
        """The rows of a list."""
        found = self.data(self.send("GET", path))
        listed: list[dict[str, Any]] = found if self.version == "v1" else found["items"]
        return listed

    def refused(self, response: Any, status: int, code: str, *paths: str) -> None:
        """An error of this status and code, which names exactly these paths."""
        assert response.status_code == status, response.content
        body = response.json()
        found, errors = (
            (body["code"], body.get("errors", {}))
            if self.version == "v1"
            else (body["error_code"], (body["data"] or {}).get("errors", {}))
        )
        assert (found, list(errors)) == (code, list(paths))

    # ---- an agent and its config

    def create(self, config: Config | None = None, **fields: Any) -> Self:
        """Makes the agent that all that follows is about."""
        body = {"tenant_id": self.tenant_id, "name": f"bot {next(_numbers)}", "config": config or {}, **fields}
        self.agent_id = self.data(self.send("POST", "/agents", body))["id"]
        return self

    def try_put(self, config: Any, query: str = "", **headers: str) -> Any:
        return self.send("PUT", f"/agents/{self.agent_id}/config{query}", config, **headers)

    def put(self, config: Config, query: str = "", **headers: str) -> Config:
        """Writes the config; as the answer shows it."""
        shown: Config = self.data(self.try_put(config, query, **headers))
        return shown

    def change(self, **fields: Any) -> None:
        """Changes the agent itself."""
        self.data(self.send("PUT", f"/agents/{self.agent_id}", fields))

    def read(self, what: str = "", **headers: str) -> Any:
        """The response to a read of the config, or of what is below it."""
        return self.send("GET", f"/agents/{self.agent_id}/config{what}", **headers)

    def get(self, what: str = "") -> Any:
        """What a read of the config, or of what is below it, tells."""
        return self.data(self.read(what))

    def effective(self) -> Config:
        config: Config = self.get("/effective")["config"]
        return config

    def etag(self, what: str = "/effective") -> str:
        tag: str = self.read(what)["ETag"]
        return tag

    def versions(self) -> list[dict[str, Any]]:
        """Newest first."""
        return self.rows(f"/agents/{self.agent_id}/config/versions")

    def restore(self, version: int, **fields: Any) -> Any:
        return self.send("POST", f"/agents/{self.agent_id}/config/restore", {"version": version, **fields})

    # ---- other layers

    def try_set_defaults(self, defaults: Any) -> Any:
        return self.send("PUT", f"/tenants/{self.tenant_id}", {"tenant_config": {"agent_defaults": defaults}})

    def set_defaults(self, defaults: Any) -> None:
        """What the tenant says for all of its agents."""
        self.data(self.try_set_defaults(defaults))

    def make_template(self, config: Config, **fields: Any) -> str:
        """A template of the tenant; its id."""
        return self.template({"config": config, "tenant_id": self.tenant_id, **fields})

    def template(self, body: dict[str, Any]) -> str:
        made: str = self.data(self.send("POST", "/templates", {"name": f"template {next(_numbers)}", **body}))["id"]
        return made

    # ---- what is stored

    @property
    def row(self) -> Agent:
        return Agent.unscoped.get(pk=self.agent_id)

    def stored(self) -> Config:
        """The config as it is stored, secrets opened."""
        return opened(self.row.config)

    def numbers(self) -> list[int]:
        """The numbers of the versions that are stored, in order."""
        rows = ConfigVersion.unscoped.filter(agent_id=self.agent_id).order_by("number")
        return list(rows.values_list("number", flat=True))

    def state(self) -> str:
        """All that a write of the agent changes: its row, its versions, the feed and the audit log."""
        rows = [
            list(Agent.unscoped.filter(pk=self.agent_id).values()),
            list(ConfigVersion.unscoped.filter(agent_id=self.agent_id).order_by("pk").values()),
            list(FeedEntry.objects.filter(subject=self.agent_id).order_by("pk").values()),
            list(AuditEntry.objects.filter(object_id=self.agent_id).order_by("pk").values()),
        ]
        return json.dumps(rows, default=str)


def operators_template(internal: SurfaceClient, config: Config, **fields: Any) -> str:
    """A template for everybody; its id."""
    body = {"name": f"operators' {next(_numbers)}", "config": config, **fields}
    made = internal.send("POST", "/api/v2/templates", body)
    assert made.status_code == 200, made.content
    template_id: str = made.json()["data"]["id"]
    return template_id


def shown(config: Config) -> Config:
    """The config with the mask in the place of each secret that is set."""
    result: Config = json.loads(json.dumps(config))
    overrides = result.get("config_overrides", {})
    for provider in overrides.get("model", {}).get("api_providers", ()):
        for key in ("api_key", "base_url"):
            if provider.get(key):
                provider[key] = MASK
    if overrides.get("maim_message", {}).get("auth_token"):
        overrides["maim_message"]["auth_token"] = [MASK]
    return result

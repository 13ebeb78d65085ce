"""The `api` of agents: their configs, layers and versions."""

from __future__ import annotations

import itertools
import json
from typing import Any, Self

from agent_config.secrets import opened
from agents.models import Agent, ConfigVersion
from core.models import AuditEntry, FeedEntry
from tests.support.api import ApiClient
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config
from tests.support.people import Person

_numbers = itertools.count(1)


class AgentApi(ApiClient):
    """An agent of a person's in one API. All methods but `try_…` must succeed."""

    def __init__(self, version: str, person: Person) -> None:
        super().__init__(version, person)
        self.tenant_id = person.tenant.id
        self.agent_id = ""

    def for_person(self, person: Person) -> Self:
        """Return the same API and agent for somebody else."""
        api = type(self)(self.version, person)
        api.agent_id = self.agent_id
        return api

    # ---- an agent and its config

    def create(self, config: Config | None = None, **fields: Any) -> Self:
        """Create the agent of the following requests."""
        body = {"tenant_id": self.tenant_id, "name": f"bot {next(_numbers)}", "config": config or {}, **fields}
        self.agent_id = self.data(self.send("POST", "/agents", body))["id"]
        return self

    def try_put(self, config: Any, query: str = "", **headers: str) -> Any:
        return self.send("PUT", f"/agents/{self.agent_id}/config{query}", config, **headers)

    def put(self, config: Config, query: str = "", **headers: str) -> Config:
        """Write the config and return it as the response shows it."""
        shown: Config = self.data(self.try_put(config, query, **headers))
        return shown

    def change(self, **fields: Any) -> None:
        """Change the agent itself."""
        self.data(self.send("PUT", f"/agents/{self.agent_id}", fields))

    def read(self, what: str = "", **headers: str) -> Any:
        """Return the response to a read of the config, or of a path below it."""
        return self.send("GET", f"/agents/{self.agent_id}/config{what}", **headers)

    def get(self, what: str = "") -> Any:
        """Return the data of the config, or of a path below it."""
        return self.data(self.read(what))

    def effective(self) -> Config:
        config: Config = self.get("/effective")["config"]
        return config

    def etag(self, what: str = "/effective") -> str:
        tag: str = self.read(what)["ETag"]
        return tag

    def versions(self) -> list[dict[str, Any]]:
        """Return the versions, newest first."""
        return self.items(f"/agents/{self.agent_id}/config/versions")

    def restore(self, version: int, **fields: Any) -> Any:
        return self.send("POST", f"/agents/{self.agent_id}/config/restore", {"version": version, **fields})

    # ---- other layers

    def try_set_defaults(self, defaults: Any) -> Any:
        return self.send("PUT", f"/tenants/{self.tenant_id}", {"tenant_config": {"agent_defaults": defaults}})

    def set_defaults(self, defaults: Any) -> None:
        """Set the tenant's defaults for all of its agents."""
        self.data(self.try_set_defaults(defaults))

    def make_template(self, config: Config, **fields: Any) -> str:
        """Create a template of the tenant and return its id."""
        return self.create_template({"config": config, "tenant_id": self.tenant_id, **fields})

    def create_template(self, body: dict[str, Any]) -> str:
        made: str = self.data(self.send("POST", "/templates", {"name": f"template {next(_numbers)}", **body}))["id"]
        return made

    # ---- the database

    @property
    def row(self) -> Agent:
        return Agent.unscoped.get(pk=self.agent_id)

    def stored(self) -> Config:
        """Return the stored config with its secrets."""
        return opened(self.row.config)

    def numbers(self) -> list[int]:
        """Return the numbers of the stored versions, in order."""
        rows = ConfigVersion.unscoped.filter(agent_id=self.agent_id).order_by("number")
        return list(rows.values_list("number", flat=True))

    def state(self) -> str:
        """Return all that a write of the agent changes: its row, its versions, the feed and the audit log."""
        rows = [
            list(Agent.unscoped.filter(pk=self.agent_id).values()),
            list(ConfigVersion.unscoped.filter(agent_id=self.agent_id).order_by("pk").values()),
            list(FeedEntry.objects.filter(subject=self.agent_id).order_by("pk").values()),
            list(AuditEntry.objects.filter(object_id=self.agent_id).order_by("pk").values()),
        ]
        return json.dumps(rows, default=str)


class ConfigApi(ApiClient):
    """One way to write and read an agent's config: with the agent, or with `is_document` by itself in v2."""

    def __init__(self, version: str, person: Person, *, is_document: bool = False) -> None:
        super().__init__(version, person)
        self.is_document = is_document
        self.tenant_id = person.tenant.id
        self.agent_id = ""

    @property
    def path(self) -> str:
        """The path that the config is written to and read from."""
        return f"/agents/{self.agent_id}{'/config' if self.is_document else ''}"

    def try_create(self, config: Any) -> Any:
        return self.send("POST", "/agents", {"tenant_id": self.tenant_id, "name": "bot", "config": config})

    def create(self, config: Config) -> Config:
        """Create the agent and return its config as the response shows it."""
        agent = self.data(self.try_create(config))
        self.agent_id = agent["id"]
        shown: Config = agent["config"]
        return shown

    def try_put(self, config: Any) -> Any:
        return self.send("PUT", self.path, config if self.is_document else {"config": config})

    def put(self, config: Config) -> Config:
        """Merge into the config and return it as the response shows it."""
        return self._config(self.try_put(config))

    def get(self) -> Config:
        """Return the config as it reads back."""
        return self._config(self.send("GET", self.path))

    def assert_invalid(self, response: Any, *paths: str) -> None:
        """Assert that the config is rejected for exactly these paths."""
        self.assert_error(response, 400, "AGENT_004", *paths)

    def _config(self, response: Any) -> Config:
        data = self.data(response)
        config: Config = data if self.is_document else data["config"]
        return config


def operators_template(internal: SurfaceClient, config: Config, **fields: Any) -> str:
    """Create a template for everybody and return its id."""
    body = {"name": f"operators' {next(_numbers)}", "config": config, **fields}
    made = internal.send("POST", "/api/v2/templates", body)
    assert made.status_code == 200, made.content
    template_id: str = made.json()["data"]["id"]
    return template_id


def shown(config: Config) -> Config:
    """Return the config with each secret masked."""
    result: Config = json.loads(json.dumps(config))
    overrides = result.get("config_overrides", {})
    for provider in overrides.get("model", {}).get("api_providers", ()):
        for key in ("api_key", "base_url"):
            if provider.get(key):
                provider[key] = MASK
    if overrides.get("maim_message", {}).get("auth_token"):
        overrides["maim_message"]["auth_token"] = [MASK]
    return result

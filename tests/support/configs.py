"""The three doors through which a config is written, for the tests of what it may be."""

from __future__ import annotations

from typing import Any

from agent_config.secrets import opened
from agents.models import Agent
from tests.support.client import SurfaceClient
from tests.support.people import Person

Config = dict[str, Any]
MASK = "********"
DOORS = ("v1", "v2", "v2 config")


class ConfigDoor:
    """One way to write and read a config."""

    def __init__(self, kind: str, alice: Person, internal: SurfaceClient) -> None:
        self.kind = kind
        self.client = alice.client if kind == "v1" else internal
        self.collection = "/api/v1/agents" if kind == "v1" else "/api/v2/agents"
        self.tenant_id = alice.tenant.id
        self.agent_id = ""

    def try_create(self, config: Any) -> Any:
        return self.client.send("POST", self.collection, {"tenant_id": self.tenant_id, "name": "bot", "config": config})

    def create(self, config: Config) -> Config:
        """Makes the agent; its config as the answer shows it."""
        agent = self._good(self.try_create(config))
        self.agent_id = agent["id"]
        shown: Config = agent["config"]
        return shown

    def try_put(self, config: Any) -> Any:
        path = f"{self.collection}/{self.agent_id}"
        if self.kind == "v2 config":
            return self.client.send("PUT", f"{path}/config", config)
        return self.client.send("PUT", path, {"config": config})

    def put(self, config: Config) -> Config:
        """Merges into the config; the config as the answer shows it."""
        data = self._good(self.try_put(config))
        shown: Config = data if self.kind == "v2 config" else data["config"]
        return shown

    def get(self) -> Config:
        """The config as it reads back."""
        path = f"{self.collection}/{self.agent_id}"
        if self.kind == "v2 config":
            read: Config = self._good(self.client.get(f"{path}/config"))
            return read
        config: Config = self._good(self.client.get(path))["config"]
        return config

    def refused(self, response: Any, *paths: str) -> None:
        """400 AGENT_004 that names these paths; nothing was written."""
        body = response.json()
        assert response.status_code == 400, response.content
        code, errors = (
            (body["code"], body["errors"]) if self.kind == "v1" else (body["error_code"], body["data"]["errors"])
        )
        assert code == "AGENT_004"
        assert list(errors) == list(paths)
        assert all(sentence for sentences in errors.values() for sentence in sentences)

    def _good(self, response: Any) -> Any:
        assert response.status_code == 200, response.content
        return response.json() if self.kind == "v1" else response.json()["data"]


def stored() -> Config:
    """The one agent's config as it is stored, its secrets opened."""
    return opened(Agent.unscoped.get().config)


def model(**parts: Any) -> Config:
    return {"config_overrides": {"model": parts}}


def provider(name: str = "mine", **fields: Any) -> Config:
    return {"name": name, "client_type": "openai", **fields}


def secret_provider(name: str = "mine") -> Config:
    return provider(name, base_url="https://mine.example", api_key="sk-mine")

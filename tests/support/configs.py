"""The three APIs that write configs, for the tests of configs."""

from __future__ import annotations

from typing import Any

from agent_config.secrets import opened
from agents.models import Agent
from tests.support.client import SurfaceClient
from tests.support.people import Person

Config = dict[str, Any]
MASK = "********"
CONFIG_APIS = ("v1", "v2", "v2 config")


class ConfigApi:
    """One of the APIs that write and read configs."""

    def __init__(self, kind: str, alice: Person, internal: SurfaceClient) -> None:
        self.kind = kind
        self.client = alice.client if kind == "v1" else internal
        self.collection = "/api/v1/agents" if kind == "v1" else "/api/v2/agents"
        self.tenant_id = alice.tenant.id
        self.agent_id = ""

    def try_create(self, config: Any) -> Any:
        return self.client.send("POST", self.collection, {"tenant_id": self.tenant_id, "name": "bot", "config": config})

    def create(self, config: Config) -> Config:
        """Create the agent. Return its config from the response."""
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
        """Merge into the config. Return the config from the response."""
        data = self._good(self.try_put(config))
        shown: Config = data if self.kind == "v2 config" else data["config"]
        return shown

    def get(self) -> Config:
        """Read and return the config."""
        path = f"{self.collection}/{self.agent_id}"
        if self.kind == "v2 config":
            read: Config = self._good(self.client.get(f"{path}/config"))
            return read
        config: Config = self._good(self.client.get(path))["config"]
        return config

    def refused(self, response: Any, *paths: str) -> None:
        """Check for 400 AGENT_004 with exactly these paths."""
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
    """Return the stored config of the only agent, with its secrets in clear."""
    return opened(Agent.unscoped.get().config)


def model(**parts: Any) -> Config:
    return {"config_overrides": {"model": parts}}


def provider(name: str = "mine", **fields: Any) -> Config:
    return {"name": name, "client_type": "openai", **fields}


def secret_provider(name: str = "mine") -> Config:
    return provider(name, base_url="https://mine.example", api_key="sk-mine")

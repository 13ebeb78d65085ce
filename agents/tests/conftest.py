from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.tests.api import AgentApi, ConfigApi
from tenants.models import Tenant
from tests.support.api import VERSIONS
from tests.support.passes import on_sqlite_all
from tests.support.people import Person


@pytest.fixture
def system_models(tmp_path: Path, settings: Any) -> None:
    """The system has a provider and a model of its own."""
    path = tmp_path / "models.toml"
    path.write_text(
        """
        [[api_providers]]
        name = "Ünïversal"
        base_url = "https://system.example"
        api_key = "the-operators-key"

        [[models]]
        name = "system-model"
        model_identifier = "system-model"
        api_provider = "Ünïversal"
        """
    )
    settings.MODEL_CONFIG_PATH = path


@pytest.fixture(params=on_sqlite_all(["v1", "v2", "v2 config"]))
def config_api(request: pytest.FixtureRequest, alice: Person, system_models: None) -> ConfigApi:
    """The config of an agent of Alice's in each API that can write it."""
    return ConfigApi(request.param[:2], alice, is_document=request.param.endswith("config"))


@pytest.fixture(params=on_sqlite_all(VERSIONS))
def api(request: pytest.FixtureRequest, alice: Person) -> AgentApi:
    """An agent of Alice's in each API."""
    return AgentApi(request.param, alice)


@pytest.fixture
def other_tenant(alice: Person) -> Tenant:
    """A second tenant of Alice's."""
    body = {"tenant_name": "Acme", "tenant_type": "enterprise"}
    return Tenant.objects.get(pk=alice.client.send("POST", "/api/v1/tenants", body).json()["data"]["id"])

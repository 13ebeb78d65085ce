from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.tests.config_doors import SURFACES, Door
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.configs import CONFIG_APIS, ConfigApi
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
        api_key = "the operator's key"

        [[models]]
        name = "system-model"
        api_provider = "Ünïversal"
        """
    )
    settings.MODEL_CONFIG_PATH = path


@pytest.fixture(params=CONFIG_APIS)
def config_api(
    request: pytest.FixtureRequest, alice: Person, internal: SurfaceClient, system_models: None
) -> ConfigApi:
    """Each API in turn."""
    return ConfigApi(request.param, alice, internal)


@pytest.fixture(params=SURFACES)
def door(request: pytest.FixtureRequest, alice: Person, internal: SurfaceClient) -> Door:
    """Alice's agents on each surface in turn."""
    return Door(request.param, alice.client if request.param == "v1" else internal, alice)


@pytest.fixture
def other_tenant(alice: Person) -> Tenant:
    """A second tenant of Alice's."""
    body = {"tenant_name": "Acme", "tenant_type": "enterprise"}
    return Tenant.objects.get(pk=alice.client.send("POST", "/api/v1/tenants", body).json()["data"]["id"])

"""Writes of objects as they were read, which change nothing and raise no revision."""

from __future__ import annotations

from typing import Any

import pytest

from apikeys.models import ApiKey
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tests.support.client import SurfaceClient
from tests.support.people import Person, register
from tests.support.routes import fill, methods_of
from tests.support.tables import changed_tables, tables
from tests.support.tokens import values_for

pytestmark = pytest.mark.django_db

LIMITS = {"rate_limit": {"limit": 60, "window_seconds": 60}, "quota": {"limit": 1000, "period": "day"}}
# With an address and the secret beside it, a mask in a list, an unknown key, and both spellings of `persona`.
CONFIG = {
    "persona": "a short one",
    "tags": ["inside"],
    "custom_setting": {"api_key": "sk-custom", "deep": [1, None, {"x": False}]},
    "config_overrides": {
        "maim_message": {"auth_token": ["t-1", "t-2"]},
        "model": {
            "api_providers": [{"name": "ours", "base_url": "https://llm.example/v1", "api_key": "sk-1"}],
            "models": [{"name": "m", "model_identifier": "m-1", "api_provider": "ours"}],
        },
    },
}
FULL: dict[str, dict[str, Any]] = {
    "tenants": {
        "tenant_type": "enterprise",
        "description": "whole",
        "contact_email": "somebody@example.com",
        "tenant_config": {"timezone": "Asia/Shanghai", "webhook": {"url": "https://x.example", "token": "t"}},
        **LIMITS,
    },
    "templates": {"description": "whole", "config": {"custom_setting": CONFIG["custom_setting"]}},
    "agents": {"description": "whole", "config": CONFIG, "tags": ["a", "b"], **LIMITS},
    "api-keys": {
        "description": "whole",
        "permissions": ["chat", "config.*"],
        "expires_at": "2035-01-01T00:00:00Z",
        "allowed_networks": ["203.0.113.0/24"],
        "metadata": {"team": "客服"},
        **LIMITS,
    },
}
BARE: dict[str, dict[str, Any]] = {
    "tenants": {"tenant_type": "personal"},
    "templates": {},
    "agents": {},
    "api-keys": {},
}
# A write without a change still invalidates the caches of the workers.
CACHES = {"common.Epoch", "common.Invalidation"}
WHOLE = [
    (surface, path, method)
    for surface in SURFACES
    for path, methods in methods_of(surface).items()
    for method in ("PUT", "PATCH")
    if {"GET", method} <= set(methods) and not path.endswith("/agent-activity")
]


@pytest.fixture(scope="module")
def owner(module_transaction: None) -> Person:
    return register("alice")


@pytest.fixture(params=["full", "bare"], scope="module")
def ids(request: pytest.FixtureRequest, owner: Person) -> dict[str, str]:
    """The ids of one object of each kind in Alice's tenant, with all fields or as few as possible."""
    fields = FULL if request.param == "full" else BARE
    tenant = create("tenants", tenant_name=request.param, owner_id=owner.user.id, **fields["tenants"])
    in_tenant = {"tenant_id": tenant["id"], "name": request.param}
    template = create("templates", **in_tenant, **fields["templates"])
    template_id = template["id"] if fields is FULL else None
    agent = create("agents", **in_tenant, **fields["agents"], template_id=template_id)
    key = create("api-keys", **in_tenant, agent_id=agent["id"], **fields["api-keys"])
    return {
        "tenant_id": tenant["id"],
        "template_id": template["id"],
        "agent_id": agent["id"],
        "key_id": key["api_key_id"],
        "token_id": values_for(owner.user, "/api/v1/auth/tokens/{token_id}")["token_id"],
    }


def create(collection: str, **body: Any) -> dict[str, Any]:
    response = SurfaceClient(INTERNAL).send("POST", f"/api/v2/{collection}", body)
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def client_of(surface: Surface, owner: Person) -> SurfaceClient:
    return owner.client if surface == PUBLIC else SurfaceClient(INTERNAL)


def read(client: SurfaceClient, url: str) -> Any:
    """Return the data of a read, without the envelope."""
    response = client.send("GET", url)
    assert response.status_code == 200, response.content
    found = response.json()
    return found["data"] if isinstance(found, dict) and "execution_time" in found else found


def test_every_kind_of_object_is_tested() -> None:
    paths = {path.rsplit("/api/v", 1)[1][2:] for _surface, path, _method in WHOLE}

    assert paths >= {
        "tenants/{tenant_id}",
        "templates/{template_id}",
        "agents/{agent_id}",
        "agents/{agent_id}/config",
        "agents/{agent_id}/api_keys/{key_id}",
        "api-keys/{key_id}",
        "auth/me",
    }


@pytest.mark.parametrize(
    ("surface", "path", "method"), WHOLE, ids=[f"{method} {path}" for _surface, path, method in WHOLE]
)
def test_object_written_as_it_was_read_is_unchanged(
    owner: Person, ids: dict[str, str], surface: Surface, path: str, method: str
) -> None:
    client, url = client_of(surface, owner), fill(path, **ids)
    original = read(client, url)
    before = tables()

    response = client.send(method, url, original)

    assert response.status_code == 200, response.content
    assert changed_tables(before, tables()) <= CACHES
    assert read(client, url) == original


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_plugin_setting_written_as_it_was_read_is_unchanged(
    owner: Person, ids: dict[str, str], surface: Surface
) -> None:
    config = {"city": "上海", "api_key": "sk-weather", "url": "https://weather.example"}
    setting = {"plugin_name": "weather", "enabled": True, "config": config}
    url = f"/api/v1/plugins/settings?agent_id={ids['agent_id']}"
    url += f"&tenant_id={ids['tenant_id']}" if surface == INTERNAL else ""
    client = client_of(surface, owner)
    assert client.send("POST", url, setting).status_code == 200
    (original,) = read(client, url)
    before = tables()

    response = client.send("POST", url, original)

    assert response.status_code == 200, response.content
    assert changed_tables(before, tables()) <= CACHES
    assert read(client, url) == [original]


@pytest.mark.parametrize("status", ["disabled", "expired"])
@pytest.mark.parametrize(
    ("surface", "path", "method"),
    [each for each in WHOLE if "{key_id}" in each[1]],
    ids=[f"{method} {path}" for _surface, path, method in WHOLE if "{key_id}" in path],
)
def test_invalid_key_written_as_it_was_read_keeps_its_status(  # noqa: PLR0917  # fixtures and parameters
    owner: Person, ids: dict[str, str], surface: Surface, path: str, method: str, status: str
) -> None:
    if status == "disabled":
        ApiKey.unscoped.filter(pk=ids["key_id"]).update(status="disabled")
    else:
        ApiKey.unscoped.filter(pk=ids["key_id"]).update(expires_at="2020-01-01T00:00:00Z")
    client, url = client_of(surface, owner), fill(path, **ids)
    original = read(client, url)
    before = tables()

    response = client.send(method, url, original)

    assert original["status"] == status
    assert response.status_code == 200, response.content
    assert changed_tables(before, tables()) <= CACHES

"""Revisions: every change of an object raises its revision by one, and writes respect `If-Match`."""

from __future__ import annotations

import re
from itertools import cycle
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from accounts.models import User
from agents import bulk_import as agent_import
from agents import services
from agents.models import Agent, PluginSetting, Template
from agents.services import plugins
from agents.services.config_writes import check_expected
from apikeys import bulk_import as key_import
from apikeys import keyformat
from apikeys.bulk_import import ImportedKey
from apikeys.models import ApiKey
from core import revisions
from core.db import RowUpdate
from core.errors import PreconditionFailed
from core.http.docs import document
from core.http.surfaces import INTERNAL, SURFACES
from core.revisions import Revised
from tenants import bulk_import as tenant_import
from tenants.models import Tenant
from tests.audit_changes import CHANGES, MEASUREMENTS, NEW, Change
from tests.support.client import SurfaceClient
from tests.support.invitations import invited_token
from tests.support.oidc import REDIRECT_URI, Provider
from tests.support.people import OPERATOR, PASSWORD, make_agent, make_key, register
from tests.support.routes import fill
from tests.support.tables import changed_tables, tables
from tests.test_audit import Data, make_data

pytestmark = pytest.mark.django_db

REVISED = [model for model in apps.get_models() if issubclass(model, Revised)]
# The models by the kind of object in audit actions.
KINDS = {"tenant": Tenant, "agent": Agent, "template": Template, "key": ApiKey, "plugin": PluginSetting}
# It changes the tenant, whatever happened to that since.
TRANSFER = "ownership.transfer"
PROXIES = ['"{}"', 'W/"{}"', '"{}-gzip"', '"{}-br"', '"{}-zstd"', '"{};gzip"', 'W/"{}-gzip"', '"1", W/"{}"', "*"]

Revisions = dict[tuple[str, Any], int]


@pytest.fixture(scope="module")
def data(module_transaction: None, oidc_provider: Provider) -> Data:
    return make_data(register("alice"))


def stored() -> Revisions:
    """Return the revision of every object that has one."""
    return {
        (model.__name__, pk): revision
        for model in REVISED
        for pk, revision in model._base_manager.values_list("pk", "revision")
    }


def revision_increases(before: Revisions) -> Revisions:
    """Return the increase of each revision, of objects that existed before and still do."""
    return {key: number - before[key] for key, number in stored().items() if before.get(key, number) != number}


def object_of(data: Data, change: Change) -> tuple[str, Any] | None:
    """Return the changed object, or None if it is new or has no revision."""
    kind = Tenant if change.action == TRANSFER else KINDS.get(change.action.partition(".")[0])
    if kind is None or change.object_id == NEW:
        return None
    object_id = data.filled(change.object_id)
    return kind.__name__, int(object_id) if kind is PluginSetting else object_id


# ---- increases


def test_all_models_with_revisions_are_tested() -> None:
    assert set(KINDS.values()) == set(REVISED)


@pytest.mark.embedded
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_change_raises_only_the_revision_of_its_object_by_one(change: Change, data: Data) -> None:
    before = stored()
    response = data.send(change)

    assert response.status_code in (200, 204), response.content
    its_object = object_of(data, change)
    is_deleted = change.request.startswith("DELETE")
    assert revision_increases(before) == ({} if its_object is None or is_deleted else {its_object: 1})
    assert (its_object is None) or is_deleted == (its_object not in stored())


CONSTANT = [change for change in CHANGES if change.action.endswith((".update", ".set"))]


@pytest.mark.parametrize("change", CONSTANT, ids=str)
def test_change_without_effect_raises_no_revision(change: Change, data: Data) -> None:
    data.send(change)
    before = stored()

    assert data.send(change).status_code == 200
    assert revision_increases(before) == {}


def test_measurements_raise_no_revision(data: Data, internal: SurfaceClient) -> None:
    body = {
        "api_key": data.key.secret,
        "permission": "chat",
        "items": [{"api_key": data.key.secret}],
        "tenant_id": data.alice.tenant.id,
        "agent_id": data.agent.id,
        "ttl_seconds": 60,
        "action": "chat",
        "refresh_token": data.ids["refresh_token"],
        "email": "alice@example.com",
        "redirect_uri": REDIRECT_URI,
        "q": "agent",
        "token": invited_token(data.alice.user, data.alice.tenant),
        "password": PASSWORD,
    }
    User.objects.filter(pk=data.alice.user.pk).update(email=body["email"], email_folded=body["email"])
    before = stored()
    for measurement in MEASUREMENTS:
        surface_name, method, path = measurement.replace(":", "").split(" ")
        surface = next(surface for surface in SURFACES if surface.name == surface_name)
        response = SurfaceClient(surface, data.alice.token).send(method, fill(path, provider="acme"), body)
        assert response.status_code in (200, 202), response.content

    assert revision_increases(before) == {}


def test_repeated_leak_report_raises_no_revision(data: Data, internal: SurfaceClient) -> None:
    report = {"api_key": data.key.secret}
    internal.send("POST", "/api/v2/auth/report-leaked-key", report)
    before = stored()

    internal.send("POST", "/api/v2/auth/report-leaked-key", report)

    assert revision_increases(before) == {}


class TestImports:
    """Imports, which raise revisions like any other change."""

    def test_import_of_tenants_raises_their_revisions(self, data: Data) -> None:
        target = Tenant.objects.get(pk=data.alice.tenant.pk)
        target.description = "imported"
        target.tenant_config = {"agent_defaults": {"persona": "calm"}}
        before = stored()

        tenant_import.import_tenants(actor=OPERATOR, new=[], changed=[RowUpdate(data.alice.tenant, target)])

        assert revision_increases(before) == {("Tenant", data.alice.tenant.pk): 1}

    def test_import_of_agents_raises_their_revisions(self, data: Data) -> None:
        agents = [make_agent(data.alice.tenant), make_agent(data.alice.tenant)]
        target = [Agent.unscoped.get(pk=agent.pk) for agent in agents]
        target[0].description, target[1].config = "imported", {"imported": True}
        pairs = [RowUpdate(*pair) for pair in zip(agents, target, strict=True)]
        # Somebody else changed it after the import had read it.
        services.update_agent(actor=OPERATOR, agent=agents[0], changes={"tags": ["a"]})
        before = stored()

        agent_import.import_agents(actor=OPERATOR, new=[], changed=pairs)

        assert revision_increases(before) == {("Agent", agent.pk): 1 for agent in agents}

    def test_import_of_plugins_raises_their_revisions(self, data: Data) -> None:
        row = plugins.set_plugin(
            actor=OPERATOR, tenant=data.alice.tenant, agent=None, plugin_name="dice", enabled=True, config={}
        )
        target = PluginSetting.unscoped.get(pk=row.pk)
        target.enabled = False
        before = stored()

        agent_import.import_plugins(actor=OPERATOR, new=[], changed=[RowUpdate(row, target)])

        assert revision_increases(before) == {("PluginSetting", row.pk): 1}

    def test_import_of_keys_raises_their_revisions_except_for_uses(self, data: Data) -> None:
        agent = make_agent(data.alice.tenant)
        renamed, used, renewed = (make_key(agent) for _ in range(3))
        new_secret = keyformat.generate(agent.tenant_id, agent.id)
        target = {
            issued.key.pk: ImportedKey(ApiKey.unscoped.get(pk=issued.key.pk), secret)
            for issued, secret in ((renamed, renamed.secret), (used, used.secret), (renewed, new_secret))
        }
        target[renamed.key.pk].key.set_name("another name")
        target[used.key.pk].key.usage_count = 100
        before = stored()

        changed = [(issued.key, target[issued.key.pk]) for issued in (renamed, used, renewed)]
        key_import.import_keys(actor=OPERATOR, new=[], changed=changed, renewed={renewed.key.pk})

        assert revision_increases(before) == {("ApiKey", issued.key.pk): 1 for issued in (renamed, renewed)}


def test_recreated_object_has_a_new_revision(internal: SurfaceClient) -> None:
    revisions: list[int] = []
    for number in range(3):
        created = internal.send("POST", "/api/v2/templates", {"name": "calm", "template_id": "calm"})
        changed = internal.send("PUT", "/api/v2/templates/calm", {"description": f"{number}"})
        revisions += [int(response["ETag"].strip('"')) for response in (created, changed)]
        internal.send("DELETE", "/api/v2/templates/calm")

    assert revisions == sorted(set(revisions))


def test_row_stored_without_a_revision_has_one(data: Data) -> None:
    """The previous version of maim stores objects without the column."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agents_pluginsetting (tenant_id, agent_scope, plugin_name, enabled, config, created_at, "
            "updated_at) VALUES (%s, '', 'dice', 1, '{}', %s, %s)",
            [data.alice.tenant.pk, "2026-01-31 12:00:00", "2026-01-31 12:00:00"],
        )

    row = PluginSetting.unscoped.get(plugin_name="dice")
    assert row.revision == revisions.UNKNOWN_REVISION < data.alice.tenant.revision


# ---- reads


READ = [
    "internal: /api/v2/tenants/{tenant_id}",
    "internal: /api/v2/agents/{agent_id}",
    "internal: /api/v2/api-keys/{key_id}",
    "internal: /api/v2/templates/{template_id}",
    "public: /api/v1/tenants/{tenant_id}",
    "public: /api/v1/agents/{agent_id}",
    "public: /api/v1/agents/{agent_id}/api_keys/{key_id}",
    "public: /api/v1/api-keys/{key_id}",
    "public: /api/v1/templates/{template_id}",
]


def client_of(data: Data, surface_name: str) -> SurfaceClient:
    return SurfaceClient(INTERNAL) if surface_name == "internal" else data.alice.client


def resource(response: Any) -> Any:
    """Return the object in a response, without the envelope."""
    body = response.json()
    data = body.get("data", body)
    return data.get("template", data)


@pytest.mark.embedded
@pytest.mark.parametrize("read", READ)
def test_read_has_the_revision_as_its_etag(read: str, data: Data) -> None:
    surface, path = read.split(": ")
    client, path = client_of(data, surface), data.filled(path)

    response = client.get(path)

    assert response["ETag"] == f'"{resource(response)["revision"]}"'
    assert isinstance(resource(response)["revision"], int)


@pytest.mark.embedded
@pytest.mark.parametrize("read", [read for read in READ if "{key_id}" not in read])
def test_if_none_match_with_the_etag_of_a_proxy_gets_304(read: str, data: Data) -> None:
    surface, path = read.split(": ")
    client, path = client_of(data, surface), data.filled(path)
    revision = resource(client.get(path))["revision"]

    for etag in PROXIES:
        known = client.get(path, HTTP_IF_NONE_MATCH=etag.format(revision))
        assert (known.status_code, known.content, known["ETag"]) == (304, b"", f'"{revision}"'), etag
    assert client.get(path, HTTP_IF_NONE_MATCH=f'W/"{revision + 1}"').status_code == 200


@pytest.mark.parametrize("read", [read for read in READ if "{key_id}" in read])
def test_key_never_gets_304_because_its_uses_do_not_raise_its_revision(read: str, data: Data) -> None:
    surface, path = read.split(": ")
    client, path = client_of(data, surface), data.filled(path)
    first = client.get(path)
    ApiKey.unscoped.update(usage_count=5)

    again = client.get(path, HTTP_IF_NONE_MATCH=first["ETag"])

    assert (again.status_code, resource(again)["usage_count"]) == (200, 5)


# ---- writes

# These change keys whatever happened to them since: a leaked one, and many at once.
UNCONDITIONAL = {
    "internal: POST /api/v2/auth/report-leaked-key",
    "public: POST /api/v1/api-keys/report-leaked",
    *(f"public: POST /api/v1/api-keys/{verb}" for verb in ("disable", "enable")),
    *(f"internal: POST /api/v2/api-keys/{verb}" for verb in ("disable", "enable")),
}


def documents_if_match(change: Change) -> bool:
    """Return whether an operation documents `If-Match`."""
    method, path = re.sub(r"\{disabled_key_id\}", "{key_id}", change.request.partition("?")[0]).split(" ")
    operation = document(change.surface)["paths"][path][method.lower()]
    return any(each["name"] == "If-Match" for each in operation["parameters"])


def is_of_an_object(change: Change) -> bool:
    is_revised = change.action.partition(".")[0] in KINDS and change.object_id != NEW
    return is_revised and f"{change.surface.name}: {change.request}" not in UNCONDITIONAL


CONDITIONAL = [change for change in CHANGES if is_of_an_object(change)]


@pytest.mark.embedded
def test_every_write_of_an_object_documents_if_match() -> None:
    assert [str(change) for change in CONDITIONAL if not documents_if_match(change)] == []


def send(data: Data, change: Change, if_match: str) -> Any:
    method, path = data.filled(change.request).split(" ")
    client = client_of(data, change.surface.name)
    return client.send(method, path, data.filled(change.body), HTTP_IF_MATCH=if_match)


def expected(data: Data, change: Change) -> int:
    """Return the version in the ETag of a change's resource. An agent's config has its own version."""
    if "/config" in change.request:
        return Agent.unscoped.get(pk=data.agent.pk).config_version
    its_object = object_of(data, change)
    assert its_object is not None
    return stored()[its_object]


@pytest.mark.embedded
@pytest.mark.parametrize("change", CONDITIONAL, ids=str)
def test_write_with_a_stale_if_match_gets_412_and_writes_nothing(change: Change, data: Data) -> None:
    before, another = tables(), expected(data, change) - 1

    for if_match in (f'"{another}"', f'W/"{another}-gzip"', '"1000000000000"', '"another"'):
        response = send(data, change, if_match)
        assert response.status_code == 412, response.content
        body = response.json()
        assert (body.get("code") or body["error_code"]) == "PRECONDITION_FAILED"
    assert send(data, change, "3").status_code == 400
    assert changed_tables(before, tables()) == set()


@pytest.mark.embedded
@pytest.mark.parametrize(("change", "if_match"), list(zip(CONDITIONAL, cycle(PROXIES))), ids=str)
def test_write_with_the_etag_of_a_proxy_succeeds(change: Change, if_match: str, data: Data) -> None:
    response = send(data, change, if_match.format(expected(data, change)))

    assert response.status_code in (200, 204), response.content
    if "/config" not in change.request and not change.request.startswith("DELETE"):
        assert response["ETag"] == f'"{resource(response)["revision"]}"'
        assert resource(response)["revision"] == expected(data, change)


MADE = [change for change in CHANGES if change.action.partition(".")[0] in KINDS and change.object_id == NEW]


@pytest.mark.parametrize("change", [change for change in MADE if "/import" not in change.request], ids=str)
def test_created_object_has_an_etag(change: Change, data: Data) -> None:
    response = data.send(change)

    assert response["ETag"] == f'"{resource(response)["revision"]}"'


class TestAgents:
    """An agent's revision and the version of its config."""

    def test_if_match_takes_the_version_of_the_config_too(self, data: Data) -> None:
        path = f"/api/v1/agents/{data.agent.id}"
        client = data.alice.client
        version = client.get(f"{path}/config")["ETag"]

        assert client.send("PATCH", path, {"config": {"a": 1}}, HTTP_IF_MATCH=version).status_code == 200
        assert client.send("PATCH", path, {"config": {"a": 2}}, HTTP_IF_MATCH=version).status_code == 412

    def test_change_of_another_field_keeps_the_version_of_the_config(self, data: Data) -> None:
        path = f"/api/v1/agents/{data.agent.id}"
        client = data.alice.client
        revision, version = client.get(path)["ETag"], client.get(f"{path}/config")["ETag"]

        client.send("PATCH", path, {"description": "new"})

        assert client.get(f"{path}/config")["ETag"] == version
        assert client.send("PUT", f"{path}/config", {"a": 1}, HTTP_IF_MATCH=revision).status_code == 412
        assert client.send("PUT", f"{path}/config", {"a": 1}, HTTP_IF_MATCH=version).status_code == 200

    def test_version_never_equals_a_revision(self, data: Data) -> None:
        agent = Agent.unscoped.get(pk=data.agent.pk)

        assert agent.config_version < revisions.UNKNOWN_REVISION < agent.revision
        with pytest.raises(PreconditionFailed):
            check_expected(agent, {agent.config_version + 1, agent.revision - 1})


class TestPlugins:
    PATH = "/api/v1/plugins/settings?tenant_id={tenant_id}"

    @pytest.mark.parametrize("if_match", ["*", '"3"'])
    def test_if_match_without_a_setting_gets_412(self, data: Data, if_match: str) -> None:
        before = tables()
        body = {"plugin_name": "weather", "enabled": True}

        response = data.alice.client.send("POST", data.filled(self.PATH), body, HTTP_IF_MATCH=if_match)

        assert response.status_code == 412
        assert changed_tables(before, tables()) == set()

    def test_if_match_of_the_tenants_setting_does_not_match_the_agents(self, data: Data) -> None:
        client, agents = data.alice.client, data.filled(self.PATH) + f"&agent_id={data.agent.id}"
        (listed,) = client.get(agents).json()
        body = {"plugin_name": listed["plugin_name"], "enabled": True}
        etag = f'"{listed["revision"]}"'

        assert listed["agent_id"] is None
        assert client.send("POST", agents, body, HTTP_IF_MATCH=etag).status_code == 412


def test_dry_run_respects_if_match(data: Data, internal: SurfaceClient) -> None:
    path = data.filled("/api/v2/templates/{template_id}?dry_run=1")

    for method in ("PUT", "DELETE"):
        assert internal.send(method, path, {}, HTTP_IF_MATCH='"1"').status_code == 412
        assert internal.send(method, path, {}, HTTP_IF_MATCH="*").status_code == 200


def test_repeat_with_an_idempotency_key_gets_the_same_response(data: Data) -> None:
    path = data.filled("/api/v1/api-keys/{key_id}")
    headers = {"HTTP_IF_MATCH": data.alice.client.get(path)["ETag"], "HTTP_IDEMPOTENCY_KEY": "once"}

    first, second = (data.alice.client.send("POST", f"{path}/rotate", {}, **headers) for _ in range(2))

    assert (first.status_code, first["ETag"]) == (second.status_code, second["ETag"]) == (200, second["ETag"])
    assert first.json()["data"] == second.json()["data"]

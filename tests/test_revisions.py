"""Revisions: every change of an object raises its own by one, and writes heed the one that `If-Match` names."""

from __future__ import annotations

import re
from itertools import cycle
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from agents import bulk_import as agent_adoption
from agents import services
from agents.models import Agent, PluginSetting, Template
from agents.services import plugins
from agents.services.config_writes import check_expected
from apikeys import bulk_import as key_adoption
from apikeys import keyformat
from apikeys.bulk_import import KnownKey
from apikeys.models import ApiKey
from core import revisions
from core.db import Wanted
from core.errors import PreconditionFailed
from core.http.docs import document
from core.http.surfaces import INTERNAL, SURFACES
from core.revisions import Revised
from tenants import bulk_import as tenant_adoption
from tenants.models import Tenant
from tests.audit_changes import CHANGES, MEASUREMENTS, NEW, Change
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, make_agent, make_key, register
from tests.support.tables import changed_tables, tables
from tests.test_audit import Scene, make_scene

pytestmark = pytest.mark.django_db

REVISED = [model for model in apps.get_models() if issubclass(model, Revised)]
# What a change of this kind of object is recorded as.
KINDS = {"tenant": Tenant, "agent": Agent, "template": Template, "key": ApiKey, "plugin": PluginSetting}
PROXIES = ['"{}"', 'W/"{}"', '"{}-gzip"', '"{}-br"', '"{}-zstd"', '"{};gzip"', 'W/"{}-gzip"', '"1", W/"{}"', "*"]

Revisions = dict[tuple[str, Any], int]


@pytest.fixture(scope="module")
def scene(kept: None) -> Scene:
    return make_scene(register("alice"))


def stored() -> Revisions:
    """The revision of every object that has one."""
    return {
        (model.__name__, pk): revision
        for model in REVISED
        for pk, revision in model._base_manager.values_list("pk", "revision")
    }


def raised(before: Revisions) -> Revisions:
    """By how much the revision of each object that was there before, and still is, has risen."""
    return {key: number - before[key] for key, number in stored().items() if before.get(key, number) != number}


def object_of(scene: Scene, change: Change) -> tuple[str, Any] | None:
    """The object that a change is of, if it is one with a revision and not new."""
    kind = KINDS.get(change.action.partition(".")[0])
    if kind is None or change.object_id == NEW:
        return None
    object_id = scene.filled(change.object_id)
    return kind.__name__, int(object_id) if kind is PluginSetting else object_id


# ---- what raises it


def test_the_kinds_of_objects_with_revisions_are_all_there_are() -> None:
    assert set(KINDS.values()) == set(REVISED)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_raises_the_revision_of_its_object_by_one_and_of_no_other(change: Change, scene: Scene) -> None:
    before = stored()
    response = scene.send(change)

    assert response.status_code in (200, 204), response.content
    its_object = object_of(scene, change)
    is_deleted = change.request.startswith("DELETE")
    assert raised(before) == ({} if its_object is None or is_deleted else {its_object: 1})
    assert (its_object is None) or is_deleted == (its_object not in stored())


CONSTANT = [change for change in CHANGES if change.action.endswith((".update", ".set"))]


@pytest.mark.parametrize("change", CONSTANT, ids=str)
def test_a_change_that_changes_nothing_raises_none(change: Change, scene: Scene) -> None:
    scene.send(change)
    before = stored()

    assert scene.send(change).status_code == 200
    assert raised(before) == {}


def test_measurements_raise_none(scene: Scene, internal: SurfaceClient) -> None:
    body = {
        "api_key": scene.key.secret,
        "permission": "chat",
        "items": [{"api_key": scene.key.secret}],
        "tenant_id": scene.alice.tenant.id,
        "agent_id": scene.agent.id,
        "ttl_seconds": 60,
        "action": "chat",
        "refresh_token": scene.ids["refresh_token"],
    }
    before = stored()
    for measurement in MEASUREMENTS:
        surface_name, method, path = measurement.replace(":", "").split(" ")
        surface = next(surface for surface in SURFACES if surface.name == surface_name)
        response = SurfaceClient(surface, scene.alice.token).send(method, path, body)
        assert response.status_code == 200, response.content

    assert raised(before) == {}


def test_a_report_that_came_before_raises_none(scene: Scene, internal: SurfaceClient) -> None:
    report = {"api_key": scene.key.secret}
    internal.send("POST", "/api/v2/auth/report-leaked-key", report)
    before = stored()

    internal.send("POST", "/api/v2/auth/report-leaked-key", report)

    assert raised(before) == {}


class TestImports:
    """What an import changes is changed, too."""

    def test_tenants(self, scene: Scene) -> None:
        wanted = Tenant.objects.get(pk=scene.alice.tenant.pk)
        wanted.description = "imported"
        wanted.tenant_config = {"agent_defaults": {"persona": "calm"}}
        before = stored()

        tenant_adoption.adopt_tenants(actor=OPERATOR, new=[], changed=[Wanted(scene.alice.tenant, wanted)])

        assert raised(before) == {("Tenant", scene.alice.tenant.pk): 1}

    def test_agents(self, scene: Scene) -> None:
        agents = [make_agent(scene.alice.tenant), make_agent(scene.alice.tenant)]
        wanted = [Agent.unscoped.get(pk=agent.pk) for agent in agents]
        wanted[0].description, wanted[1].config = "imported", {"imported": True}
        pairs = [Wanted(*pair) for pair in zip(agents, wanted, strict=True)]
        # Changed by somebody else, since the import read it.
        services.update_agent(actor=OPERATOR, agent=agents[0], changes={"tags": ["a"]})
        before = stored()

        agent_adoption.adopt_agents(actor=OPERATOR, new=[], changed=pairs)

        assert raised(before) == {("Agent", agent.pk): 1 for agent in agents}

    def test_plugins(self, scene: Scene) -> None:
        row = plugins.set_plugin(
            actor=OPERATOR, tenant=scene.alice.tenant, agent=None, plugin_name="dice", enabled=True, config={}
        )
        wanted = PluginSetting.unscoped.get(pk=row.pk)
        wanted.enabled = False
        before = stored()

        agent_adoption.adopt_plugins(actor=OPERATOR, new=[], changed=[Wanted(row, wanted)])

        assert raised(before) == {("PluginSetting", row.pk): 1}

    def test_keys_but_for_their_uses(self, scene: Scene) -> None:
        agent = make_agent(scene.alice.tenant)
        renamed, used, renewed = (make_key(agent) for _ in range(3))
        new_secret = keyformat.generate(agent.tenant_id, agent.id)
        wanted = {
            issued.key.pk: KnownKey(ApiKey.unscoped.get(pk=issued.key.pk), secret)
            for issued, secret in ((renamed, renamed.secret), (used, used.secret), (renewed, new_secret))
        }
        wanted[renamed.key.pk].key.set_name("another name")
        wanted[used.key.pk].key.usage_count = 100
        before = stored()

        changed = [(issued.key, wanted[issued.key.pk]) for issued in (renamed, used, renewed)]
        key_adoption.adopt_keys(actor=OPERATOR, new=[], changed=changed, renewed={renewed.key.pk})

        assert raised(before) == {("ApiKey", issued.key.pk): 1 for issued in (renamed, renewed)}


def test_an_object_that_is_made_again_under_its_id_has_no_revision_that_it_had(internal: SurfaceClient) -> None:
    seen: list[int] = []
    for number in range(3):
        made = internal.send("POST", "/api/v2/templates", {"name": "calm", "template_id": "calm"})
        changed = internal.send("PUT", "/api/v2/templates/calm", {"description": f"{number}"})
        seen += [int(answer["ETag"].strip('"')) for answer in (made, changed)]
        internal.send("DELETE", "/api/v2/templates/calm")

    assert seen == sorted(set(seen))


def test_an_object_that_was_stored_without_a_revision_has_one(scene: Scene) -> None:
    """As the version before stores it, which does not know the column."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agents_pluginsetting (tenant_id, agent_scope, plugin_name, enabled, config, created_at, "
            "updated_at) VALUES (%s, '', 'dice', 1, '{}', %s, %s)",
            [scene.alice.tenant.pk, "2026-01-31 12:00:00", "2026-01-31 12:00:00"],
        )

    row = PluginSetting.unscoped.get(plugin_name="dice")
    assert row.revision == revisions.UNKNOWN_REVISION < scene.alice.tenant.revision


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


def client_of(scene: Scene, surface_name: str) -> SurfaceClient:
    return SurfaceClient(INTERNAL) if surface_name == "internal" else scene.alice.client


def shown(response: Any) -> Any:
    """The object in an answer, whatever is around it."""
    body = response.json()
    data = body.get("data", body)
    return data.get("template", data)


@pytest.mark.parametrize("read", READ)
def test_a_read_tells_the_revision_and_has_it_as_its_etag(read: str, scene: Scene) -> None:
    surface, path = read.split(": ")
    client, path = client_of(scene, surface), scene.filled(path)

    response = client.get(path)

    assert response["ETag"] == f'"{shown(response)["revision"]}"'
    assert isinstance(shown(response)["revision"], int)


@pytest.mark.embedded
@pytest.mark.parametrize("read", [read for read in READ if "{key_id}" not in read])
def test_who_has_this_state_is_told_so_whatever_a_proxy_made_of_the_etag(read: str, scene: Scene) -> None:
    surface, path = read.split(": ")
    client, path = client_of(scene, surface), scene.filled(path)
    revision = shown(client.get(path))["revision"]

    for etag in PROXIES:
        known = client.get(path, HTTP_IF_NONE_MATCH=etag.format(revision))
        assert (known.status_code, known.content, known["ETag"]) == (304, b"", f'"{revision}"'), etag
    assert client.get(path, HTTP_IF_NONE_MATCH=f'W/"{revision + 1}"').status_code == 200


@pytest.mark.parametrize("read", [read for read in READ if "{key_id}" in read])
def test_a_key_is_shown_in_any_case_because_its_uses_do_not_raise_its_revision(read: str, scene: Scene) -> None:
    surface, path = read.split(": ")
    client, path = client_of(scene, surface), scene.filled(path)
    first = client.get(path)
    ApiKey.unscoped.update(usage_count=5)

    again = client.get(path, HTTP_IF_NONE_MATCH=first["ETag"])

    assert (again.status_code, shown(again)["usage_count"]) == (200, 5)


# ---- writes

# They end what is no longer good, whatever became of the key since.
UNCONDITIONAL = {"internal: POST /api/v2/auth/report-leaked-key"}


def heeds_if_match(change: Change) -> bool:
    """Return whether the document says so of a change's operation."""
    method, path = re.sub(r"\{disabled_key_id\}", "{key_id}", change.request.partition("?")[0]).split(" ")
    operation = document(change.surface)["paths"][path][method.lower()]
    return any(each["name"] == "If-Match" for each in operation["parameters"])


def is_of_an_object(change: Change) -> bool:
    is_revised = change.action.partition(".")[0] in KINDS and change.object_id != NEW
    return is_revised and f"{change.surface.name}: {change.request}" not in UNCONDITIONAL


CONDITIONAL = [change for change in CHANGES if is_of_an_object(change)]


def test_every_write_of_an_object_heeds_if_match() -> None:
    assert [str(change) for change in CONDITIONAL if not heeds_if_match(change)] == []


def send(scene: Scene, change: Change, if_match: str) -> Any:
    method, path = scene.filled(change.request).split(" ")
    client = client_of(scene, change.surface.name)
    return client.send(method, path, scene.filled(change.body), HTTP_IF_MATCH=if_match)


def expected(scene: Scene, change: Change) -> int:
    """The version that the ETag of a change's resource tells: of an agent's config its own."""
    if "/config" in change.request:
        return Agent.unscoped.get(pk=scene.agent.pk).config_version
    its_object = object_of(scene, change)
    assert its_object is not None
    return stored()[its_object]


@pytest.mark.parametrize("change", CONDITIONAL, ids=str)
def test_a_write_on_another_state_is_refused_and_nothing_is_written(change: Change, scene: Scene) -> None:
    before, another = tables(), expected(scene, change) - 1

    for if_match in (f'"{another}"', f'W/"{another}-gzip"', '"1000000000000"', '"another"'):
        response = send(scene, change, if_match)
        assert response.status_code == 412, response.content
        body = response.json()
        assert (body.get("code") or body["error_code"]) == "PRECONDITION_FAILED"
    assert send(scene, change, "3").status_code == 400
    assert changed_tables(before, tables()) == set()


@pytest.mark.parametrize(("change", "if_match"), list(zip(CONDITIONAL, cycle(PROXIES))), ids=str)
def test_a_write_on_the_state_that_was_seen_is_made_whatever_a_proxy_made_of_the_etag(
    change: Change, if_match: str, scene: Scene
) -> None:
    response = send(scene, change, if_match.format(expected(scene, change)))

    assert response.status_code in (200, 204), response.content
    if "/config" not in change.request and not change.request.startswith("DELETE"):
        assert response["ETag"] == f'"{shown(response)["revision"]}"'
        assert shown(response)["revision"] == expected(scene, change)


MADE = [change for change in CHANGES if change.action.partition(".")[0] in KINDS and change.object_id == NEW]


@pytest.mark.parametrize("change", [change for change in MADE if "/import" not in change.request], ids=str)
def test_what_is_made_is_answered_under_its_etag(change: Change, scene: Scene) -> None:
    response = scene.send(change)

    assert response["ETag"] == f'"{shown(response)["revision"]}"'


class TestAgents:
    """An agent's revision, and beside it the version of its config."""

    def test_the_version_of_its_config_is_taken_for_its_state_as_before(self, scene: Scene) -> None:
        path = f"/api/v1/agents/{scene.agent.id}"
        client = scene.alice.client
        version = client.get(f"{path}/config")["ETag"]

        assert client.send("PATCH", path, {"config": {"a": 1}}, HTTP_IF_MATCH=version).status_code == 200
        assert client.send("PATCH", path, {"config": {"a": 2}}, HTTP_IF_MATCH=version).status_code == 412

    def test_what_leaves_its_config_alone_leaves_its_version(self, scene: Scene) -> None:
        path = f"/api/v1/agents/{scene.agent.id}"
        client = scene.alice.client
        revision, version = client.get(path)["ETag"], client.get(f"{path}/config")["ETag"]

        client.send("PATCH", path, {"description": "new"})

        assert client.get(f"{path}/config")["ETag"] == version
        assert client.send("PUT", f"{path}/config", {"a": 1}, HTTP_IF_MATCH=revision).status_code == 412
        assert client.send("PUT", f"{path}/config", {"a": 1}, HTTP_IF_MATCH=version).status_code == 200

    def test_a_version_is_no_revision_by_chance(self, scene: Scene) -> None:
        agent = Agent.unscoped.get(pk=scene.agent.pk)

        assert agent.config_version < revisions.UNKNOWN_REVISION < agent.revision
        with pytest.raises(PreconditionFailed):
            check_expected(agent, {agent.config_version + 1, agent.revision - 1})


class TestPlugins:
    PATH = "/api/v1/plugins/settings?tenant_id={tenant_id}"

    @pytest.mark.parametrize("if_match", ["*", '"3"'])
    def test_where_there_is_no_setting_none_is_replaced(self, scene: Scene, if_match: str) -> None:
        before = tables()
        body = {"plugin_name": "weather", "enabled": True}

        response = scene.alice.client.send("POST", scene.filled(self.PATH), body, HTTP_IF_MATCH=if_match)

        assert response.status_code == 412
        assert changed_tables(before, tables()) == set()

    def test_an_agents_own_is_another_than_its_tenants(self, scene: Scene) -> None:
        client, agents = scene.alice.client, scene.filled(self.PATH) + f"&agent_id={scene.agent.id}"
        (listed,) = client.get(agents).json()
        body = {"plugin_name": listed["plugin_name"], "enabled": True}
        etag = f'"{listed["revision"]}"'

        assert listed["agent_id"] is None
        assert client.send("POST", agents, body, HTTP_IF_MATCH=etag).status_code == 412


def test_a_rehearsal_is_refused_as_the_change_would_be(scene: Scene, internal: SurfaceClient) -> None:
    path = scene.filled("/api/v2/templates/{template_id}?dry_run=1")

    for method in ("PUT", "DELETE"):
        assert internal.send(method, path, {}, HTTP_IF_MATCH='"1"').status_code == 412
        assert internal.send(method, path, {}, HTTP_IF_MATCH="*").status_code == 200


def test_a_repeat_under_an_idempotency_key_is_answered_the_same(scene: Scene) -> None:
    path = scene.filled("/api/v1/api-keys/{key_id}")
    headers = {"HTTP_IF_MATCH": scene.alice.client.get(path)["ETag"], "HTTP_IDEMPOTENCY_KEY": "once"}

    first, second = (scene.alice.client.send("POST", f"{path}/rotate", {}, **headers) for _ in range(2))

    assert (first.status_code, first["ETag"]) == (second.status_code, second["ETag"]) == (200, second["ETag"])
    assert first.json()["data"] == second.json()["data"]

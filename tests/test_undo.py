"""Deleted tenants and agents, which operators can restore for MAIM_UNDO_DAYS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.utils import timezone

from accounts import services as accounts
from agent_config.secrets import opened
from agents import services as agents
from agents import undo as agents_undo
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from agents.services import plugins, templates
from apikeys import services as apikeys
from apikeys.models import ApiKey
from apikeys.recount import find_drift
from apikeys.tests.asking import code_of
from core import sealing
from core.errors import DomainError, Forbidden
from core.http.surfaces import INTERNAL
from core.models import AuditEntry, DeletedObject, DeletedRows, Epoch, FeedEntry
from core.undo import chunks, restoring
from core.undo.parts import Kind, Restoration, parts_of
from core.undo.restoring import DamagedCopy, DeletedObjectNotFound, ExistsAgain, SealedElsewhere, UndoExpired
from tenants import services as tenants
from tenants.errors import TenantLimitReached, TenantNotFound
from tenants.models import Membership, Role, Tenant, TenantType
from tenants.undo import OwnerGone
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.configs import model, provider
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, give_up_tenants, make_agent, make_key

pytestmark = pytest.mark.django_db
PROVIDER_KEY = "sk-provider-secret"
PARTS: tuple[type[Any], ...] = (Tenant, Membership, Template, Agent, ConfigVersion, PluginSetting, ApiKey)
# What goes with a tenant or an agent and does not come back, with the reason.
NOT_RESTORED = {
    "agents.AgentActivity": "the next heartbeat tells",
    "apikeys.KeySecret": "a restored key has to be rotated",
    "apikeys.DailyUse": "is a measurement",
    "apikeys.MinuteCount": "is a measurement",
    "apikeys.HourCount": "is a measurement",
    "apikeys.Refusal": "is a measurement",
    "apikeys.Notice": "was told",
    "tenants.OwnershipOffer": "expires in days",
    "tenants.TenantInvitation": "expires in days, and its link should not come to life again",
}


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Alice's agent with two versions of its config, a secret in it, a template, and settings of a plugin."""
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="base", config={"x": 1})
    config = model(api_providers=[provider(api_key=PROVIDER_KEY)])
    agent = make_agent(alice.tenant, "bot", template_id=template.pk, config=config)
    agent = agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"y": 2}})
    for owner in (None, agent):
        plugins.set_plugin(
            actor=OPERATOR, tenant=alice.tenant, agent=owner, plugin_name="dice", enabled=True, config={"sides": 6}
        )
    return agent


def restore(object_id: str) -> Restoration:
    return restoring.restore(actor=OPERATOR, deleted=restoring.find_deleted(OPERATOR, object_id))


def delete_tenant(tenant: Tenant) -> None:
    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)


def delete_agent(agent: Agent) -> None:
    agents.delete_agent(actor=OPERATOR, agent=agent)


def content() -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the restored models, without what a restoration changes in each."""
    changed = {"revision", "status"}
    return {
        model.__name__: [
            {
                name: value
                for name, value in row.items()
                if name not in changed or (model is not ApiKey and name == "status")
            }
            for row in model._base_manager.order_by("pk").values()
        ]
        for model in PARTS
    }


# ---- what comes back


def test_restored_tenant_has_all_it_had(alice: Person, bob: Person, charlie: Person, agent: Agent) -> None:
    key = make_key(agent, "production", permissions=["chat"], metadata={"team": "ü"}).key
    before, revision = content(), Agent.unscoped.get(pk=agent.pk).revision

    delete_tenant(alice.tenant)
    assert not Agent.unscoped.filter(pk=agent.pk).exists()
    restore(alice.tenant.id)

    assert content() == before
    assert ApiKey.unscoped.get(pk=key.pk).status == "disabled"
    assert Agent.unscoped.get(pk=agent.pk).revision > revision, "a client may have the ETag of before"
    assert find_drift() == {}
    assert not DeletedObject.objects.exists()
    entry = AuditEntry.objects.get(action="tenant.restore")
    assert (entry.object_id, entry.after["counts"]["agents.configversion"]) == (alice.tenant.id, 2)
    assert bob.client.send("GET", f"/api/v1/agents/{agent.id}").status_code == 200


def test_restored_agent_has_all_it_had(alice: Person, agent: Agent) -> None:
    make_key(agent, "production")
    neighbour = make_key(make_agent(alice.tenant)).secret
    before = content()

    delete_agent(agent)
    restore(agent.id)

    assert content() == before
    assert find_drift() == {}
    assert code_of(neighbour) == "VALID"
    assert AuditEntry.objects.get(action="agent.restore").object_id == agent.id


def test_restored_key_verifies_only_after_it_was_rotated_and_enabled(alice: Person, agent: Agent) -> None:
    issued = make_key(agent)
    assert code_of(issued.secret) == "VALID"

    delete_tenant(alice.tenant)
    assert code_of(issued.secret) == "AUTH_005"
    restore(alice.tenant.id)
    assert code_of(issued.secret) == "AUTH_005"
    key = ApiKey.unscoped.get(pk=issued.key.pk)
    apikeys.enable_key(actor=OPERATOR, key=key)
    assert code_of(issued.secret) == "AUTH_005", "to enable it is not enough"

    secret = apikeys.rotate_key(actor=OPERATOR, key=key).secret

    assert (code_of(secret), code_of(issued.secret)) == ("VALID", "AUTH_005")


def test_bots_hear_of_a_restored_agent(agent: Agent) -> None:
    delete_agent(agent)
    seen = Epoch.objects.get().value

    restore(agent.id)

    assert list(FeedEntry.objects.filter(epoch__gt=seen).values_list("kind", "subject")) == [("agent", agent.id)]


def test_members_without_an_account_stay_away(alice: Person, bob: Person) -> None:
    delete_tenant(alice.tenant)
    give_up_tenants(bob)
    accounts.delete_user(actor=OPERATOR, user_id=bob.user.id)

    restore(alice.tenant.id)

    members = Membership.objects.filter(tenant_id=alice.tenant.id)
    assert [(row.user_id, row.role) for row in members] == [(alice.user.id, Role.OWNER)]


def test_tenant_that_never_had_an_owner_comes_back() -> None:
    tenant = tenants.create_tenant(actor=OPERATOR, tenant_name="Shared", tenant_type=TenantType.ENTERPRISE)
    delete_tenant(tenant)

    restore(tenant.id)

    assert Tenant.objects.get(pk=tenant.pk).owner is None


# ---- names that were taken meanwhile


def test_tenant_whose_name_was_taken_gets_its_id_behind_it(alice: Person) -> None:
    name = alice.tenant.tenant_name
    delete_tenant(alice.tenant)
    tenants.create_tenant(
        actor=OPERATOR, tenant_name=name.upper(), tenant_type=TenantType.PERSONAL, owner_id=alice.user.id
    )

    renamed = restore(alice.tenant.id).renamed

    assert renamed == {alice.tenant.id: f"{name} ({alice.tenant.id})"}
    assert Tenant.objects.get(pk=alice.tenant.id).tenant_name == renamed[alice.tenant.id]


def test_agent_and_key_whose_names_were_taken_get_their_ids_behind_them(alice: Person) -> None:
    agent = make_agent(alice.tenant, "b" * 100)
    key, other = make_key(agent, "production").key, make_key(agent, "staging").key
    delete_agent(agent)
    make_key(make_agent(alice.tenant, "B" * 100), "Production")

    renamed = restore(agent.id).renamed

    suffix = f" ({agent.id})"
    assert renamed == {agent.id: "b" * (100 - len(suffix)) + suffix, key.id: f"production ({key.id})"}
    assert ApiKey.unscoped.get(pk=other.pk).name == "staging"


# ---- refusals, which change nothing


def refused(error: type[DomainError], object_id: str) -> None:
    """Try to restore an object. Check that it is refused, and that nothing has changed."""
    before = content()
    with pytest.raises(error):
        restore(object_id)
    assert content() == before
    assert not AuditEntry.objects.filter(action__endswith=".restore").exists()


def test_tenant_whose_owner_is_gone_is_refused(alice: Person) -> None:
    delete_tenant(alice.tenant)
    accounts.delete_user(actor=OPERATOR, user_id=alice.user.id)

    refused(OwnerGone, alice.tenant.id)


def test_agent_whose_tenant_is_gone_is_refused_until_that_is_restored(alice: Person, agent: Agent) -> None:
    delete_agent(agent)
    delete_tenant(alice.tenant)
    refused(TenantNotFound, agent.id)

    restore(alice.tenant.id)
    restore(agent.id)

    assert Agent.unscoped.get(pk=agent.pk).name == "bot"


def test_object_whose_id_exists_again_is_refused(alice: Person, agent: Agent) -> None:
    delete_agent(agent)
    Agent.unscoped.create(pk=agent.pk, tenant=alice.tenant, name="new", name_folded="new")
    refused(ExistsAgain, agent.id)

    delete_tenant(alice.tenant)
    Tenant.objects.create(pk=alice.tenant.pk, tenant_name="new", name_folded="new", tenant_type="personal")
    refused(ExistsAgain, alice.tenant.id)


def test_object_with_a_key_whose_id_exists_again_is_refused(alice: Person, agent: Agent) -> None:
    key = make_key(agent).key
    delete_agent(agent)
    other = make_agent(alice.tenant)
    ApiKey.unscoped.create(pk=key.pk, tenant=alice.tenant, agent=other, name="new", name_folded="new")

    refused(ExistsAgain, agent.id)


@pytest.mark.parametrize(("resource", "has_keys"), [("agents", False), ("keys", True)])
def test_agent_that_its_tenant_has_no_room_for_is_refused(alice: Person, resource: str, has_keys: bool) -> None:
    agent = make_agent(alice.tenant)
    for number in range(2 * has_keys):
        make_key(agent, f"key {number}")
    delete_agent(agent)
    make_key(make_agent(alice.tenant))
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {resource: 1 + has_keys}})

    refused(TenantLimitReached, agent.id)


def test_keys_that_are_stored_in_chunks_count_together(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    agent = make_agent(alice.tenant)
    for number in range(3):
        make_key(agent, f"key {number}")
    delete_agent(agent)
    make_key(make_agent(alice.tenant))
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"limits": {"keys": 3}})

    refused(TenantLimitReached, agent.id)


def test_object_is_refused_when_its_time_is_over(agent: Agent, settings: Any) -> None:
    delete_agent(agent)
    DeletedObject.objects.update(expires_at=timezone.now())
    deleted = DeletedObject.objects.get()

    with pytest.raises(DeletedObjectNotFound):
        restoring.find_deleted(OPERATOR, agent.id)
    with pytest.raises(UndoExpired):
        restoring.restore(actor=OPERATOR, deleted=deleted)
    assert restoring.sweep() == 1
    assert not DeletedRows.objects.exists()


def test_sweep_leaves_what_can_be_restored(agent: Agent) -> None:
    delete_agent(agent)

    assert restoring.sweep() == 0
    restore(agent.id)


def test_object_is_restored_once(agent: Agent) -> None:
    delete_agent(agent)
    deleted = restoring.find_deleted(OPERATOR, agent.id)
    restoring.restore(actor=OPERATOR, deleted=deleted)

    with pytest.raises(DeletedObjectNotFound):
        restoring.restore(actor=OPERATOR, deleted=deleted)


def test_people_may_not_restore(alice: Person, agent: Agent) -> None:
    delete_agent(agent)

    with pytest.raises(Forbidden):
        restoring.restore(actor=alice.actor, deleted=DeletedObject.objects.get())
    with pytest.raises(Forbidden):
        restoring.find_deleted(alice.actor, agent.id)


def test_object_sealed_under_an_unknown_key_is_refused(agent: Agent, settings: Any) -> None:
    delete_agent(agent)
    settings.ENCRYPTION_KEYS = ("b" * 43 + "=",)

    refused(SealedElsewhere, agent.id)


@pytest.mark.parametrize("damage", ["lost", "of another object"])
def test_object_whose_stored_copy_is_damaged_is_refused(
    alice: Person, agent: Agent, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    delete_agent(agent)
    first = DeletedRows.objects.order_by("number")[:1].get()
    if damage == "lost":
        first.delete()
    else:
        delete_tenant(alice.tenant)
        first.content = DeletedRows.objects.exclude(deleted=first.deleted).order_by("number")[0].content
        first.save()

    refused(DamagedCopy, agent.id)


# ---- what is stored


SURFACES: dict[str, Callable[[Person], SurfaceClient]] = {
    "v1": lambda alice: alice.client,
    "v2": lambda _alice: SurfaceClient(INTERNAL),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_deletions_of_each_surface_can_be_undone(alice: Person, agent: Agent, surface: str) -> None:
    client = SURFACES[surface](alice)

    assert client.send("DELETE", f"/api/{surface}/agents/{agent.id}").status_code in (200, 204)
    assert client.send("DELETE", f"/api/{surface}/tenants/{alice.tenant.id}").status_code == 200

    found = {row.object_id: row for row in DeletedObject.objects.all()}
    assert set(found) == {agent.id, alice.tenant.id}
    assert found[agent.id].tenant_id == alice.tenant.id
    assert found[agent.id].counts == {
        "agents.agent": 1,
        "agents.configversion": 2,
        "agents.pluginsetting": 1,
    }
    assert found[agent.id].expires_at - found[agent.id].deleted_at == timedelta(days=7)


def test_undo_of_no_days_deletes_for_good(alice: Person, agent: Agent, settings: Any) -> None:
    settings.UNDO_FOR = timedelta(0)

    delete_agent(agent)
    delete_tenant(alice.tenant)

    assert not DeletedObject.objects.exists()


def test_stored_rows_are_sealed(alice: Person, agent: Agent) -> None:
    delete_tenant(alice.tenant)

    chunk = DeletedRows.objects.get()
    assert sealing.is_current(chunk.content)
    assert PROVIDER_KEY not in str(chunks.unseal_rows(chunk.content)), "secrets of configs stay sealed inside"


def test_rotation_of_encryption_keys_includes_deleted_objects(alice: Person, agent: Agent, settings: Any) -> None:
    old, new = settings.ENCRYPTION_KEYS[0], "b" * 43 + "="
    delete_agent(agent)
    settings.ENCRYPTION_KEYS = (new, old)
    assert run("rotate_secrets").status == 0
    settings.ENCRYPTION_KEYS = (new,)

    restore(agent.id)

    assert PROVIDER_KEY in str(opened(Agent.unscoped.get(pk=agent.pk).config))


def test_older_versions_of_configs_are_left_out_beyond_a_size(
    alice: Person, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_agent(alice.tenant)  # whose only version is older than those that follow
    for number in range(60):
        agent = agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"y": "x" * number}})
    monkeypatch.setattr(agents_undo, "VERSIONS_BYTES", 100)

    delete_tenant(alice.tenant)
    restore(alice.tenant.id)

    kept = ConfigVersion.unscoped.filter(agent=agent).order_by("number").values_list("number", flat=True)
    assert list(kept) == list(range(agent.config_version - 20, agent.config_version + 1)), "the newest, in one piece"
    assert ConfigVersion.unscoped.filter(agent=other).exists()


def test_large_object_is_stored_in_chunks(alice: Person, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    for number in range(20):
        make_key(agent, f"key {number}")
    before = content()

    delete_tenant(alice.tenant)
    assert DeletedRows.objects.count() > 5
    restore(alice.tenant.id)

    assert content() == before


def test_object_beyond_the_greatest_size_is_deleted_for_good(
    alice: Person, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_BYTES", 1000)

    delete_tenant(alice.tenant)

    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()
    assert not DeletedObject.objects.exists()


def test_rows_stored_by_another_version_can_be_restored(agent: Agent) -> None:
    delete_agent(agent)
    chunk = DeletedRows.objects.get()
    stored = chunks.unseal_rows(chunk.content)
    for rows in stored:
        rows.columns.append("column_of_another_version")
        for row in rows.rows:
            row.append("value")
    place = stored[0].columns.index("tags")
    stored[0].columns[place] = "column_that_this_version_lacks"
    DeletedRows.objects.update(content=chunks.seal_rows(stored))

    restore(agent.id)

    assert Agent.unscoped.get(pk=agent.pk).tags == []


@pytest.mark.embedded
@pytest.mark.parametrize(("kind", "owner"), [(Kind.TENANT, Tenant), (Kind.AGENT, Agent)])
def test_every_model_that_is_deleted_with_its_owner_is_a_part_or_exempt(kind: Kind, owner: Any) -> None:
    """Whoever adds a model with such a foreign key has to say whether its rows come back."""
    cascading = {
        model._meta.label
        for model in apps.get_models()
        for field in model._meta.fields
        if isinstance(field, models.ForeignKey)
        and field.related_model == owner
        and field.remote_field.on_delete == models.CASCADE
    }
    parts = {part.model._meta.label for part in parts_of(kind)}

    assert cascading - parts - set(NOT_RESTORED) == set()
    assert not parts & set(NOT_RESTORED)


# ---- the command


def test_command_lists_shows_and_restores(alice: Person, agent: Agent) -> None:
    make_key(agent)
    agents.delete_agent(actor=alice.actor, agent=agent)
    deleted = DeletedObject.objects.get()

    [item] = run("deleted", "list", "--json").document["items"]
    assert (item["id"], item["object_id"], item["deleted_by"]) == (deleted.id, agent.id, "alice")
    assert run("deleted", "show", agent.id, "--json").document == item
    assert "apikeys.apikey" in run("deleted", "show", deleted.id).out
    assert run("deleted", "list").rows[0][:4] == [deleted.id, "agent", agent.id, "bot"]
    assert "rotate and enable" in run("deleted", "restore", deleted.id).out
    assert Agent.unscoped.filter(pk=agent.pk).exists()
    assert (run("deleted", "restore", deleted.id).status, run("deleted", "list").rows) == (3, [])


def test_command_says_why_it_refuses(alice: Person) -> None:
    delete_tenant(alice.tenant)
    accounts.delete_user(actor=OPERATOR, user_id=alice.user.id)

    outcome = run("deleted", "restore", alice.tenant.id)

    assert (outcome.status, outcome.out) == (1, "")
    assert "owner" in outcome.err


# ---- the admin


@pytest.mark.embedded
def test_operator_restores_with_a_button(olivia: Operator, agent: Agent) -> None:
    delete_agent(agent)
    make_agent(agent.tenant, "bot")
    deleted = DeletedObject.objects.get()
    assert "bot" in olivia.get(url(DeletedObject)).content.decode()
    page = olivia.get(url(deleted, "change")).content.decode()
    assert "Agents: 1, Config versions: 2" in page

    response = olivia.client.post(url(deleted, "change").replace("change", "restore"))

    assert response.headers["Location"] == url(agent, "change")
    assert f"bot ({agent.id})" in olivia.get(url(agent, "change")).content.decode()
    olivia.audit_of("agent.restore")


@pytest.mark.embedded
def test_operator_is_told_why_it_cannot_be_restored(olivia: Operator, alice: Person) -> None:
    delete_tenant(alice.tenant)
    accounts.delete_user(actor=OPERATOR, user_id=alice.user.id)
    deleted = DeletedObject.objects.get()

    olivia.client.post(url(deleted, "change").replace("change", "restore"))

    assert "its owner has no account any more" in olivia.get(url(DeletedObject)).content.decode()


@pytest.mark.embedded
def test_operators_who_may_only_read_restore_nothing(agent: Agent) -> None:
    delete_agent(agent)
    deleted = DeletedObject.objects.get()
    viewer = sign_in("victor", is_superuser=False)

    assert ">Restore<" not in viewer.get(url(deleted, "change")).content.decode()
    assert viewer.client.post(url(deleted, "change").replace("change", "restore")).status_code == 403
    assert not Agent.unscoped.filter(pk=agent.pk).exists()

"""Tenant scoping, which fails closed, whose bypasses are listed, and whose rows are deleted with the tenant."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import timedelta
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.shortcuts import get_list_or_404, get_object_or_404
from django.utils import timezone

from accounts.models import PersonalToken
from agents import services as agents
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from agents.services import plugins, templates
from apikeys import notices, outcomes, usage
from apikeys.models import ApiKey, DailyUse, UsageLogEntry
from apikeys.notices import QuotaLevel
from apikeys.outcomes import Outcomes
from apikeys.usage import Uses
from apikeys.verification import EXPIRED
from core.models import AuditEntry, DeletedObject, FeedEntry, RevealCount, RowCount
from core.scoping import TenantOwned, UnscopedQueryError
from legacy.models import Imported
from tenants import services as tenants
from tenants.models import Membership, OwnershipOffer, Tenant, TenantInvitation, TenantType
from tests.support.invitations import invite
from tests.support.people import OPERATOR, Person, join, make_agent, make_key
from tests.support.refusals import refuse
from tests.support.tables import changed_tables, tables

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "maim",
    "core",
    "agent_config",
    "accounts",
    "tenants",
    "agents",
    "apikeys",
    "operations",
    "legacy",
    "internal_api",
    "dashboard",
    "provisioning",
    "demo",
)

SCOPED: list[type[Any]] = [model for model in apps.get_models() if issubclass(model, TenantOwned)]
SCOPED_LABELS = {model._meta.label for model in SCOPED}

# Models that name a tenant and are not scoped by it, each with its reason.
NOT_SCOPED = {
    Membership: "says which tenants a person has, so it comes before scoping",
    PersonalToken: "is its owner's, and says which of their tenants it is for",
    OwnershipOffer: "is read under its tenant's lock, after the gate",
    TenantInvitation: "is read for a tenant that passed the gate, or by the token of its link",
    AuditEntry: "outlives the tenant, and is read by operators, and for tenants that passed the gate",
    UsageLogEntry: "is written by bots for any tenant id, and read by operators alone",
    Imported: "says of every tenant what an import has brought, and is read by the import alone",
    RevealCount: "is written by reads that passed the gate, and read when it becomes an audit entry",
    DeletedObject: "outlives the tenant, and is read by operators alone",
    RowCount: "is added to by all writes, and read for tenants that passed the gate",
    FeedEntry: "is told to the internal surface alone, and says so when a tenant is gone",
}

# Code that may see every tenant's rows: `file` or `file::function`, each with its reason.
MAY_GO_UNSCOPED = {
    "core/scoping.py": "defines it",
    "core/counts.py::remove_stored": "locks rows that its caller has",
    "core/db.py::upsert_all": "writes rows that its caller names whole",
    "core/db.py::upsert_at_once": "writes rows that its caller names whole",
    "core/db.py::bulk_overwrite": "writes rows that its caller has",
    "core/db.py::delete_many": "deletes rows that its caller has locked",
    "core/revisions.py::raise_revisions": "writes rows that its caller has",
    "core/undo/parts.py": "stores what its caller deletes, and puts it back for operators",
    "agents/access.py": "is the gate to agents",
    "apikeys/access.py": "is the gate to API keys",
    "agents/services/config_writes.py::_select_for_update": "locks a row that passed the gate",
    "agents/services/config_writes.py::_template": "reads the template that an agent names, whose owner it checks",
    "agents/services/templates.py::templates_for": "is the gate to templates",
    "agents/services/templates.py::get_template": "is the gate to templates",
    "agents/services/templates.py::agents_of": "an operator's template is for agents of every tenant",
    "agents/services/templates.py::_lock": "locks a row that passed the gate",
    "agents/services/templates.py::_set_config_epoch": "writes a row that its caller has",
    "agents/effective_config.py": "is read for agents that passed the gate, or by whom every tenant is open to",
    "agents/services/resealing.py::_sources": "seals every tenant's secrets anew, for whoever runs the command",
    "agents/bulk_import.py": "stores what an import brings, of every tenant, for whoever runs the command",
    "apikeys/bulk_import.py": "stores what an import brings, of every tenant, for whoever runs the command",
    "operations/*.py": "changes objects of every tenant for operators",
    "legacy/imports.py::_deleted_in_maim": "asks which imported rows still exist, for whoever runs the command",
    "legacy/importers/*.py": "compares every tenant with another system, for whoever runs the command",
    "demo/storage.py": "fills a database that is empty, for whoever runs the command",
    "legacy/bridge/*.py": "brings every tenant into another system, for whoever runs the command",
    "agents/change_feed.py::_agents_of": "answers the internal surface, which is trusted with every tenant",
    "agents/change_feed.py::_entries": "answers the internal surface, which is trusted with every tenant",
    "agents/services/activity.py::_select_agents": "reads the state of agents, whose tenants it compares",
    "agents/services/activity.py::active_agents": "answers the internal surface, which is trusted with every tenant",
    "agents/services/agents.py::delete_agent": "locks the keys that go with their agent, which passed the gate",
    "agents/services/activity.py::sweep_activity": "deletes what is over, whosever it is",
    "*/admin.py": "operators see every tenant",
    "dashboard/gauges.py": "counts every tenant's, for operators",
    "dashboard/views.py": "operators see every tenant",
    "apikeys/attention.py::_keys": "finds every tenant's, for operators, where no tenant is named",
    "*/management/commands/*.py": "whoever runs commands is trusted with every tenant",
    "internal_api/fastpath/agents.py::_agents": "answers the internal surface, which is trusted with every tenant",
    "tenants/services.py::delete_tenant": "names the agents and locks the keys that go with their tenant",
    "tenants/templates.py::templates_below": "reads operators' templates, and those of a tenant that passed the gate",
    "apikeys/rankings.py::count_called_suspended": "counts every tenant's, for operators",
    "apikeys/usage.py::busiest_tenants": "compares all tenants, for whoever runs the command",
    "apikeys/usage.py::sweep": "deletes the counts of what is gone, whosever it was",
    "apikeys/refusals.py::add": "writes what a worker noted of every tenant's keys",
    "apikeys/refusals.py::sweep": "deletes the refusals that are over, whosever they were",
    "apikeys/refusals.py::_delete": "deletes the refusals that are over, whosever they were",
    "apikeys/notices.py::notify_expiries": "tells each tenant of its own keys",
    "apikeys/notices.py::_notify_expiries": "tells each tenant of its own keys",
    "apikeys/notices.py::_tell": "writes what happened to a key or quota of a tenant",
    "apikeys/notices.py::sweep": "deletes the notices that are over, whosever they were",
    "apikeys/outcomes.py::sweep": "deletes the counts of what is over, whosever it was",
    "apikeys/outcomes.py::_delete_slice": "deletes the counts of what is over, whosever it was",
}
NAMES_THAT_GO_ROUND_SCOPING = {"unscoped", "_base_manager", "_default_manager"}


# ---- the default manager

QUERIES: dict[str, Callable[[type[Any]], object]] = {
    "all": lambda model: model.objects.all(),
    "filter": lambda model: model.objects.filter(pk="x"),
    "exclude": lambda model: model.objects.exclude(pk="x"),
    "get": lambda model: model.objects.get(pk="x"),
    "first": lambda model: model.objects.first(),
    "count": lambda model: model.objects.count(),
    "exists": lambda model: model.objects.exists(),
    "values": lambda model: model.objects.values("pk"),
    "aggregate": lambda model: model.objects.aggregate(models.Count("pk")),
    "in_bulk": lambda model: model.objects.in_bulk(["x"]),
    "iterator": lambda model: model.objects.iterator(),
    "raw": lambda model: list(model.objects.raw("SELECT 1")),
    "select_for_update": lambda model: model.objects.select_for_update(),
    "create": lambda model: model.objects.create(),
    "get_or_create": lambda model: model.objects.get_or_create(pk="x"),
    "update_or_create": lambda model: model.objects.update_or_create(pk="x"),
    "bulk_create": lambda model: model.objects.bulk_create([]),
    "bulk_update": lambda model: model.objects.bulk_update([], ["tenant"]),
    "update": lambda model: model.objects.update(tenant_id="x"),
    "delete": lambda model: model.objects.all().delete(),
    "get_object_or_404": lambda model: get_object_or_404(model, pk="x"),
    "get_list_or_404": lambda model: get_list_or_404(model, pk="x"),
}


@pytest.mark.embedded
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_query_without_a_tenant_raises(model: type[Any], query: str, db: None) -> None:
    with pytest.raises(UnscopedQueryError, match=model.__name__):
        QUERIES[query](model)


def test_reverse_query_without_a_tenant_raises(alice: Person) -> None:
    with pytest.raises(UnscopedQueryError):
        alice.tenant.agents.count()


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_no_tenants_have_no_rows(model: type[Any], alice: Person) -> None:
    create_all_rows(alice.tenant)

    assert list(model.objects.in_tenants([])) == []
    assert list(model.objects.in_tenants(Tenant.objects.none())) == []


@pytest.mark.parametrize("model", SCOPED, ids=lambda model: model.__name__)
def test_tenant_has_its_own_rows(model: type[Any], alice: Person, charlie: Person) -> None:
    create_all_rows(alice.tenant)
    create_all_rows(charlie.tenant)

    by_id = model.objects.in_tenants([alice.tenant.id])
    by_query = model.objects.in_tenants(Tenant.objects.filter(pk=alice.tenant.id).order_by("-created_at"))

    assert {row.tenant_id for row in by_id} == {alice.tenant.id}
    assert set(by_query) == set(by_id)


@pytest.mark.embedded
def test_every_model_with_a_tenant_is_scoped_or_exempt() -> None:
    naming = {
        model
        for model in apps.get_models()
        if any(field.attname == "tenant_id" for field in model._meta.concrete_fields)
    }

    assert naming - set(NOT_SCOPED) == set(SCOPED)


# ---- the lint


@pytest.mark.embedded
def test_only_listed_functions_bypass_scoping() -> None:
    found = _bypasses()
    trespassers = {location for location in found if not any(_allows(entry, location) for entry in MAY_GO_UNSCOPED)}

    assert sorted(trespassers) == []


@pytest.mark.embedded
def test_every_way_to_bypass_scoping_is_found() -> None:
    for line in ("Agent.unscoped.all()", "getattr(Agent, 'unscoped')", "agent._meta.model._base_manager"):
        tree = ast.parse(f"def naughty():\n    {line}")
        assert list(_bypassing_functions(tree)) == ["naughty"], line


@pytest.mark.embedded
def test_every_listed_function_bypasses_scoping() -> None:
    found = _bypasses()
    stale = {entry for entry in MAY_GO_UNSCOPED if "::" in entry and entry not in found}

    assert stale == set()


def _allows(entry: str, location: str) -> bool:
    return location == entry if "::" in entry else fnmatch(location.partition("::")[0], entry)


@cache
def _bypasses() -> frozenset[str]:
    """Return each bypass as `file::function`."""
    return frozenset(
        f"{path.relative_to(ROOT)}::{function}"
        for package in SOURCES
        for path in (ROOT / package).rglob("*.py")
        if not {"migrations", "tests"} & set(path.relative_to(ROOT).parts)
        for function in _bypassing_functions(ast.parse(path.read_text()))
    )


def _bypassing_functions(node: ast.AST, function: str = "") -> Iterator[str]:
    """Yield the name of the outermost function of each bypass, or "" outside of functions."""
    for child in ast.iter_child_nodes(node):
        if _goes_round(child):
            yield function
        named = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        yield from _bypassing_functions(child, function or named)


def _goes_round(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Constant(value=str(name)):
            return name in NAMES_THAT_GO_ROUND_SCOPING
    return False


# ---- cascades


def create_all_rows(tenant: Tenant) -> Agent:
    """Create a row of every kind in a tenant, and return its agent."""
    agent = make_agent(tenant)
    count_use(make_key(agent).key)
    templates.create_template(actor=OPERATOR, tenant=tenant, name="template")
    plugins.set_plugin(actor=OPERATOR, tenant=tenant, agent=None, plugin_name="weather", enabled=True, config={})
    plugins.set_plugin(actor=OPERATOR, tenant=tenant, agent=agent, plugin_name="weather", enabled=False, config={})
    agents.record_activity(agents.Heartbeat(tenant.id, agent.id, 60))
    return agent


def count_use(key: ApiKey) -> None:
    """Count one use of a key, a refusal, and a verification of long ago."""
    now = timezone.now()
    for moment in (now - timedelta(days=9), now):
        outcomes.add([Outcomes(moment, key.tenant_id, key.agent_id, key.id, EXPIRED, 1)])
        outcomes.sweep()
    notices.notify_quotas([QuotaLevel(key.tenant_id, key.id, "all", 10, 80)])
    refuse(key.tenant, "request", key_id=key.id, agent_id=key.agent_id)
    usage.add([Uses(key.id, now.date(), key.agent_id, key.tenant_id, None, 1, now)])


# The rows that a deletion leaves. Of the verifications it leaves those of the whole installation, and those of what is
# deleted for as long as they are kept: they name nothing that is left, and no tenant.
TRACES = {
    *("common.AuditEntry", "common.Epoch", "common.Invalidation", "common.FeedEntry"),
    *("apikeys.MinuteCount", "apikeys.HourCount", "apikeys.FiveMinuteCount", "apikeys.DailyRefusals"),
    "apikeys.DailyUse",
}
# The copy by which a deletion can be undone (core.undo).
UNDO = {"common.DeletedObject", "common.DeletedRows"}
# The numbers of all tenants, and of what is left (core.counts).
COUNTS = {"common.RowCount"}


def test_deleted_tenant_leaves_only_audit_entries(alice: Person, bob: Person, charlie: Person) -> None:
    create_all_rows(charlie.tenant)
    empty = tables()
    tenant = tenants.create_tenant(
        actor=OPERATOR, tenant_name="Short-lived", tenant_type=TenantType.ENTERPRISE, owner_id=alice.user.id
    )
    join(bob, tenant)
    invite(alice.user, tenant)
    create_all_rows(tenant)
    everything = SCOPED_LABELS | {"tenants.Tenant", "tenants.Membership", "apikeys.KeySecret"} | TRACES
    everything |= {"accounts.Invitation", "tenants.TenantInvitation"}
    assert changed_tables(empty, tables()) - COUNTS == everything, (
        "the test must furnish a tenant with every kind of row"
    )

    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)

    assert changed_tables(empty, tables()) - COUNTS == TRACES | UNDO
    assert not RowCount.objects.filter(tenant_id=tenant.id).exists()
    assert AuditEntry.objects.filter(tenant_id=tenant.id, action="tenant.delete").count() == 1


def test_deleted_agent_takes_only_its_own_rows(alice: Person) -> None:
    neighbour = create_all_rows(alice.tenant)
    before = tables()
    agent = make_agent(alice.tenant)
    count_use(make_key(agent).key)
    plugins.set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="x", enabled=True, config={})
    agents.record_activity(agents.Heartbeat(alice.tenant.id, agent.id, 60))
    assert changed_tables(before, tables()) >= (SCOPED_LABELS - {"agents.Template"}) | {"apikeys.KeySecret"}

    agents.delete_agent(actor=OPERATOR, agent=agent)
    usage.sweep()

    assert changed_tables(before, tables()) - COUNTS == TRACES | UNDO | {
        "apikeys.DailyUse",
        "apikeys.Refusal",
        "apikeys.Notice",
    }, "its uses stay in its tenant's counts, its refusals and notices for some days"
    assert not DailyUse.objects.in_tenants([alice.tenant.id]).filter(subject=agent.id).exists()
    for model in (Agent, ConfigVersion, ApiKey, PluginSetting, AgentActivity, DailyUse):
        assert model.objects.in_tenants([alice.tenant.id]).exists(), f"{neighbour}'s {model.__name__}"


def test_usage_log_outlives_the_tenant(alice: Person) -> None:
    UsageLogEntry.objects.create(action="chat", tenant_id=alice.tenant.id, timestamp=alice.tenant.created_at)

    tenants.delete_tenant(actor=OPERATOR, tenant=alice.tenant)

    assert UsageLogEntry.objects.filter(tenant_id=alice.tenant.id).exists()

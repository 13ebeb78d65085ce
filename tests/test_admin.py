"""The operators' admin: its lists, its permissions, and the audit log."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from accounts.models import Invitation, PersonalToken, QueuedMail, User
from agents import services as agents
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting, Template
from agents.services import templates
from agents.services.activity import Heartbeat, record_activity
from agents.services.plugins import set_plugin
from apikeys.models import ApiKey, UsageLogEntry
from apikeys.usage_log import log_usage
from core import audit, audit_export
from core.actor import Actor, ActorKind
from core.models import AuditEntry, DeletedObject
from operations import services as operations
from operations.models import BulkOperation, Kind
from operations.selections import Selection
from tenants.models import Tenant, TenantInvitation
from tests.support.client import SurfaceClient, context_of
from tests.support.invitations import invite
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, join, make_agent, make_key, register
from tests.support.tokens import add_token

pytestmark = pytest.mark.django_db
MODELS: list[type[Model]] = [
    *(User, PersonalToken, Invitation, QueuedMail, Tenant, TenantInvitation, Template, Agent, ConfigVersion, ApiKey),
    *(UsageLogEntry, AuditEntry, PluginSetting, AgentActivity, DeletedObject, BulkOperation),
]
WRITABLE: list[type[Model]] = [User, Tenant, Template, Agent, ApiKey]


def populate(name: str) -> None:
    """Create a person with a tenant, a template, an agent, a key, and log entries."""
    person = register(name)
    templates.create_template(actor=OPERATOR, tenant=person.tenant, name="template")
    agent = make_agent(person.tenant)
    key = make_key(agent).key
    agents.delete_agent(actor=OPERATOR, agent=make_agent(person.tenant, "gone"))
    operations.start(actor=OPERATOR, selection=Selection(kind=Kind.DISABLE_KEYS, ids=(key.pk,)))
    set_plugin(actor=OPERATOR, tenant=person.tenant, agent=agent, plugin_name="plugin", enabled=True, config={})
    record_activity(Heartbeat(tenant_id=person.tenant.pk, agent_id=agent.pk, ttl_seconds=60))
    accounts.request_reset(actor=OPERATOR, email="somebody@example.com")
    accounts.invite(actor=OPERATOR, email="somebody@example.com")
    log_usage(action="chat", tenant_id=person.tenant.pk)
    add_token(person.user)
    invite(person.user, person.tenant)


def listed(model: type[Model]) -> QuerySet[Any]:
    """Return the rows that the list of a model has."""
    rows = model._base_manager.order_by("pk")
    return rows.filter(inviter=None) if model is Invitation else rows


def queries(operator: Operator, page: str) -> int:
    """Return the number of a page's queries when Django's own caches are filled."""
    operator.get(page)
    with CaptureQueriesContext(connection) as captured:
        operator.get(page)
    return len(captured)


def first_of(model: type[Model]) -> Model:
    row: Model | None = listed(model).first()
    assert row is not None
    return row


def test_admin_has_exactly_these_lists() -> None:
    assert set(admin.site._registry) == set(MODELS)


def test_each_list_shows_its_rows(olivia: Operator) -> None:
    populate("alice")

    for model in MODELS:
        response = olivia.get(url(model))
        assert response.context_data["cl"].result_count == listed(model).count() > 0, model
        assert url(first_of(model), "change") in response.content.decode(), model


@pytest.mark.embedded
@pytest.mark.parametrize("object_id", [".", "..", "a.b_2E/c"])
def test_object_with_an_id_that_a_browser_would_resolve_has_a_page(
    olivia: Operator, alice: Person, object_id: str
) -> None:
    agent = Agent(pk=object_id, tenant=alice.tenant, template_id="")
    agent.set_name("dots")
    agent.save(force_insert=True)

    page = url(agent, "change")

    assert urljoin("http://localhost/", page) == f"http://localhost{page}"
    assert page in olivia.get(url(Agent)).content.decode()
    assert context_of(olivia.get(page))["original"] == agent
    assert olivia.delete(agent)["Location"] == url(Agent)
    assert not Agent.unscoped.exists()


@pytest.mark.embedded
@pytest.mark.parametrize("model", MODELS)
def test_list_takes_any_text_to_search_for(olivia: Operator, model: type[Model]) -> None:
    """An id may be a number, which a text is not."""
    for text in ("nothing", "-1", "9" * 30, "租户"):
        assert "result_list" in context_of(olivia.get(url(model), q=text))["cl"].__dict__


@pytest.mark.embedded
def test_number_of_queries_does_not_grow_with_a_list(olivia: Operator) -> None:
    populate("alice")
    few = {model: queries(olivia, url(model)) for model in MODELS}
    for number in range(5):
        populate(f"person {number}")

    assert {model: queries(olivia, url(model)) for model in MODELS} == few


def test_number_of_queries_does_not_grow_with_the_members_of_a_tenant(olivia: Operator, alice: Person) -> None:
    page = url(alice.tenant, "change")
    few = queries(olivia, page)
    for number in range(5):
        join(register(f"person {number}"), alice.tenant)

    assert queries(olivia, page) == few


@pytest.mark.embedded
def test_user_who_is_no_operator_sees_nothing(alice: Person, bob: Person) -> None:
    populate("charlie")
    client = SurfaceClient()
    client.force_login(bob.user)
    pages = [url(model) for model in MODELS] + [url(model, "add") for model in WRITABLE]
    pages += [url(first_of(model), page) for model in MODELS for page in ("change", "delete", "history")]

    for page in pages:
        assert client.get(page)["Location"].startswith("/admin/login/"), page
        assert client.post(page)["Location"].startswith("/admin/login/"), page


@pytest.mark.embedded
@pytest.mark.parametrize("model", WRITABLE)
def test_add_page_exists(olivia: Operator, model: type[Model]) -> None:
    assert olivia.get(url(model, "add")).context_data["adminform"].form.fields


@pytest.mark.embedded
@pytest.mark.parametrize("model", MODELS)
def test_deleted_row_redirects_with_a_message(olivia: Operator, model: type[Model]) -> None:
    gone = model(pk="999999")

    for page in [url(gone, "change"), *([url(gone, "delete")] if model in WRITABLE else [])]:
        assert "Perhaps it was deleted?" in olivia.client.get(page, follow=True).content.decode()


@pytest.mark.parametrize("lookup", ["password__startswith", "nonsense", "id__in", "memberships__tenant__id"])
def test_only_declared_filters_are_accepted(olivia: Operator, alice: Person, lookup: str) -> None:
    assert olivia.client.get(url(User), {lookup: "argon2"}).status_code == 400
    assert olivia.get(url(User), is_staff__exact="1").context_data["cl"].result_count == 1


# ---- the audit log


@pytest.fixture
def entry(alice: Person) -> AuditEntry:
    actor = Actor(kind=ActorKind.USER, id=alice.user.pk, label="alice", request_id="Req-1")
    agents.create_agent(actor=actor, tenant=alice.tenant, name="Helper", config={"文": "🤖"})
    return AuditEntry.objects.get(action="agent.create")


@pytest.mark.parametrize(
    "of",
    [
        lambda entry: {"q": entry.object_id},
        lambda entry: {"q": entry.tenant_id, "action": "agent.create"},
        lambda entry: {"q": "Req-1"},
        lambda entry: {"actor_kind": "user"},
        lambda entry: {"action": "agent.create"},
    ],
)
def test_search_finds_an_entry(olivia: Operator, entry: AuditEntry, of: Callable[[AuditEntry], dict[str, str]]) -> None:
    assert AuditEntry.objects.count() > 1

    assert list(olivia.get(url(AuditEntry), **of(entry)).context_data["cl"].result_list) == [entry]


@pytest.mark.parametrize("name", ["helper", "alic", "  HELP"])
def test_search_finds_entries_by_the_beginning_of_a_name(olivia: Operator, entry: AuditEntry, name: str) -> None:
    found = list(context_of(olivia.get(url(AuditEntry), q=name))["cl"].result_list)

    assert entry in found
    assert len(found) < AuditEntry.objects.count()


def test_name_that_is_not_there_finds_nothing(olivia: Operator, entry: AuditEntry) -> None:
    assert list(context_of(olivia.get(url(AuditEntry), q="nobody"))["cl"].result_list) == []


# ---- the audit log as a file


def export(operator: Operator, extension: str, **query: str) -> str:
    response = operator.get(f"/admin/common/auditentry/export/{extension}/", **query)
    assert response["Content-Disposition"] == f'attachment; filename="audit.{extension}"'
    text: str = response.content.decode()
    return text


def test_filtered_entries_are_exported_as_the_command_does(olivia: Operator, entry: AuditEntry) -> None:
    document = json.loads(export(olivia, "jsonl", action="agent.create", actor_kind="user"))

    assert document == audit_export.document(entry)
    assert (document["action"], document["after"]["name"]) == ("agent.create", "Helper")
    assert export(olivia, "jsonl", action="key.create") == ""


def test_export_has_more_than_a_page_of_what_a_search_finds(olivia: Operator, alice: Person) -> None:
    for _number in range(150):
        with transaction.atomic():
            audit.record(actor=OPERATOR, action="key.update", object_id="key_1", tenant_id=None)

    assert export(olivia, "jsonl", q="key_1").count("\n") == 150


def test_export_is_bounded_and_has_the_newest(
    olivia: Operator, entry: AuditEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.admin.MAX_EXPORTED", 1)
    newest = AuditEntry.objects.latest("id")

    assert json.loads(export(olivia, "jsonl"))["id"] == newest.pk


def test_csv_has_a_header_and_no_formula(olivia: Operator, alice: Person) -> None:
    evil = Actor(kind=ActorKind.COMMAND, label="=1+1")
    with transaction.atomic():
        audit.record(actor=evil, action="key.update", object_id="key_1", tenant_id=None, after={"名": "值"})

    (row,) = csv.DictReader(export(olivia, "csv", action="key.update").splitlines())

    assert (row["actor_name"], row["object_id"], row["after"]) == ("'=1+1", "key_1", '{"名": "值"}')


def test_export_is_in_the_log_with_its_filter_and_number(olivia: Operator, entry: AuditEntry) -> None:
    assert "agent.create" in export(olivia, "csv", action="agent.create", actor_kind="user")

    exported = olivia.audit_of("audit.export")
    assert exported.after == {"format": "csv", "filter": "action=agent.create&actor_kind=user", "entries": 1}
    assert exported.tenant_id is None


def test_entry_of_an_export_keeps_no_secret_and_no_long_text(olivia: Operator, alice: Person) -> None:
    secret = make_key(make_agent(alice.tenant)).secret

    export(olivia, "jsonl", q=f"{secret} {1000 * 'x'}")

    after = olivia.audit_of("audit.export").after
    assert after is not None
    assert after["filter"].startswith("q=mmc_… xxx")
    assert (len(after["filter"]), after["entries"]) == (300, 0)


def test_list_links_its_exports_with_its_filters(olivia: Operator, entry: AuditEntry) -> None:
    page = olivia.get(url(AuditEntry), action="agent.create", q="Req-1").content.decode()

    for extension in ("jsonl", "csv"):
        assert f"/admin/common/auditentry/export/{extension}/?action=agent.create&amp;q=Req-1" in page


@pytest.mark.parametrize(
    ("extension", "query", "status"),
    [("xml", "", 404), ("csv", "?password=x", 400), ("csv", "?at__gte=nonsense", 302), ("csv", "?p=[]", 302)],
)
def test_export_that_cannot_be_made_is_refused(olivia: Operator, extension: str, query: str, status: int) -> None:
    assert olivia.client.get(f"/admin/common/auditentry/export/{extension}/{query}").status_code == status


def test_export_takes_a_get_because_only_that_is_searched(olivia: Operator, entry: AuditEntry) -> None:
    for request in (olivia.client.post, olivia.client.head):
        assert request("/admin/common/auditentry/export/jsonl/?q=nobody").status_code == 405

    assert not AuditEntry.objects.filter(action="audit.export").exists()


def test_viewer_exports_what_a_viewer_sees(entry: AuditEntry) -> None:
    assert "agent.create" in export(sign_in("oscar", is_superuser=False), "csv")


def test_log_is_ordered_newest_first(olivia: Operator, entry: AuditEntry) -> None:
    assert olivia.get(url(AuditEntry)).context_data["cl"].result_list[0] == entry


def test_entry_shows_all_fields(olivia: Operator, entry: AuditEntry) -> None:
    page = olivia.get(url(entry, "change")).content.decode()

    assert "&quot;name&quot;: &quot;Helper&quot;" in page
    assert "🤖" in page
    assert "Req-1" in page


def test_audit_log_cannot_be_written(olivia: Operator, entry: AuditEntry) -> None:
    before = list(AuditEntry.objects.values_list())

    for page in (url(AuditEntry, "add"), url(entry, "change"), url(entry, "delete")):
        assert olivia.client.post(page, {"action": "forged", "post": "yes"}).status_code == 403
    olivia.client.post(url(AuditEntry), {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})

    assert list(AuditEntry.objects.values_list()) == before


def test_history_of_a_row_links_to_its_audit_entries(olivia: Operator, alice: Person) -> None:
    olivia.change(alice.tenant, tenant_name="Other")

    response = olivia.client.get(url(alice.tenant, "history"), follow=True)

    actions = [row.action for row in context_of(response)["cl"].result_list]
    assert actions == ["tenant.update", "tenant.create"]
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("action", "model", "messages"),
    [
        ("disable", ApiKey, ["1 key is disabled.", "0 keys are disabled."]),
        ("enable", ApiKey, ["1 key is enabled.", "0 keys are enabled."]),
        (
            "suspend",
            Tenant,
            [
                "1 tenant is suspended, and none of its keys is valid.",
                "0 tenants are suspended, and none of their keys is valid.",
            ],
        ),
        ("resume", Tenant, ["0 tenants are active again."] * 2),
        (
            "deactivate",
            User,
            [
                "1 user is deactivated. All sessions and tokens have ended.",
                "0 users are deactivated. All their sessions and tokens have ended.",
            ],
        ),
        ("end_sessions", User, ["The sessions of 1 user have ended.", "The sessions of 0 users have ended."]),
    ],
)
def test_action_tells_how_many_rows_it_found(
    action: str, model: type[Model], messages: list[str], olivia: Operator, alice: Person
) -> None:
    rows: list[Model] = [make_key(make_agent(alice.tenant)).key, alice.tenant, alice.user]
    row = next(each for each in rows if type(each) is model)
    gone = model(pk="gone")

    olivia.act(action, row, gone)
    response = olivia.act(action, gone)

    assert [str(each) for each in get_messages(response.wsgi_request)] == messages

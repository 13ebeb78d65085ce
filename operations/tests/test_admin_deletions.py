"""Deletions in the admin with a large impact: it is shown, the number typed, and long ones are operations."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import (
    EmailToken,
    Identity,
    Invitation,
    LinkChallenge,
    OidcFlow,
    Passkey,
    PersonalToken,
    RecoveryCode,
    SignInAddress,
    SignInChallenge,
    TokenSession,
    TotpFactor,
    User,
)
from agents.models import Agent
from apikeys.models import ApiKey
from core import counts
from core.db import transactional
from operations.models import BulkOperation
from operations.worker import Worker
from tenants.models import Membership, OwnershipOffer, Tenant
from tests.support.client import context_of
from tests.support.invitations import invite
from tests.support.operators import Operator, form_of, url
from tests.support.people import Person, make_agent, make_key
from tests.support.tokens import add_token

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@transactional
def add_keys(agent: Agent, number: int) -> list[ApiKey]:
    """Add keys without secrets."""
    keys = [ApiKey(tenant=agent.tenant, agent=agent) for _number in range(number)]
    for index, key in enumerate(keys):
        key.set_name(f"name {index}")
    counts.add(*keys)
    return ApiKey.unscoped.bulk_create(keys)


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Alice's agent with 100 keys, with which it is 101 objects."""
    agent = make_agent(alice.tenant)
    add_keys(agent, 100)
    return agent


def test_page_shows_the_impact_of_a_deletion_without_reading_its_rows(olivia: Operator, agent: Agent) -> None:
    with CaptureQueriesContext(connection) as captured:
        page = olivia.get(url(agent, "delete")).content.decode()

    assert "API keys: 100" in page
    assert "Calls of today (UTC): 0" in page
    assert "name 77" not in page
    assert not [each for each in captured.captured_queries if 'SELECT "apikeys_apikey"."id"' in each["sql"]]


def test_agent_with_many_keys_is_deleted_by_an_operation_after_its_number_was_typed(
    olivia: Operator, agent: Agent
) -> None:
    refused = olivia.client.post(url(agent, "delete"), {"post": "yes", "typed_number": "100"}, follow=True)
    assert "Type the number of objects, 101, to go on" in refused.content.decode()
    assert not BulkOperation.objects.exists()

    started = olivia.submit(url(agent, "delete"), typed_number="101")

    row = BulkOperation.objects.get()
    assert (started["Location"], row.kind, row.actor_id) == (url(row, "change"), "delete_agents", olivia.user.pk)
    assert Agent.unscoped.filter(pk=agent.pk).exists()
    Worker().work()
    assert not Agent.unscoped.filter(pk=agent.pk).exists()


def test_agent_with_few_keys_is_deleted_at_once(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)
    add_keys(agent, 99)

    assert olivia.delete(agent)["Location"] == url(Agent)

    assert not Agent.unscoped.exists()
    assert not BulkOperation.objects.exists()


def test_imported_id_may_contain_what_nobody_sees(olivia: Operator, alice: Person) -> None:
    agent = Agent(pk="agent\u200b1", tenant=alice.tenant, template_id="")
    agent.set_name("imported")
    agent.save(force_insert=True)

    assert olivia.delete(agent)["Location"] == url(Agent)

    assert not Agent.unscoped.exists()


def test_selected_agents_are_counted_with_their_keys(olivia: Operator, agent: Agent, alice: Person) -> None:
    other = make_agent(alice.tenant, "other")
    page = olivia.act("delete_selected", agent, other).content.decode()
    assert "Type 102 to go on" in page
    fields = {"action": "delete_selected", "_selected_action": [agent.pk, other.pk], "post": "yes"}

    refused = olivia.client.post(url(Agent), {**fields, "typed_number": "12"})
    assert "Nothing was deleted. Type the number of objects, 102, to go on" in refused.content.decode()
    form = form_of(refused)
    assert (set(form["_selected_action"]), form["typed_number"]) == ({agent.pk, other.pk}, ["12"])
    started = olivia.client.post(url(Agent), {**fields, "typed_number": "102"})

    row = BulkOperation.objects.get()
    assert (started["Location"], row.total) == (url(row, "change"), 2)


def test_many_selected_keys_are_deleted_by_an_operation(olivia: Operator, agent: Agent) -> None:
    make_key(make_agent(agent.tenant, "other"))
    rows = ApiKey.unscoped.all()
    fields = {"action": "delete_selected", "_selected_action": [row.pk for row in rows], "post": "yes"}

    olivia.client.post(url(ApiKey), {**fields, "typed_number": "101"})

    row = BulkOperation.objects.get()
    assert (row.kind, row.total) == ("delete_keys", 101)


def test_operations_are_linked_from_a_tenant_and_an_agent(olivia: Operator, agent: Agent, alice: Person) -> None:
    many = url(BulkOperation, "add")

    for row, query in ((alice.tenant, f"?tenant_id={alice.tenant.pk}"), (agent, f"agent_id={agent.pk}")):
        page = olivia.get(url(row, "change")).content.decode().replace("&amp;", "&")
        assert f"{many}?" in page
        assert query in page
    form = context_of(olivia.get(f"{many}?kind=disable_keys&agent_id={agent.pk}"))["form"]
    assert (form["kind"].value(), form["agent_id"].value()) == ("disable_keys", agent.pk)


def test_large_tenant_is_deleted_by_an_operation_after_its_number_was_typed(
    olivia: Operator, agent: Agent, alice: Person
) -> None:
    page = url(alice.tenant, "delete")
    assert "Calls of the last hour: 0" in olivia.get(page).content.decode()
    olivia.submit(page, typed_number="101")
    assert not BulkOperation.objects.exists()

    started = olivia.submit(page, typed_number="102")

    row = BulkOperation.objects.get()
    assert (started["Location"], row.kind, row.total) == (url(row, "change"), "delete_tenants", 1)
    Worker().work()
    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()


def test_small_tenant_is_deleted_at_once(olivia: Operator, alice: Person) -> None:
    add_keys(make_agent(alice.tenant), 98)

    assert olivia.delete(alice.tenant)["Location"] == url(Tenant)

    assert not Tenant.objects.filter(pk=alice.tenant.pk).exists()


def test_selected_tenants_are_counted_with_all_that_is_in_them(
    olivia: Operator, agent: Agent, alice: Person, charlie: Person
) -> None:
    page = olivia.act("delete_selected", alice.tenant, charlie.tenant)
    assert "Type 103 to go on" in page.content.decode()

    olivia.client.post(url(Tenant), {**form_of(page), "typed_number": "103"})

    row = BulkOperation.objects.get()
    assert (row.kind, row.total) == ("delete_tenants", 2)


# ---- users


def test_page_shows_what_goes_with_a_user(olivia: Operator, alice: Person, bob: Person) -> None:
    bob.tenant.delete()
    add_token(bob.user)
    invite(bob.user, alice.tenant)
    TotpFactor.objects.create(user=bob.user, secret="s", confirmed_at=timezone.now())
    sessions = TokenSession.objects.filter(user=bob.user).count()

    page = olivia.get(url(bob.user, "delete")).content.decode()

    for count in (
        "Memberships: 1",
        "Personal access tokens: 1",
        f"Sessions: {sessions}",
        "Second factors: 1",
        "Linked identities: 0",
        "Invitations that they have sent: 1",
    ):
        assert count in page


def test_users_with_much_are_deleted_after_its_number_was_typed(olivia: Operator, alice: Person) -> None:
    alice.tenant.delete()
    for _number in range(100):
        add_token(alice.user)
    objects = 1 + 100 + TokenSession.objects.filter(user=alice.user).count()

    refused = olivia.submit(url(alice.user, "delete"), typed_number="1")
    assert refused["Location"] == url(alice.user, "delete")
    assert User.objects.filter(pk=alice.user.pk).exists()
    olivia.submit(url(alice.user, "delete"), typed_number=str(objects))

    assert not User.objects.filter(pk=alice.user.pk).exists()


def test_owned_tenants_refuse_the_deletion_of_all_selected_users(
    olivia: Operator, alice: Person, charlie: Person
) -> None:
    charlie.tenant.delete()

    page = olivia.act("delete_selected", alice.user, charlie.user).content.decode()

    assert "would require deleting the following protected related objects" in page
    assert url(alice.tenant, "change") in page
    assert "typed_number" not in page


def test_all_that_goes_with_a_user_is_counted_or_means_nothing_without_them() -> None:
    counted = {Membership, PersonalToken, TokenSession, TotpFactor, Passkey, Identity, Invitation, Tenant}
    not_counted = {
        EmailToken: "a link in a mail, of some hours",
        OidcFlow: "a sign-in under way",
        LinkChallenge: "a link under way",
        SignInChallenge: "a sign-in under way",
        OwnershipOffer: "an offer of days, which somebody else made",
        RecoveryCode: "goes with the second factors",
        SignInAddress: "what notices of new sign-ins compare with",
        LogEntry: "is never written",
    }

    assert {relation.related_model for relation in User._meta.related_objects} == counted | set(not_counted)

"""Bulk operations in the admin: the preview, the start, the progress, the report and cancelling."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from apikeys.models import ApiKey
from operations.models import BulkOperation
from operations.worker import Worker
from tests.support.operators import Operator, form_of, sign_in, url
from tests.support.people import Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.fixture
def agent(alice: Person) -> Agent:
    """Alice's agent with 101 keys, so that their number has to be typed."""
    agent = make_agent(alice.tenant)
    make_key(agent, "first")
    keys = [ApiKey(tenant=alice.tenant, agent=agent) for _number in range(100)]
    for number, key in enumerate(keys):
        key.set_name(f"name {number}")
    ApiKey.unscoped.bulk_create(keys)
    return agent


def show(operator: Operator, **fields: str) -> Any:
    """Fill in the form, and return the page that shows what the operation would touch."""
    page = url(BulkOperation, "add")
    return operator.client.post(page, {**form_of(operator.get(page)), **fields, "show": "1"})


def confirm(operator: Operator, shown: Any, **fields: str) -> Any:
    return operator.client.post(url(BulkOperation, "add"), {**form_of(shown), **fields, "confirm": "1"})


def test_many_keys_are_disabled_after_their_number_was_typed(olivia: Operator, agent: Agent) -> None:
    shown = show(olivia, kind="disable_keys", agent_id=agent.pk)
    assert "<dt>Number of objects</dt><dd>101</dd>" in shown.content.decode()
    assert not BulkOperation.objects.exists()

    refused = confirm(olivia, shown, number="100")
    assert "Type the number of objects, 101, to go on" in refused.content.decode()
    assert not BulkOperation.objects.exists()
    started = confirm(olivia, shown, number="101")

    row = BulkOperation.objects.get()
    assert started.headers["Location"] == url(row, "change")
    assert (row.total, row.actor_id) == (101, olivia.user.pk)


def test_deletion_asks_for_the_number_of_all_that_goes(olivia: Operator, agent: Agent) -> None:
    shown = show(olivia, kind="delete_agents", ids=agent.pk)
    assert "<dt>Deleted with all that is in them</dt><dd>102</dd>" in shown.content.decode()

    refused = confirm(olivia, shown, number="1")
    assert "Type the number of objects, 102, to go on" in refused.content.decode()
    confirm(olivia, refused, number="102")

    assert BulkOperation.objects.get().total == 1


@pytest.mark.parametrize("typed", ["", "100", "1o1", "9" * 5000])
def test_mistyped_number_keeps_the_selection_and_what_it_would_affect(
    olivia: Operator, agent: Agent, typed: str
) -> None:
    shown = show(olivia, kind="disable_keys", agent_id=agent.pk, status="active")

    refused = confirm(olivia, shown, number=typed)

    assert "Type the number of objects, 101, to go on" in refused.content.decode()
    for name in ("kind", "ids", "tenant_id", "agent_id", "status", "shown"):
        assert form_of(refused)[name] == form_of(shown)[name]
    assert form_of(refused)["number"] == [typed]
    confirm(olivia, refused, number="101")
    assert BulkOperation.objects.get().total == 101


def test_selection_that_was_edited_after_it_was_shown_is_shown_again(olivia: Operator, agent: Agent) -> None:
    shown = show(olivia, kind="disable_keys", ids=ApiKey.unscoped.values_list("pk", flat=True)[0])

    again = confirm(olivia, shown, kind="delete_keys")

    assert again.status_code == 200
    assert not BulkOperation.objects.exists()


def test_imported_ids_may_contain_blanks(olivia: Operator, agent: Agent) -> None:
    ids = ["key of the old system", "other & more/2"]

    confirm(olivia, show(olivia, kind="disable_keys", ids="\r\n".join(ids)))

    assert BulkOperation.objects.get().selection == {"ids": ids}


def test_wrong_selection_is_told_at_its_field(olivia: Operator) -> None:
    assert "Say which objects" in show(olivia, kind="disable_keys").content.decode()


def test_page_shows_progress_and_report(olivia: Operator, agent: Agent) -> None:
    key = ApiKey.unscoped.first()
    assert key is not None
    shown = show(olivia, kind="disable_keys", ids=f"{key.pk}\nkey_of_nobody")
    confirm(olivia, shown)
    row = BulkOperation.objects.get()
    page, progress = url(row, "change"), url(row, "change").replace("change", "progress")
    assert "operations/progress.js" in olivia.get(page).content.decode()
    assert olivia.get(progress).json() == {"done": 0, "total": 2, "state": "waiting", "is_open": True}

    Worker().work()

    assert olivia.get(progress).json() == {"done": 2, "total": 2, "state": "done", "is_open": False}
    report = olivia.get(page).content.decode()
    assert 'key_of_nobody</td><td class="p-3">no longer there</td>' in report
    assert "operations/progress.js" not in report


def test_operation_is_cancelled(olivia: Operator, agent: Agent) -> None:
    confirm(olivia, show(olivia, kind="delete_agents", ids=agent.pk), number="102")
    row = BulkOperation.objects.get()

    response = olivia.client.post(url(row, "change").replace("change", "cancel"))

    assert response.headers["Location"] == url(row, "change")
    row.refresh_from_db()
    assert row.state == BulkOperation.State.CANCELLED


def test_operators_who_may_only_read_start_and_cancel_nothing(olivia: Operator, agent: Agent) -> None:
    confirm(olivia, show(olivia, kind="delete_agents", ids=agent.pk), number="102")
    row = BulkOperation.objects.get()
    viewer = sign_in("victor", is_superuser=False)

    assert viewer.client.get(url(BulkOperation, "add")).status_code == 403
    assert viewer.client.post(url(row, "change").replace("change", "cancel")).status_code == 403
    assert "Cancel the operation" not in viewer.get(url(row, "change")).content.decode()

"""Few rows read of the log of a quiet agent or object in a busy tenant (docs/decisions/0033-large-tables.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model, QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys import usage_log
from apikeys.models import UsageLogEntry
from core.audit import AuditChange, build_entry
from core.listing import LogList
from core.models import AuditEntry
from core.prepared_writes import insert_all
from tenants import audit_log
from tenants.models import Tenant
from tests.support.large_lists import cost_of
from tests.support.people import OPERATOR

pytestmark = [pytest.mark.django_db, pytest.mark.needs_mariadb]

BUSY = Tenant(pk="tenant_busy")
# The quiet one has the first rows of the log, and others all that come after.
OF_QUIET, OF_OTHERS = 3000, 12_000
PAGE = 100
# The ids of a page in an index, and then its rows.
MAX_READS = 2 * PAGE + 10


def usage_entry(name: str) -> UsageLogEntry:
    return UsageLogEntry(tenant_id=BUSY.pk, agent_id=name, action="reply", timestamp=timezone.now())


def audit_entry(name: str) -> AuditEntry:
    return build_entry(OPERATOR, "agent.update", AuditChange(name, BUSY.pk), at=timezone.now())


def fill(model: type[Model], entry: Callable[[str], Model]) -> None:
    names = ["quiet"] * OF_QUIET + [f"other_{number % 7}" for number in range(OF_OTHERS)]
    insert_all([entry(name) for name in names])
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {model._meta.db_table}")
        cursor.fetchall()


def reads_of(rows: QuerySet[Any]) -> list[int]:
    """Return the rows read for the newest page, and for the first after a cursor."""
    log, first = LogList(rows), rows.last()
    assert first is not None
    pages: Sequence[Callable[[], Any]] = (lambda: log[0:PAGE], lambda: log.after(first.pk)[0:PAGE])
    return [cost_of(page).reads for page in pages]


def test_usage_log_of_a_quiet_agent_is_read_in_the_index_of_agents() -> None:
    fill(UsageLogEntry, usage_entry)

    assert max(reads_of(usage_log.entries_for(BUSY, agent_id="quiet"))) <= MAX_READS


def test_audit_log_of_a_quiet_object_is_read_in_the_index_of_objects() -> None:
    fill(AuditEntry, audit_entry)

    assert max(reads_of(audit_log.entries_for(BUSY, object_id="quiet"))) <= MAX_READS


def test_order_of_a_tenants_log_is_not_that_of_the_primary_key() -> None:
    """MariaDB would read the whole log from its end, but only in tables of a million rows (tests/long/console.py)."""
    with CaptureQueriesContext(connection) as queries:
        list(audit_log.entries_for(BUSY)[:PAGE])

    (query,) = queries
    _columns, _where, condition_and_order = query["sql"].partition(" WHERE ")
    assert "`tenant_id` >= 'tenant_busy'" in condition_and_order
    assert "`tenant_id` = " not in condition_and_order  # which would take the column out of the order
    assert "ORDER BY `common_auditentry`.`tenant_id` DESC, `common_auditentry`.`id` DESC" in condition_and_order

"""The last changes of an object, from the audit log, without reading what else was changed."""

from __future__ import annotations

import pytest
from django.db import transaction

from apikeys.tests.test_outcomes import rows_read
from core import audit
from core.audit import AuditChange
from core.audit_history import SHOWN, last_changes, last_changes_in
from tests.support.people import OPERATOR

pytestmark = pytest.mark.django_db


def record(object_id: str, tenant_id: str, number: int) -> None:
    changes = [AuditChange(object_id, tenant_id, {"name": "old"}, {"name": str(each)}) for each in range(number)]
    with transaction.atomic():
        audit.record_all(actor=OPERATOR, action="key.update", changes=changes)


def test_last_changes_of_an_object_and_in_its_tenant() -> None:
    record("key_ours", "tenant_ours", 12)
    record("key_other", "tenant_ours", 1)
    record("key_theirs", "tenant_theirs", 1)

    assert [entry.after for entry in last_changes("key_ours")] == [{"name": str(11 - each)} for each in range(SHOWN)]
    assert [entry.object_id for entry in last_changes_in("tenant_ours")] == ["key_other"] + ["key_ours"] * (SHOWN - 1)
    assert last_changes("key_unknown") == []


@pytest.mark.needs_mariadb
def test_only_what_is_shown_is_read() -> None:
    record("key_ours", "tenant_ours", 100)
    record("key_theirs", "tenant_theirs", 500)

    with rows_read(at_most=3 * SHOWN):
        last_changes("key_ours")
    with rows_read(at_most=3 * SHOWN):
        last_changes_in("tenant_ours")

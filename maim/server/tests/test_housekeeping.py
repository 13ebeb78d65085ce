"""The hourly sweep beside other writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apikeys.models import DailyUse
from maim.server import housekeeping
from tests.support.instances import WAIT, wait_until

pytestmark = [pytest.mark.needs_mariadb, pytest.mark.django_db(transaction=True)]


def swept() -> dict[str, int]:
    try:
        return housekeeping.sweep()
    finally:
        connection.close()


def somebody_waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        return int(cursor.fetchone()[1]) > 0


def test_victim_of_a_deadlock_is_swept_again() -> None:
    """MariaDB chooses the sweep, because the other transaction has written more."""
    today = timezone.now().date()
    for key, number in (("key_1", 1), ("key_2", 500)):  # which are gone
        days = (today - timedelta(days=ago) for ago in range(number))
        DailyUse.unscoped.bulk_create(DailyUse(subject=key, tenant_id="tenant_1", day=day, uses=1) for day in days)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            DailyUse.unscoped.filter(subject="key_2").update(uses=2)
            sweeping = pool.submit(swept)
            wait_until(somebody_waits_for_a_row, "the sweep has the row of one key, and waits for those of the other")
            DailyUse.unscoped.filter(subject="key_1").update(uses=2)
        found = sweeping.result(WAIT)

    assert found["day counts"] == 501

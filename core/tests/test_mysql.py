"""The database backend of MariaDB."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection

pytestmark = [pytest.mark.needs_mariadb, pytest.mark.django_db]


@pytest.mark.parametrize("precision", range(7))
@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1),
        datetime(2026, 1, 31, 12, 0, 0),
        datetime(9999, 12, 31, 23, 59, 59, 100_000),
        None,
    ],
)
def test_times_are_read_in_each_precision(moment: datetime | None, precision: int) -> None:
    stored = moment and (moment if precision else moment.replace(microsecond=0))

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CAST(%s AS DATETIME({precision}))", [stored])

        assert cursor.fetchone() == (stored,)

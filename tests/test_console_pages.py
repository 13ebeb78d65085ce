"""Few queries and few rows for each page of the admin, on the database that `manage.py demo` fills.

tests/long/console.py does the same at a hundred thousand keys, or a million.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.support.console_pages import demo_database, measure_pages

pytestmark = [pytest.mark.heavy, pytest.mark.needs_mariadb]

KEYS = 2_000


@pytest.fixture(scope="module")
def demo_data(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), demo_database(KEYS, is_kept=False):
        yield


def test_each_page_takes_few_queries_and_reads_few_rows(demo_data: None, db: None) -> None:
    too_much = [str(page) for page in measure_pages() if page.is_too_much()]

    assert not too_much, "\n".join(too_much)

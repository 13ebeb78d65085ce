"""Each page of the admin on the database of `manage.py demo`, at a hundred thousand keys or CONSOLE_KEYS.

With `--reuse-db` and a DATABASE_URL the filled database stays, and the next run reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import attrgetter
from statistics import median

import pytest
from pytest_django import DjangoDbBlocker

from apikeys.models import ApiKey
from tests.support.console_pages import demo_database, measure_pages

pytestmark = [pytest.mark.single, pytest.mark.needs_mariadb]

KEYS = int(os.environ.get("CONSOLE_KEYS", "100000"))


@pytest.fixture(scope="module")
def demo_data(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest
) -> Iterator[None]:
    is_kept = bool(request.config.getoption("reuse_db"))
    with django_db_blocker.unblock(), demo_database(KEYS, is_kept=is_kept):
        yield


def test_each_page_takes_few_queries_and_reads_few_rows(demo_data: None, db: None) -> None:
    pages = measure_pages()

    print(f"\n{ApiKey.unscoped.count():,} keys, {len(pages)} pages, of which half take the database no longer than "
          f"{1000 * median(page.seconds for page in pages):.1f} ms. Those that take longest:")  # fmt: skip
    for page in sorted(pages, key=attrgetter("seconds"), reverse=True)[:15]:
        print(page)
    too_much = [str(page) for page in pages if page.is_too_much()]
    assert not too_much, "\n".join(too_much)

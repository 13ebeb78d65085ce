from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.conf import LazySettings
from time_machine import Traveller, travel

from core.tests.audit_chain.chain import OLD_KEYS


@pytest.fixture(autouse=True)
def clock() -> Iterator[Traveller]:
    with travel(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
        yield clock


@pytest.fixture(autouse=True)
def _old_keys(settings: LazySettings) -> None:
    settings.KEY_PEPPERS = OLD_KEYS

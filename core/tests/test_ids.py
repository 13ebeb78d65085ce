"""Identifiers: a prefix and 12 hex digits (docs/contract.md section 6)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from core import ids

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (ids.user_id, "user"),
        (ids.session_id, "session"),
        (ids.tenant_id, "tenant"),
        (ids.agent_id, "agent"),
        (ids.key_id, "key"),
    ],
)
def test_id_begins_with_its_kind(make: Callable[[], str], prefix: str) -> None:
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{12}}", make())


def test_ids_differ() -> None:
    assert len({ids.agent_id() for _ in range(10_000)}) == 10_000

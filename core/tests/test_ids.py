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
def test_an_id_says_what_it_is_of(make: Callable[[], str], prefix: str) -> None:
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{12}}", make())


def test_no_two_are_the_same() -> None:
    assert len({ids.agent_id() for _ in range(10_000)}) == 10_000

"""The one source of wall-clock time.

Everything that compares or stores a time asks `now()`, so that a test can stop or move time for the
whole application at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_frozen: datetime | None = None


def now() -> datetime:
    """The current time, aware, in UTC."""
    return _frozen if _frozen is not None else datetime.now(UTC)


@contextmanager
def frozen_at(moment: datetime) -> Iterator[None]:
    """For tests: `now()` answers `moment` (aware) in every thread until the block ends."""
    global _frozen  # noqa: PLW0603  # the clock is the one thing that is meant to be global
    previous, _frozen = _frozen, moment
    try:
        yield
    finally:
        _frozen = previous

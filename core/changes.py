"""Transactions for several changes at once, and for dry runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from core.db import transactional_and_propagated

R = TypeVar("R")
T = TypeVar("T")


@transactional_and_propagated
def change_all(objects: Iterable[T], change: Callable[[T], R]) -> list[R]:
    """Change all the objects or none, in one transaction, which waits for workers only once."""
    return [change(each) for each in objects]


class _RolledBack(Exception):
    """The end of a dry run."""


def dry_run(change: Callable[[], R]) -> R:
    """Make a change in a transaction that is rolled back, and return its result. Raise what the change raises.

    Every validation runs, and nothing is stored. No cache is invalidated.
    """
    results = list[R]()

    @transactional_and_propagated
    def run() -> None:
        results.append(change())
        raise _RolledBack

    with suppress(_RolledBack):
        run()
    return results[-1]

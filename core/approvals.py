"""Approvals: workers note which epoch they have reached, so that a change need not wait for a whole lease.

A worker that answers from its cache has a row here with the epoch up to which it has dropped outdated facts, and takes
no lease before that row is committed. When every row has reached a change's epoch, no worker can answer from before the
change any more, and its response is sent. Otherwise it is sent when all leases from before the change have run out, as
without approvals (core.epoch).

    commit of epoch 8 ── nudge ── workers read 8, drop, note 8 ── all rows are at 8 ── response
                     └──────────────────── one lease, at the latest ───────────────────┘

The rules for workers are in apikeys.verification.lease, and the proof in docs/decisions/0032-approvals.md. Those for
rows:

- A row that has not reached an epoch one lease after its commit is that of a worker without a lease, and is deleted.
  The worker, if there is one, writes it anew before its next lease.
- An approval counts only on the server that it names: the one that the worker has watched for longer than a lease. So
  a primary that took over gets none while leases from the former one may last.
- Without any row there is no approval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import OperationalError, connection
from django.db.models import Q, QuerySet, Subquery

from core import epoch, primary
from core.db import transactional, upsert_at_once
from core.models import Approval, Epoch
from core.prepared import prepared_sql


class Approvals(NamedTuple):
    """The state of all workers' rows on one server."""

    server: Hashable
    approved: int | None  # the epoch that all workers have approved
    has_outdated: bool  # whether a row is at another server's epochs, or has not reached the epoch asked for

    def covers(self, number: int, server: Hashable) -> bool:
        """Return whether all workers have approved this epoch of a server."""
        return self.approved is not None and number <= self.approved and server == self.server


def note(worker: str, reached: int, *, server: Hashable, is_vouched_for: bool) -> None:
    """Commit that a worker has dropped from its cache what changed up to an epoch, which it has read from `server`.

    Raise django.db.Error if that is not committed, or the outcome is unknown.
    """
    primary.drop_obsolete_connection()
    connection.ensure_connection()
    if primary.server() != server:
        raise OperationalError("The connection is to another server than the one that the epoch was read from")
    row = Approval(worker=worker, epoch=reached, server=_name(server) if is_vouched_for else "")
    upsert_at_once([row], unique_fields=["worker"], update_fields=["epoch", "server"])


def read(expected: int = 0) -> Approvals:
    """Return what workers have approved, and whether a row is outdated: not at the epoch `expected`.

    Raise OperationalError where the server takes no writes.
    """
    rows = primary.fetch_all(_select_all(), [Epoch.ONLY])
    server = primary.server()
    name = _name(server)
    is_approved = bool(rows) and all(workers_approve and at == name for _epoch, at, workers_approve in rows)
    return Approvals(
        server,
        min(reached for reached, *_ in rows) if is_approved else None,
        any(reached < expected or at not in ("", name) for reached, at, _workers_approve in rows),
    )


@prepared_sql
def _select_all() -> QuerySet[Approval, Any]:
    workers_approve = Epoch.objects.filter(pk=Epoch.ONLY).values("workers_approve")
    return Approval.objects.values_list("epoch", "server", Subquery(workers_approve))


def wait_for_changes_of_others() -> None:
    """Wait until no worker answers from before any change that has committed by now, whichever process made it.

    It is for a result that tells of such a change, like that of a deletion which finds nothing to delete: the deletion
    before it may still be waiting. Raise OperationalError where the server takes no writes.
    """
    with epoch.wait_for_workers() as wait:
        newest, server = epoch.current(), primary.server()
        if newest and not read().covers(newest, server):
            wait.require(newest)


@contextmanager
def wait_before(*refusals: type[Exception]) -> Iterator[None]:
    """Wait for the changes of others before one of these errors leaves the block, as it may tell of such a change."""
    try:
        yield
    except refusals:
        wait_for_changes_of_others()
        raise


def delete_outdated(expected: int, server: Hashable) -> int:
    """Delete the rows that have not reached an epoch, and return their number.

    The epoch was committed on `server` longer ago than PROPAGATION_SECONDS. Do nothing on another server.
    """
    connection.ensure_connection()
    if primary.server() != server:
        return 0
    outdated = Q(epoch__lt=expected) | ~Q(server__in=["", _name(server)])
    return Approval.objects.filter(outdated).delete()[0]


def sweep() -> int:
    """Delete the rows of workers that are gone, and return their number.

    Living workers are told apart by a new epoch, which they reach within a lease.
    """
    if not Approval.objects.exists():
        return 0
    raised: list[int] = []
    with epoch.wait_for_workers() as wait:
        _raise_epoch(raised.append)
        wait.require()
    return delete_outdated(raised[-1], wait.server)


@transactional
def _raise_epoch(callback: Callable[[int], None]) -> None:
    epoch.on_epoch(callback)


def are_used() -> bool:
    """Return whether approvals count, because no worker of a version without them can have a lease."""
    return Epoch.objects.filter(pk=Epoch.ONLY, workers_approve=True).exists()


def use(workers_approve: bool) -> None:
    """Let approvals count, or not."""
    Epoch.objects.update_or_create(pk=Epoch.ONLY, defaults={"workers_approve": workers_approve})


def _name(server: Hashable) -> str:
    """Return a server's identity as text that is never empty."""
    return hashlib.sha256(repr(server).encode()).hexdigest()

"""Locks between processes, on any machine, as rows of a table.

A database's own named locks (GET_LOCK) hold on one node of a Galera cluster only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.errors import Conflict
from core.models import Lock

# A holder on another machine that renews nothing for so long is taken for dead.
LEASE = timedelta(minutes=10)
_HOST = socket.gethostname()[:80]


class Locked(Conflict):
    """A lock that another process holds."""

    def __init__(self, lock: Lock) -> None:
        super().__init__(
            _("Another process is at it: %(holder)s, since %(since)s. Wait for it to end, and try again")
            % {"holder": lock.holder, "since": f"{lock.since:%Y-%m-%d %H:%M:%S} UTC"}
        )


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock until the block ends; call `renew` at least every LEASE. Raise Locked if another process holds it.

    A killed holder loses the lock: at once to a process on the same machine, otherwise after LEASE.
    """
    _take(name)
    try:
        yield
    finally:
        Lock.objects.filter(name=name, holder=_holder()).delete()


def renew(name: str) -> None:
    """Show that the holder is alive. Raise Locked if another process has taken the lock over."""
    if not Lock.objects.filter(name=name, holder=_holder()).update(renewed_at=timezone.now()):
        raise Locked(Lock.objects.get(name=name))


def _take(name: str) -> None:
    now = timezone.now()
    mine = {"holder": _holder(), "since": now, "renewed_at": now}
    # Insert first: to look first would lock the gap on MariaDB, and two processes would end in a deadlock.
    try:
        with transaction.atomic():
            Lock.objects.create(name=name, **mine)
    except IntegrityError as error:
        found = Lock.objects.filter(name=name).first()
        if found is None:
            return _take(name)
        same = Lock.objects.filter(name=name, holder=found.holder, renewed_at=found.renewed_at)
        if not _is_gone(found) or not same.update(**mine):
            raise Locked(found) from error
    return None


def _holder() -> str:
    return f"{_HOST} process {os.getpid()}"


def _is_gone(lock: Lock) -> bool:
    host, _word, process = lock.holder.rpartition(" process ")
    return timezone.now() - lock.renewed_at > LEASE or (host == _HOST and not _is_running(int(process)))


def _is_running(process: int) -> bool:
    if process == os.getpid():
        return False  # an earlier process had the same id, as the first process of a container always does
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Locks between processes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone
from time_machine import travel

from core import locks
from core.locks import LEASE, Locked, locked
from core.models import Lock

pytestmark = pytest.mark.django_db


def held_by(holder: str, *, since: timedelta = timedelta(0)) -> None:
    """Write the lock of another process."""
    now = timezone.now()
    Lock.objects.create(name="work", holder=holder, since=now - since, renewed_at=now - since)


def test_lock_is_released_after_the_block() -> None:
    for _ in range(2):
        with locked("work"):
            assert Lock.objects.get().holder.endswith(f" process {os.getpid()}")
    assert not Lock.objects.exists()


def test_lock_is_released_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), locked("work"):
        raise ZeroDivisionError
    assert not Lock.objects.exists()


def test_lock_of_a_running_process_is_refused_with_its_holder() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        held_by(f"{locks._HOST} process {other.pid}")

        with pytest.raises(Locked, match=f"process {other.pid}, since 20"), locked("work"):
            pass

        assert other.stdin is not None
        other.stdin.close()
    with locked("work"):  # it has ended
        assert Lock.objects.get().holder.endswith(f" process {os.getpid()}")


def test_lock_of_another_machine_is_taken_over_after_its_lease() -> None:
    held_by("elsewhere process 1", since=LEASE - timedelta(seconds=5))
    with pytest.raises(Locked), locked("work"):
        pass

    with travel(timezone.now() + timedelta(seconds=10), tick=False), locked("work"):
        assert Lock.objects.get().holder.endswith(f" process {os.getpid()}")


def test_renewing_a_lost_lock_raises() -> None:
    with locked("work"):
        locks.renew("work")
        Lock.objects.update(holder="elsewhere process 1")

        with pytest.raises(Locked):
            locks.renew("work")

    assert Lock.objects.get().holder == "elsewhere process 1", "and does not release another's"


def test_locks_of_other_names_are_independent() -> None:
    held_by("elsewhere process 1")

    with locked("other work"):
        assert Lock.objects.count() == 2

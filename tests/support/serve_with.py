"""`manage.py serve` with other times: `python -m tests.support.serve_with PROPAGATION_SECONDS=2`.

The product has no such option. Tests use it to show that the test of the guarantee can fail, to make waits longer,
and to make timeouts longer. Workers are forked from this process, so they have the same times. With another
PROPAGATION_SECONDS and the usual lease, no approval ends a wait sooner.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import django
from django.core.management import call_command

if TYPE_CHECKING:
    from core.approvals import Approvals

# A cache that never expires, and changes that do not wait.
WITHOUT_LEASE = ("PROPAGATION_SECONDS=0", "LEASE_SECONDS=3600", "POLL_SECONDS=3600")
# Leases that outlast what a busy machine takes for an approval.
LONG_LEASE_SECONDS = 2.0
LONG_LEASE = (f"LEASE_SECONDS={LONG_LEASE_SECONDS}", f"PROPAGATION_SECONDS={LONG_LEASE_SECONDS}")


def main(assignments: list[str]) -> None:
    """Run `serve` after each assignment NAME=SECONDS."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
    django.setup()
    from core import approvals, epoch  # after django.setup(), which its models need
    from maim.server import supervisor

    for assignment in assignments:
        name, _, seconds = assignment.partition("=")
        module = epoch if hasattr(epoch, name) else supervisor
        setattr(module, name, type(getattr(module, name))(seconds))
    if epoch.PROPAGATION_SECONDS > epoch.LEASE_SECONDS * 2:
        vars(approvals)["read"] = partial(_read_without_approval, approvals.read)
    call_command("serve")


def _read_without_approval(read: Callable[[int], Approvals], expected: int = 0) -> Approvals:
    return read(expected)._replace(approved=None)


if __name__ == "__main__":
    main(sys.argv[1:])

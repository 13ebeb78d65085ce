"""What there is to take over, in the order in which one needs the other."""

from __future__ import annotations

from typing import Any, NamedTuple

from legacy.importers.activity import Activity
from legacy.importers.agents import Agents
from legacy.importers.base import Changed, Found, Kind
from legacy.importers.keys import Keys
from legacy.importers.plugins import Plugins
from legacy.importers.tenants import Tenants
from legacy.importers.users import Users
from legacy.snapshot import Snapshot

AnyKind = Kind[Any, Any]


class Kinds(NamedTuple):
    """All kinds, knowing what is there."""

    users: Users
    tenants: Tenants
    within: tuple[AnyKind, ...]  # of what a tenant holds

    @property
    def all(self) -> tuple[AnyKind, ...]:
        return (self.users, self.tenants, *self.within)


def kinds_of(old: Snapshot) -> Kinds:
    """The kinds for what is in a snapshot."""
    return Kinds(Users(old), Tenants(old), (Agents(), Keys(), Plugins(), Activity()))


__all__ = ["AnyKind", "Changed", "Found", "Kind", "Kinds", "kinds_of"]

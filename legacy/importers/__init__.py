"""Importers of each kind of object, in the order in which one needs the other."""

from __future__ import annotations

from typing import Any, NamedTuple

from legacy.importers.activity import ActivityImporter
from legacy.importers.agents import AgentImporter
from legacy.importers.base import ChangedObject, Importer, SourceObject
from legacy.importers.keys import KeyImporter
from legacy.importers.plugins import PluginImporter
from legacy.importers.tenants import TenantImporter
from legacy.importers.users import UserImporter
from legacy.snapshot import Snapshot

AnyImporter = Importer[Any, Any]


class Importers(NamedTuple):
    """The importers for one snapshot."""

    users: UserImporter
    tenants: TenantImporter
    of_tenant_contents: tuple[AnyImporter, ...]

    @property
    def all(self) -> tuple[AnyImporter, ...]:
        return (self.users, self.tenants, *self.of_tenant_contents)


def importers_for(snapshot: Snapshot) -> Importers:
    contents = (AgentImporter(), KeyImporter(), PluginImporter(), ActivityImporter())
    return Importers(UserImporter(snapshot), TenantImporter(snapshot), contents)


__all__ = ["AnyImporter", "ChangedObject", "Importer", "Importers", "SourceObject", "importers_for"]

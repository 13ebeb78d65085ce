"""Selections: the objects of a bulk operation, as ids or as a filter that is frozen when the operation starts.

A filter names a tenant or an agent, and, if only some of their objects are meant, the status that people see. Objects
that are created after the start are not among its objects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, AgentStatus
from apikeys.models import ApiKey, KeyStatus
from apikeys.queries import filter_keys
from core.errors import Invalid
from core.fields import ID_LENGTH
from operations.models import BulkOperation, Kind
from tenants.models import Tenant

MAX_IDS = 10_000
# NUL and surrogates, which neither database stores. Other invisible characters are allowed, because imported ids may
# contain them.
_NOT_STORED = re.compile("[\0\ud800-\udfff]")

_MODELS: dict[Kind, type[Any]] = {
    Kind.DISABLE_KEYS: ApiKey,
    Kind.ENABLE_KEYS: ApiKey,
    Kind.DELETE_KEYS: ApiKey,
    Kind.DELETE_AGENTS: Agent,
    Kind.DELETE_TENANTS: Tenant,
    Kind.SUSPEND_TENANTS: Tenant,
    Kind.ACTIVATE_TENANTS: Tenant,
}
# What a filter of each model may name. Tenants are named one by one, so that nobody deletes all by an empty form.
_FILTERS: dict[type[Any], tuple[str, ...]] = {ApiKey: ("tenant_id", "agent_id"), Agent: ("tenant_id",), Tenant: ()}
_STATUSES: dict[type[Any], list[str]] = {ApiKey: KeyStatus.values, Agent: AgentStatus.values, Tenant: []}


class Selection(NamedTuple):
    """The objects of a bulk operation: these ids, or those of an owner that existed before a time."""

    kind: Kind
    ids: tuple[str, ...] = ()
    tenant_id: str = ""
    agent_id: str = ""
    status: str = ""
    created_before: datetime | None = None

    @classmethod
    def of(cls, row: BulkOperation) -> Selection:
        """Return the selection of a stored operation."""
        stored = dict(row.selection)
        before = stored.pop("created_before", None)
        return cls(
            kind=Kind(row.kind),
            ids=tuple(stored.pop("ids", ())),
            created_before=None if before is None else datetime.fromisoformat(before),
            **stored,
        )

    def frozen(self) -> Selection:
        """Return the selection with sorted, distinct ids, and with the current time if `created_before` is not set.

        Raise Invalid if the operation does not support it.
        """
        self._check()
        return self._replace(ids=tuple(sorted(set(self.ids))), created_before=self.created_before or timezone.now())

    def _check(self) -> None:
        if len(self.ids) > MAX_IDS:
            raise Invalid({"ids": [_("At most 10,000 ids can be given; select by tenant or agent instead")]})
        if self.ids and (self._owners or self.status):
            raise Invalid({"ids": [_("Give either ids, or a tenant or agent")]})
        if unknown := set(self._owners) - set(_FILTERS[self.model]):
            raise Invalid({name: [_("This operation does not select by that")] for name in sorted(unknown)})
        if not all(map(_may_be_id, self.ids)):
            raise Invalid({"ids": [_("An id has 1 to 50 characters, and no blank at its ends")]})
        if self.status and self.status not in (statuses := _STATUSES[self.model]):
            raise Invalid({"status": [format_lazy(_("Must be one of: {choices}."), choices=", ".join(statuses))]})
        if not self.ids and not self._owners:
            raise Invalid({"ids": [_("Say which objects: by their ids, or by a tenant or agent")]})

    def to_json(self) -> dict[str, Any]:
        """Return the selection as it is stored."""
        if self.ids:
            return {"ids": list(self.ids)}
        document = self._owners
        if self.status:
            document["status"] = self.status
        if self.created_before is not None:
            document["created_before"] = self.created_before.isoformat()
        return document

    @property
    def _owners(self) -> dict[str, str]:
        """The tenant or agent that is given, by the name of its field."""
        return {name: getattr(self, name) for name in ("tenant_id", "agent_id") if getattr(self, name)}

    @property
    def model(self) -> type[Any]:
        """The model of the objects."""
        return _MODELS[self.kind]

    def rows(self) -> QuerySet[Any]:
        """Return the objects that exist, in the order of their ids."""
        rows: QuerySet[Any] = self.model._base_manager.filter(**self._owners)
        if self.status:
            is_of_keys = self.model is ApiKey
            rows = filter_keys(rows, status=self.status) if is_of_keys else rows.filter(status=self.status)
        if self.ids:
            rows = rows.filter(pk__in=self.ids)
        if self.created_before is not None:
            rows = rows.filter(created_at__lte=self.created_before)
        return rows.order_by("pk")

    def size(self) -> int:
        """Return the number of objects that will have an outcome."""
        return len(self.ids) or self.rows().count()

    def ids_after(self, cursor: str, limit: int) -> Sequence[str]:
        """Return at most `limit` of the ids after `cursor`, in their order."""
        if self.ids:
            return [each for each in self.ids if each > cursor][:limit]
        return list(self.rows().filter(pk__gt=cursor).values_list("pk", flat=True)[:limit])


def _may_be_id(text: str) -> bool:
    """Return whether an object may have this id. MariaDB takes two that differ in blanks at the end for one."""
    return 0 < len(text) <= ID_LENGTH and text == text.strip() and _NOT_STORED.search(text) is None

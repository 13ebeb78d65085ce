"""The fields of a resource, declared once: services, the audit log, the admin and commands read them from here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_type_hints

from django.db import models


@dataclass(frozen=True, slots=True)
class ResourceField:
    """A field of a resource, under its name in the audit log.

    - `audited`: the audit log keeps it.
    - `in_verdicts`: verifying a key reads it, so that a change of it invalidates cached verdicts.
    - `clean`: returns the value as it is stored, or raises Invalid.
    - `mask`: hides the secrets in the value from the audit log.
    - `source`: the attribute of the model, where it has another name.
    """

    name: str
    audited: bool = True
    in_verdicts: bool = False
    clean: Callable[[Any], Any] | None = None
    mask: Callable[[Any], Any] | None = None
    source: str | None = None

    def audit_value(self, row: models.Model) -> Any:
        """Return the row's value as JSON without secrets."""
        value = getattr(row, self.source or self.name)
        if self.mask is not None:
            return self.mask(value)
        return value.isoformat() if isinstance(value, datetime) else value


class ResourceFields:
    """All fields of a resource, in the order in which they are shown.

    `changes` is the TypedDict of an update: the fields that may be changed, and their types; `nullable` are those
    that may be None. A column that nobody
    sets and the audit log does not keep is no field; tests/test_fields_declared.py names each with the reason.
    """

    def __init__(self, *fields: ResourceField, changes: type[Any] | None = None) -> None:
        self.names = tuple(field.name for field in fields)
        self._by_name = {field.name: field for field in fields}
        self._changes = changes
        declared = () if changes is None else changes.__annotations__
        if undeclared := set(declared).difference(self.names):
            raise TypeError(f"fields without a declaration: {', '.join(sorted(undeclared))}")
        self.changeable = tuple(name for name in self.names if name in declared)
        types = {} if changes is None else get_type_hints(changes)
        self.nullable = frozenset(name for name, kind in types.items() if NoneType in get_args(kind))
        self._in_verdicts = {field.name for field in fields if field.in_verdicts}

    def audit_state(self, row: models.Model) -> dict[str, Any]:
        """Return what the audit log keeps of a row."""
        return {field.name: field.audit_value(row) for field in self._by_name.values() if field.audited}

    def assign(self, row: models.Model, values: Mapping[str, Any], *, skip: Collection[str] = ()) -> None:
        """Set the values on a row, cleaned, except for fields to `skip`, which the service sets itself.

        Raise TypeError for a field that may not be changed, Invalid for a bad value.
        """
        check_names(values, self.changeable)
        for name in self.changeable:
            if name in values and name not in skip:
                clean = self._by_name[name].clean
                setattr(row, name, values[name] if clean is None else clean(values[name]))

    def affect_verdicts(self, changes: Iterable[str]) -> bool:
        """Return whether verification reads any of the changed fields."""
        return not self._in_verdicts.isdisjoint(changes)


def check_names(given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise TypeError for a field that is not among the allowed ones, as Python does for an unknown argument."""
    if unknown := set(given).difference(allowed):
        raise TypeError(f"unknown fields: {', '.join(sorted(unknown))}")

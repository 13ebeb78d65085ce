"""The sealing of every stored secret under the newest key, so that an older one can be dropped.

Also sealed is what stands in clear because the rule did not cover it when it was written, and masked where it is only
told. What the secrets are stays the same: neither versions nor ETags change, and nobody is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import QuerySet

from agent_config import secrets
from agent_config.secrets import Resealed
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from core import audit
from core.db import transactional
from core.models import AuditEntry
from tenants.models import Tenant

BATCH = 100
# While it runs, whoever changes a config may copy a secret that is still under an older key.
MAX_ROUNDS = 5


class _Place(NamedTuple):
    """Where secrets are stored: rows, their columns and how each is sealed anew, and what people know a row by."""

    kind: str
    rows: QuerySet[Any]
    columns: Mapping[str, Callable[[Any], Resealed]]
    names: tuple[str, ...] = ("pk",)


class Lost(NamedTuple):
    """A secret that no configured key opens."""

    kind: str
    row: str
    path: str


@dataclass(frozen=True)
class Report:
    """What there is, by kind: rows in all, rows that were sealed anew, rows with a secret under an older key."""

    rows: Counter[str] = field(default_factory=Counter)
    resealed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)


def check() -> Report:
    """What is sealed under an older key than the newest; changes nothing."""
    return _look()[0]


def reseal() -> Report:
    """Seals everything under the newest key, row by row. What an interrupted run has done is done."""
    report, left = _look()
    resealed: Counter[str] = Counter()
    for _round in range(MAX_ROUNDS):
        if not left:
            break
        for place, pk in left:
            resealed[place.kind] += _rewrite(place, pk)
        report, left = _look()
    report.resealed.update(resealed)
    return report


def _places() -> tuple[_Place, ...]:
    config = {"config": secrets.resealed}
    audited = _masked_again(secrets.masked_audit)
    return (
        _Place("agents", Agent.unscoped.all(), config),
        _Place(
            "config_versions",
            ConfigVersion.unscoped.all(),
            {**config, "patch": _masked_again(secrets.masked_patch)},
            _VERSION,
        ),
        _Place("templates", Template.unscoped.all(), config),
        _Place("tenants", Tenant.objects.all(), {"tenant_config": secrets.resealed}),
        _Place("plugin_settings", PluginSetting.unscoped.all(), config, ("tenant_id", "agent_scope", "plugin_name")),
        _Place(
            "audit_log",
            AuditEntry.objects.filter(object_type__in=secrets.AUDITED),
            {"before": audited, "after": audited},
        ),
    )


_VERSION = ("agent_id", "number")


def _masked_again(mask: Callable[[Any], Any]) -> Callable[[Any], Resealed]:
    """Return what masks a column that tells of a config, where it was written before the rule covered a secret."""

    def masked(stored: Any) -> Resealed:
        result = mask(stored)
        return Resealed(result, audit.differ(stored, result))

    return masked


def _look() -> tuple[Report, list[tuple[_Place, Any]]]:
    """Return the state of everything, and the rows that are to be sealed anew."""
    places = _places()
    report = Report(rows=Counter({place.kind: 0 for place in places}))
    left: list[tuple[_Place, Any]] = []
    for place in places:
        for pk, *values in _all(place):
            report.rows[place.kind] += 1
            found = _resealed(place, values[: len(place.columns)])
            if any(column.is_changed for column in found):
                report.left[place.kind] += 1
                left.append((place, pk))
            names = "/".join(str(name) for name in values[len(place.columns) :] if name != "")
            report.lost.extend(Lost(place.kind, names, path) for column in found for path in column.lost)
    return report, left


def _all(place: _Place) -> Iterator[tuple[Any, ...]]:
    """Yield every row, a batch at a time, as (key, columns, names)."""
    rows = place.rows.order_by("pk").values_list("pk", *place.columns, *place.names)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


@transactional
def _rewrite(place: _Place, pk: Any) -> bool:
    """Seal one row anew, as it is by now; return whether there was anything to do."""
    stored = place.rows.select_for_update().filter(pk=pk).values_list(*place.columns).first()
    found = [] if stored is None else _resealed(place, stored)
    changed = {name: one.value for name, one in zip(place.columns, found, strict=False) if one.is_changed}
    if changed:
        place.rows.filter(pk=pk).update(**changed)
    return bool(changed)


def _resealed(place: _Place, values: Sequence[Any]) -> list[Resealed]:
    """Return the columns' values, sealed anew."""
    return [
        Resealed(None, is_changed=False) if value is None else sealed_anew(value)
        for sealed_anew, value in zip(place.columns.values(), values, strict=True)
    ]

"""Bringing every sealed secret under the newest key, so that an older one can be dropped.

What is sealed stays the same: neither versions nor ETags change, and nobody is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import QuerySet

from agents.config import secrets
from agents.config.changing import AGENT_DEFAULTS, agent_defaults
from agents.config.secrets import Resealed
from agents.models import Agent, ConfigVersion, Template
from maim.common.db import transactional
from tenants.models import Tenant

BATCH = 100
# While it runs, whoever changes a config may copy a secret that is still under an older key.
MAX_ROUNDS = 5


class _Place(NamedTuple):
    """Where secrets are stored: rows, their column with the config, and what people know such a row by."""

    kind: str
    rows: QuerySet[Any]
    column: str = "config"
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
    return (
        _Place("agents", Agent.unscoped.all()),
        _Place("config_versions", ConfigVersion.unscoped.all(), names=("agent_id", "number")),
        _Place("templates", Template.unscoped.all()),
        _Place("tenants", Tenant.objects.all(), "tenant_config"),
    )


def _look() -> tuple[Report, list[tuple[_Place, Any]]]:
    """The state of everything, and the rows that are to be sealed anew."""
    places = _places()
    report = Report(rows=Counter({place.kind: 0 for place in places}))
    left: list[tuple[_Place, Any]] = []
    for place in places:
        for pk, stored, *names in _all(place):
            report.rows[place.kind] += 1
            found = _resealed(place, stored)
            if found.is_changed:
                report.left[place.kind] += 1
                left.append((place, pk))
            report.lost.extend(Lost(place.kind, "/".join(map(str, names)), path) for path in found.lost)
    return report, left


def _all(place: _Place) -> Iterator[tuple[Any, ...]]:
    """Every row, a batch at a time, as (key, config, names)."""
    rows = place.rows.order_by("pk").values_list("pk", place.column, *place.names)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


@transactional
def _rewrite(place: _Place, pk: Any) -> bool:
    """Seals one row anew, as it is by now; whether there was anything to do."""
    stored = place.rows.select_for_update().filter(pk=pk).values_list(place.column, flat=True).first()
    found = _resealed(place, stored)
    if found.is_changed:
        config = found.config if place.column == "config" else {**(stored or {}), AGENT_DEFAULTS: found.config}
        place.rows.filter(pk=pk).update(**{place.column: config})
    return found.is_changed


def _resealed(place: _Place, stored: Any) -> Resealed:
    """Of a column's value, the config with the secrets."""
    return secrets.resealed((stored or {}) if place.column == "config" else agent_defaults(stored))

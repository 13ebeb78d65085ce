"""The encryption of every stored secret under the newest key, so that older keys can be dropped.

A secret that was stored in clear, because the rule did not cover it then, is sealed as well, and masked in patches and
audit rows. The secrets' values stay the same, so neither versions nor ETags change, and nothing is published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson
from django.db.models import QuerySet

from accounts.models import TotpFactor
from agent_config import secrets
from agent_config.secrets import Resealed
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from core import audit, sealing
from core.actor import command_actor
from core.db import transactional
from core.models import AuditEntry, DeletedRows
from core.undo.chunks import seal_rows, unseal_rows
from tenants.models import Tenant

BATCH = 100
# A change of a config during a run may copy a secret that is still sealed under an older key.
MAX_ROUNDS = 5


class _Source(NamedTuple):
    """A table with secrets: its rows, the function that reseals each column, and the fields that identify a row."""

    kind: str
    rows: QuerySet[Any]
    columns: Mapping[str, Callable[[Any], Resealed]]
    names: tuple[str, ...] = ("pk",)
    # Writes the changed columns of a row. None: by an update.
    write: Callable[[Any, Mapping[str, Any]], None] | None = None


class Lost(NamedTuple):
    """A secret that no configured key can decrypt."""

    kind: str
    row: str
    path: str


@dataclass(frozen=True)
class Report:
    """Counts by kind: all rows, resealed rows, and rows that still have a secret under an older key."""

    rows: Counter[str] = field(default_factory=Counter)
    resealed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)


def check() -> Report:
    """Report the rows with secrets that are not sealed under the newest key. Change nothing."""
    return _inspect()[0]


def reseal() -> Report:
    """Reseal everything under the newest key, row by row. A run that is interrupted can be repeated."""
    report, left = _inspect()
    resealed: Counter[str] = Counter()
    for _round in range(MAX_ROUNDS):
        if not left:
            break
        for source, pk in left:
            resealed[source.kind] += _rewrite(source, pk)
        report, left = _inspect()
    report.resealed.update(resealed)
    return report


def _sources() -> tuple[_Source, ...]:
    config = {"config": secrets.resealed}
    audited = _masked_again(secrets.masked_audit)
    return (
        _Source("agents", Agent.unscoped.all(), config),
        _Source(
            "config_versions",
            ConfigVersion.unscoped.all(),
            {**config, "patch": _masked_again(secrets.masked_patch)},
            _VERSION,
        ),
        _Source("templates", Template.unscoped.all(), config),
        _Source("tenants", Tenant.objects.all(), {"tenant_config": secrets.resealed}),
        _Source("plugin_settings", PluginSetting.unscoped.all(), config, ("tenant_id", "agent_scope", "plugin_name")),
        _Source("deleted_objects", DeletedRows.objects.all(), {"content": _resealed_rows}, ("deleted_id", "number")),
        _Source("authenticator_apps", TotpFactor.objects.all(), {"secret": _resealed_text}),
        _Source(
            "audit_log",
            AuditEntry.objects.filter(object_type__in=secrets.AUDITED),
            {"before": audited, "after": audited},
            write=partial(audit.redact, actor=command_actor("rotate_secrets")),
        ),
    )


_VERSION = ("agent_id", "number")
_CONFIG_COLUMNS = ("config", "tenant_config")


def _resealed_text(sealed: str) -> Resealed:
    """Return a text that is sealed as a whole, resealed."""
    if sealing.is_current(sealed):
        return Resealed(sealed, is_changed=False)
    try:
        return Resealed(sealing.reseal(sealed), is_changed=True)
    except sealing.Unsealable:
        return Resealed(sealed, is_changed=False, lost=["secret"])


def _resealed_rows(content: str) -> Resealed:
    """Return a chunk of the rows of a deleted object, with the secrets of the configs in it resealed."""
    try:
        stored = unseal_rows(content)
    except sealing.Unsealable:
        return Resealed(content, is_changed=False, lost=["content"])
    is_changed, lost = not sealing.is_current(content), list[str]()
    for rows in stored:
        for place in (place for place, column in enumerate(rows.columns) if column in _CONFIG_COLUMNS):
            for row in rows.rows:
                found = secrets.resealed(orjson.loads(row[place] or "{}"))
                lost += found.lost
                if found.is_changed:
                    row[place], is_changed = orjson.dumps(found.value).decode(), True
    return Resealed(seal_rows(stored) if is_changed else content, is_changed, lost)


def _masked_again(mask: Callable[[Any], Any]) -> Callable[[Any], Resealed]:
    """Return a function that masks a column again, for secrets that the rule did not cover when it was written."""

    def masked(stored: Any) -> Resealed:
        result = mask(stored)
        return Resealed(result, audit.differ(stored, result))

    return masked


def _inspect() -> tuple[Report, list[tuple[_Source, Any]]]:
    """Return the report, and the rows that need resealing."""
    sources = _sources()
    report = Report(rows=Counter({source.kind: 0 for source in sources}))
    left: list[tuple[_Source, Any]] = []
    for source in sources:
        for pk, *values in _all(source):
            report.rows[source.kind] += 1
            found = _resealed(source, values[: len(source.columns)])
            if any(column.is_changed for column in found):
                report.left[source.kind] += 1
                left.append((source, pk))
            names = "/".join(str(name) for name in values[len(source.columns) :] if name != "")
            report.lost.extend(Lost(source.kind, names, path) for column in found for path in column.lost)
    return report, left


def _all(source: _Source) -> Iterator[tuple[Any, ...]]:
    """Yield every row as (key, columns, names), read in batches."""
    rows = source.rows.order_by("pk").values_list("pk", *source.columns, *source.names)
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


@transactional
def _rewrite(source: _Source, pk: Any) -> bool:
    """Lock and reseal one row. Return whether it changed."""
    stored = source.rows.select_for_update().filter(pk=pk).values_list(*source.columns).first()
    found = [] if stored is None else _resealed(source, stored)
    changed = {name: one.value for name, one in zip(source.columns, found, strict=False) if one.is_changed}
    if changed and source.write is not None:
        source.write(pk, changed)
    elif changed:
        source.rows.filter(pk=pk).update(**changed)
    return bool(changed)


def _resealed(source: _Source, values: Sequence[Any]) -> list[Resealed]:
    """Return the columns' values, resealed."""
    return [
        Resealed(None, is_changed=False) if value is None else reseal_value(value)
        for reseal_value, value in zip(source.columns.values(), values, strict=True)
    ]

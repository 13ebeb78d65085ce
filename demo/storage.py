"""Bulk writes of made-up rows, their rates, and what an interrupted run leaves."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from agents.models import Agent, AgentActivity, ConfigVersion
from apikeys.models import ApiKey, KeySecret, Notice, Refusal, UsageLogEntry
from core import epoch
from core.db import transactional_and_propagated
from core.errors import Conflict
from core.fields import parse_stored_time
from core.locks import Locked
from core.models import Approval, AuditEntry, Epoch, Invalidation, Lock
from core.prepared_writes import insert_all, insert_values
from operations.models import BulkOperation
from tenants.models import Membership, Tenant

# The row of a run that is under way, or was interrupted.
_MARK = "demo"
# What others refer to comes first.
_INSERT_ORDER: tuple[type[models.Model], ...] = (
    *(User, Tenant, Membership, Agent, ConfigVersion, AgentActivity, ApiKey, KeySecret),
    *(Refusal, Notice, UsageLogEntry, AuditEntry),
)
# What running workers hold on to, and what belongs to no tenant's data.
_KEPT = (Epoch, Invalidation, Approval)
_APPS = ("common", "accounts", "tenants", "agents", "apikeys", "operations", "legacy", "sessions")
_BATCH = 20_000


class NotEmpty(Conflict):
    """A database that has data of somebody."""

    def __init__(self) -> None:
        super().__init__(
            _("This database is not empty, and made-up data does not go with real one: use another database")
        )


class Interrupted(Conflict):
    """A database that an interrupted run has left."""

    def __init__(self) -> None:
        super().__init__(_("An interrupted run has left its rows here: manage.py demo --clean deletes them"))


class Storage:
    """Rows that wait to be written, and how fast they are."""

    def __init__(self) -> None:
        self.rows = 0  # that are written
        self.waiting = 0
        self.plain_rows_per_second: float | None = None
        self._objects: defaultdict[type[models.Model], list[models.Model]] = defaultdict(list)
        self._values: defaultdict[type[models.Model], list[tuple[Any, ...]]] = defaultdict(list)

    def add(self, row: models.Model) -> None:
        """Add a row, and write those that wait if they are many."""
        self._objects[type(row)].append(row)
        self._count()

    def add_count(self, model: type[models.Model], *values: Any) -> None:
        """Add a row of a model that counts something, by its stored values: most rows are, and objects take long."""
        self._values[model].append(values)
        self._count()

    def _count(self) -> None:
        self.waiting += 1
        if self.waiting >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait, in one transaction."""
        with transaction.atomic():
            for model in _INSERT_ORDER:
                insert_all(self._objects[model])
            for model, rows in self._values.items():
                insert_values(model, rows)
        self.rows += self.waiting
        self._objects.clear()
        self._values.clear()
        self.waiting = 0

    def measure_plain_insert(self) -> None:
        """Measure how fast `bulk_create` alone writes the rows that wait, and take them back."""
        batches = [(model, self._objects[model]) for model in _INSERT_ORDER]
        batches += [(model, [_to_object(model, values) for values in rows]) for model, rows in self._values.items()]
        started = time.perf_counter()
        with transaction.atomic():
            for model, objects in batches:
                model._base_manager.bulk_create(objects, batch_size=500)
            transaction.set_rollback(True)
        self.plain_rows_per_second = self.waiting / (time.perf_counter() - started)


def _to_object(model: type[models.Model], values: Sequence[Any]) -> models.Model:
    """Return the unsaved object with these stored values."""
    return model(
        **{
            field.attname: parse_stored_time(value) if isinstance(field, models.DateTimeField) else value
            for field, value in zip(model._meta.concrete_fields, values, strict=True)
        }
    )


def check_empty() -> None:
    """Raise NotEmpty for a database with data, and Interrupted for what an interrupted run has left."""
    if Lock.objects.filter(name=_MARK).exists():
        raise Interrupted
    if any(model._base_manager.exists() for model in (User, Tenant, AuditEntry, UsageLogEntry, BulkOperation)):
        raise NotEmpty


def begin() -> None:
    """Mark an empty database as one that is being filled. Raise as `check_empty`, and Locked for another run."""
    check_empty()
    now = timezone.now()
    try:
        with transaction.atomic():
            Lock.objects.create(name=_MARK, holder="manage.py demo", since=now, renewed_at=now)
    except IntegrityError as error:
        raise Locked(Lock.objects.get(name=_MARK)) from error


def end() -> None:
    """Take the mark away, because everything is there."""
    Lock.objects.filter(name=_MARK).delete()


def clean() -> None:
    """Delete everything from a database that an interrupted run has left. Raise Conflict for any other."""
    if not Lock.objects.filter(name=_MARK).exists():
        raise Conflict(_("No interrupted run has left anything here, so nothing is deleted"))
    found = [model for label in _APPS for model in apps.get_app_config(label).get_models() if model not in _KEPT]
    # The mark goes last, so that this can be interrupted, too.
    for tables in ([model._meta.db_table for model in found if model is not Lock], [Lock._meta.db_table]):
        statements = connection.ops.sql_flush(no_style(), tables, reset_sequences=True)
        connection.ops.execute_sql_flush(statements)
    _invalidate_keys()


@contextmanager
def without_constraint_checks() -> Iterator[None]:
    """Switch off MariaDB's foreign key and unique checks, because the made-up rows satisfy them."""
    if connection.vendor != "mysql":
        yield
        return
    _set_checks(0)
    try:
        yield
    finally:
        _set_checks(1)


def _set_checks(value: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION unique_checks = %s, foreign_key_checks = %s", [value, value])


@transactional_and_propagated
def _invalidate_keys() -> None:
    """Make workers drop all cached keys."""
    epoch.invalidate(epoch.EVERYTHING)

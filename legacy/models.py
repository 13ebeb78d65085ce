from __future__ import annotations

from django.db import models
from django.utils import timezone

from core.fields import ExactCharField, IdField


class Imported(models.Model):
    """An imported object, with fingerprints that tell whether the old system has changed it since."""

    pk = models.CompositePrimaryKey("kind", "object_id")
    kind = ExactCharField(max_length=20)
    object_id = ExactCharField(max_length=160)
    tenant_id = IdField(null=True, db_index=True)
    fingerprint = ExactCharField(max_length=64)
    # Of its password or key alone, so that a change of the one does not overwrite the other.
    secret = ExactCharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"


class NewestRow(models.Model):
    """A row of an old table that was among its newest at the last import (legacy.freshness)."""

    pk = models.CompositePrimaryKey("table", "object_id")
    table = ExactCharField(max_length=20)
    object_id = ExactCharField(max_length=160)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.table} {self.object_id}"


class Bridge(models.Model):
    """A bridge to an old database, and how far it has read changes in maim (legacy.bridge)."""

    target = ExactCharField(max_length=16, primary_key=True)
    label = models.CharField(max_length=500)  # its URL without the password, for people
    cursor = ExactCharField(max_length=100, default="")  # in the change feed
    # Every change made before this time is in the old tables. Null until the first full comparison has ended.
    current_at = models.DateTimeField(null=True)
    # The end of the last full comparison. Null while changes may be missing until the next one.
    compared_at = models.DateTimeField(null=True)
    refused = models.PositiveIntegerField(default=0)  # objects that the old database refuses
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.label


class Bridged(models.Model):
    """An object that a bridge has written, or found on both sides. If maim deletes it, the bridge deletes it too."""

    pk = models.CompositePrimaryKey("target", "kind", "object_id")
    target = ExactCharField(max_length=16)
    kind = ExactCharField(max_length=20)
    object_id = ExactCharField(max_length=160)

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"

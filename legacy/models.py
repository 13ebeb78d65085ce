from __future__ import annotations

from django.db import models

from maim.common.fields import ExactCharField, IdField


class Imported(models.Model):
    """An object that was taken over, and by what to tell whether the old system has changed it since."""

    pk = models.CompositePrimaryKey("kind", "object_id")
    kind = ExactCharField(max_length=20)
    object_id = ExactCharField(max_length=160)
    tenant_id = IdField(null=True, db_index=True)
    fingerprint = ExactCharField(max_length=64)
    # Of its password or its key, apart from all else: what is changed of one leaves the other.
    secret = ExactCharField(max_length=64, default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id}"

"""Throw-away models with a field of each kind, for the tests of what all models share."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.test.utils import isolate_apps

from core.fields import ExactCharField, IdField, JSONTextField
from core.prepared_writes import PreparedWrites

with isolate_apps("core"):  # no part of the project: neither migrations nor other tests see it

    class Thing(PreparedWrites):
        """A row with a unique name, a counter, a document, and a time."""

        id = IdField(primary_key=True)
        name = ExactCharField(max_length=50)
        number = models.IntegerField(default=0)
        document = JSONTextField(null=True)
        made_at = models.DateTimeField(null=True)

        objects: models.Manager[Any] = models.Manager()

        class Meta:
            app_label = "common"
            db_table = "test_thing"
            constraints = (models.UniqueConstraint(fields=["name"], name="thing_name_unique"),)

        def __str__(self) -> str:
            return f"{self.id}: {self.name}"

    class Part(PreparedWrites):
        """A row with an automatic id, which may belong to a Thing."""

        thing = models.ForeignKey(Thing, null=True, on_delete=models.CASCADE)
        name = ExactCharField(max_length=50)

        objects: models.Manager[Any] = models.Manager()

        class Meta:
            app_label = "common"
            db_table = "test_part"

        def __str__(self) -> str:
            return str(self.name)

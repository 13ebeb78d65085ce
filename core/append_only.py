"""Models whose rows are written once."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)


class AppendOnlyError(TypeError):
    """A bug: an update or a deletion of rows that are only ever inserted."""


class AppendOnlyQuerySet(models.QuerySet[M]):
    """A queryset that refuses updates and deletions. A plain QuerySet of the model does not."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(f"{self.model.__name__} is never updated")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(f"{self.model.__name__} is never updated")

    def delete(self) -> NoReturn:
        raise AppendOnlyError(f"{self.model.__name__} is never deleted")

    delete.queryset_only = True  # type: ignore[attr-defined]  # as Django marks its own


class AppendOnly(models.Model):
    """A model whose rows are only ever inserted."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"{type(self).__name__} is never updated")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(f"{type(self).__name__} is never deleted")

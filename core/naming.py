"""Models with a name that is unique in its folded form (docs/contract.md section 6)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core.display import DisplayName, ShownByName
from core.errors import Invalid
from core.text import fold_name, name_error


class NamedModel(ShownByName):
    """A model with a name, in the column `name_field`, and its folded form in `name_folded`."""

    name_field: ClassVar[str] = "name"
    longest_folded: ClassVar[int] = 300
    name_folded: Any

    class Meta(ShownByName.Meta):
        abstract = True

    def __str__(self) -> str:
        return DisplayName(getattr(self, self.name_field))

    def set_name(self, name: str) -> None:
        """Set the name and its folded form."""
        setattr(self, self.name_field, name)
        self.name_folded = fold_name(name)

    def change_name(self, name: str) -> None:
        """Set a new name. Raise Invalid for a name that is not allowed, unless the stored row has it already."""
        if name == getattr(self, self.name_field) and not self._state.adding:
            return
        self.set_name(name)
        if error := name_error(name) or folded_length_error(self.name_folded, self.longest_folded):
            raise Invalid({self.name_field: [error]})


def folded_length_error(folded: str, max_length: int) -> Promise | None:
    """Return an error if a folded name is too long for its column: one character may fold to up to 18."""
    if len(folded) <= max_length:
        return None
    return format_lazy(
        _("Too long: written out in full it has {length} characters, and at most {most} are allowed"),
        length=len(folded),
        most=max_length,
    )


def is_called(name: str, path: str = "") -> models.Q:
    """Return the condition for rows of this name. `path` is a lookup prefix such as `tenant__`."""
    return models.Q(**{f"{path}name_folded": fold_name(name)})


def begins_with(column: str, prefix: str) -> models.Q:
    """Return the condition for rows whose folded text begins with a prefix, which an index finds.

    Django's `startswith` compares in another collation, and so uses no index.
    """
    return models.Q(**{f"{column}__gte": prefix, f"{column}__lt": f"{prefix}\U0010ffff"})

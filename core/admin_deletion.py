"""Deletions in the admin: their impact is shown first, a large number is typed, and a long one is a bulk operation.

The impact is counted by apps above (settings.ADMIN_DELETIONS), and not collected row by row as by Django, because a
tenant may have a million keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import actions
from django.db import models
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.module_loading import import_string
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core.actor import Actor
from core.admin_columns import change_url
from core.errors import Invalid

# The field of the form in which the number of objects is typed.
TYPED_NUMBER = "typed_number"


class DeletionImpact(NamedTuple):
    """The number of objects that a deletion deletes, and counts of what it affects, by name.

    If `is_large`, the number of objects has to be typed. If any rows are `protected`, because they refer to those to
    delete, the deletion is refused.
    """

    objects: int
    counts: dict[str, int]
    is_large: bool
    protected: Sequence[models.Model] = ()


class Deletion(Protocol):
    """The deletion of rows of one model."""

    def impact(self, ids: Sequence[str]) -> DeletionImpact:
        """Return the impact of deleting these rows."""

    def start(self, actor: Actor, ids: Sequence[str], typed: int) -> models.Model | None:
        """Start the bulk operation that deletes the rows, and return it; None if there is no such operation.

        `typed` is the number of objects, as it was typed.
        """


def deletion_of(model: type[models.Model]) -> Deletion | None:
    """Return the deletion of a model's rows; None if Django may collect them and what refers to them."""
    return _deletions().get(model._meta.label)


@cache
def _deletions() -> dict[str, Deletion]:
    deletions: dict[str, Deletion] = import_string(settings.ADMIN_DELETIONS)
    return deletions


def check_typed_number(request: HttpRequest, impact: DeletionImpact) -> None:
    """Raise Invalid if the number of objects has to be typed, and another one was."""
    if impact.is_large and request.POST.get(TYPED_NUMBER, "").strip() != str(impact.objects):
        text = _("Nothing was deleted. Type the number of objects, {total}, to go on")
        sentence = format_lazy(text, total=impact.objects)
        raise Invalid({TYPED_NUMBER: [sentence]}, detail=sentence)


@admin.action(permissions=["delete"], description=_("Delete selected %(verbose_name_plural)s"))
def delete_selected(model_admin: Any, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
    """Ask whether to delete the rows, and delete them, or start the bulk operation that does.

    Ask again about the same rows if another number was typed than that of the objects.
    """
    if request.POST.get("post"):
        try:
            started = model_admin.start_deletion(request, queryset)
        except Invalid as error:
            model_admin.message_user(request, str(error.detail), messages.ERROR)
            _forget_confirmation(request)
        else:
            if started is not None:
                return HttpResponseRedirect(change_url(started))
    return actions.delete_selected(model_admin, request, queryset)


def _forget_confirmation(request: HttpRequest) -> None:
    """Make Django's action ask for confirmation again instead of deleting."""
    fields = request.POST.copy()
    del fields["post"]
    request.POST = fields  # type: ignore[assignment]  # a copy is mutable

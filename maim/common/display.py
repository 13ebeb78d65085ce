"""Names as they are shown: isolated, so that none turns around what is beside it."""

from __future__ import annotations

from django.db import models
from django.utils.html import format_html


class DisplayName(str):
    """A name that templates and `format_html` wrap in <bdi>; for everything else it is a plain text."""

    __slots__ = ()

    def __html__(self) -> str:
        return format_html("<bdi>{}</bdi>", str.__str__(self))


class ShownByName(models.Model):
    """A model that HTML shows by its isolated name; its `__str__` returns a DisplayName."""

    class Meta:
        abstract = True

    def __html__(self) -> str:
        return DisplayName(self).__html__()


def isolated(text: object) -> str:
    """Return the text in Unicode's isolates, for a sentence that is no HTML."""
    return f"\u2068{text}\u2069"

"""Names in Unicode isolates, so that right-to-left text does not reorder its surroundings."""

from __future__ import annotations

import re

from django.db import models
from django.utils.html import format_html

# Characters that end an isolate, or the paragraph with every isolate in it.
_ENDS_ISOLATE = re.compile("[\n\r\x1c-\x1e\x85\u2029\u2069]")


class DisplayName(str):
    """A string that templates and `format_html` wrap in <bdi>."""

    __slots__ = ()

    def __html__(self) -> str:
        return format_html("<bdi>{}</bdi>", _contained(self))

    @property
    def isolated(self) -> str:
        """The name for plain text, such as a page's title."""
        return isolated(self)


class ShownByName(models.Model):
    """A model that HTML shows by its isolated name. Its `__str__` returns a DisplayName."""

    class Meta:
        abstract = True

    def __html__(self) -> str:
        return DisplayName(self).__html__()


def isolated(text: object) -> str:
    """Return the text in Unicode isolates, for plain text."""
    return f"\u2068{_contained(str(text))}\u2069"


def _contained(text: str) -> str:
    return _ENDS_ISOLATE.sub("\ufffd", text)

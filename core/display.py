"""Names as they are shown: isolated, so that none turns around what is beside it."""

from __future__ import annotations

import re

from django.db import models
from django.utils.html import format_html

# What ends an isolate, or the paragraph and every isolate in it, so that a name with it would break out.
_ENDS_ISOLATE = re.compile("[\n\r\x1c-\x1e\x85\u2029\u2069]")


class DisplayName(str):
    """A name that templates and `format_html` wrap in <bdi>; for everything else it is a plain text."""

    __slots__ = ()

    def __html__(self) -> str:
        return format_html("<bdi>{}</bdi>", _contained(self))

    @property
    def isolated(self) -> str:
        """The name for a text that is no HTML, such as a page's title."""
        return isolated(self)


class ShownByName(models.Model):
    """A model that HTML shows by its isolated name; its `__str__` returns a DisplayName."""

    class Meta:
        abstract = True

    def __html__(self) -> str:
        return DisplayName(self).__html__()


def isolated(text: object) -> str:
    """Return the text in Unicode's isolates, for a sentence that is no HTML."""
    return f"\u2068{_contained(str(text))}\u2069"


def _contained(text: str) -> str:
    return _ENDS_ISOLATE.sub("\ufffd", text)

"""Ids in the URLs of the operators' admin."""

from __future__ import annotations

import re

from django.contrib.admin import utils


def quote_dots() -> None:
    """Have the admin quote dots in ids, as it quotes other characters with a meaning in a path.

    Browsers resolve `.` and `..` before they send a path, also percent-encoded ones, so that an object with such an id
    would have no page. Django has no setting for what it quotes.
    """
    utils.QUOTE_MAP[ord(".")] = "_2E"
    utils.UNQUOTE_MAP["_2E"] = "."
    utils.UNQUOTE_RE = re.compile("|".join(utils.UNQUOTE_MAP))

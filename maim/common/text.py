"""Text as people compare it."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """The form in which two names count as the same: NFC, case-folded (CONTRACT.md section 7)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())

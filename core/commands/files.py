"""Files that commands write."""

from __future__ import annotations

import os
from typing import TextIO


def create_private(name: str) -> TextIO:
    """Create a file that only its owner can read, and open it for writing. Raise OSError, also if it exists."""
    return open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")

"""The findings of a verification of the audit chain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

MAX_LISTED = 1000


class Kind(StrEnum):
    """A kind of finding."""

    EDITED = "edited"  # an entry that is not as it was written
    REMOVED = "removed"  # an entry of a block that is gone
    REORDERED = "reordered"  # an entry under another id than the one that it was chained under
    INSERTED = "inserted"  # an entry that is in no block, or a copy
    UNSIGNED = "unsigned"  # an entry without a signature, long after all others have one
    FORMER_KEY = "former key"  # an entry or block with the signature of a key that was replaced before
    UNKNOWN_KEY = "unknown key"  # a signature whose key is not configured here
    BLOCK_EDITED = "block edited"
    BLOCK_REMOVED = "block removed"
    BROKEN_LINK = "broken link"  # a block that follows another block than the one before it
    REMOVAL_FORGED = "removal forged"  # a statement of a deletion that maim has not made
    CUT_OFF = "cut off"  # a chain that ends before a checkpoint
    REPLACED = "replaced"  # a chain with another block than a checkpoint has


class Finding(NamedTuple):
    """Something that is wrong, and where: `entry 5`, `block 3`."""

    kind: Kind
    where: str
    text: str


@dataclass
class Report:
    """The result of a verification."""

    entries: int = 0  # that are chained
    blocks: int = 0
    last_block: int = 0
    tail: int = 0  # entries that are not chained yet
    tail_since: str | None = None
    # The last entry without a signature, from before entries had one.
    unsigned_up_to: int = 0
    redacted: int = 0
    removed_up_to: int = 0  # the last block whose entries were deleted because of their age
    removed_entries: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)  # the first of them
    notes: list[str] = field(default_factory=list)

    def add(self, kind: Kind, where: str, text: str) -> None:
        self.counts[kind] += 1
        if len(self.findings) < MAX_LISTED:
            self.findings.append(Finding(kind, where, text))

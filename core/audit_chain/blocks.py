"""The canonical form of a block, its digest of entries, and its hash."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from core.audit_chain import signing
from core.audit_chain.signing import Check
from core.fields import stored_time
from core.models import AuditBlock

# Entries of a block.
MAX_ENTRIES = 1000
MARK_BYTES = 4
# What the first block has for the hash of the one before.
NO_HASH = ""


def message(block: AuditBlock) -> bytes:
    """Return the canonical form of a block, without its signature."""
    return signing.message(
        "audit block",
        block.number,
        stored_time(block.made_at),
        block.reach,
        block.floor,
        block.ids,
        stored_time(block.newest),
        block.total,
        block.digest,
        block.marks,
        block.previous,
    )


def check(block: AuditBlock) -> Check:
    """Check the signature of a block."""
    return signing.check(message(block), block.signature)


def hash_of(block: AuditBlock) -> str:
    """Return the hash by which the next block and checkpoints name a block."""
    return hashlib.sha256(message(block) + block.signature.encode()).hexdigest()


def digest_of(entries: Mapping[int, bytes]) -> str:
    """Return the digest of entries, given their own digests by id."""
    digest = hashlib.sha256()
    for entry_id in sorted(entries):
        digest.update(b"%d:" % entry_id + entries[entry_id])
    return digest.hexdigest()


def marks_of(entries: Mapping[int, bytes]) -> str:
    """Return the first bytes of each entry's digest, which tell the changed one where the digest of all is wrong."""
    return base64.b64encode(b"".join(entries[entry_id][:MARK_BYTES] for entry_id in sorted(entries))).decode()


def marks(block: AuditBlock) -> list[bytes]:
    """Return the marks of a block's entries, in the order of their ids. Raise ValueError if they are malformed."""
    joined = base64.b64decode(block.marks, validate=True)
    return [joined[start : start + MARK_BYTES] for start in range(0, len(joined), MARK_BYTES)]

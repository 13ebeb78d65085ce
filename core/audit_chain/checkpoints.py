"""Checkpoints: the end of the audit chain, to be kept where whoever can write to the database cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.audit_chain import blocks, signing
from core.audit_chain.findings import Kind, Report
from core.audit_chain.signing import Check
from core.fields import stored_time
from core.models import AuditBlock

_TYPES = {"block": int, "hash": str, "entries": int, "made_at": str, "signature": str}


class InvalidCheckpoint(ValueError):
    """A document that is no checkpoint, or that was edited."""


def latest() -> dict[str, Any] | None:
    """Return a checkpoint of the last block; None if there is no block."""
    block = AuditBlock.objects.order_by("number").last()
    if block is None:
        return None
    checkpoint: dict[str, Any] = {
        "block": block.number,
        "hash": blocks.hash_of(block),
        "entries": block.total,
        "made_at": stored_time(block.made_at),
    }
    return {**checkpoint, "signature": signing.sign(_message(checkpoint))}


def compare(checkpoint: Any, report: Report) -> None:
    """Report a chain that is not the one of a checkpoint. Raise InvalidCheckpoint."""
    _require_valid(checkpoint)
    number = checkpoint["block"]
    block = AuditBlock.objects.filter(number=number).first()
    if number < report.removed_up_to:
        report.notes.append(
            f"Block {number} of the checkpoint was deleted because of its age; take a later checkpoint."
        )
    elif block is None:
        text = f"the checkpoint has {checkpoint['entries']} entries up to block {number}"
        report.add(Kind.CUT_OFF, f"after block {report.last_block}", text)
    elif blocks.hash_of(block) != checkpoint["hash"]:
        report.add(Kind.REPLACED, f"block {number}", "the checkpoint has another one")


def _require_valid(checkpoint: Any) -> None:
    """Raise InvalidCheckpoint if a document is no checkpoint. Its key may have been replaced since."""
    is_whole = isinstance(checkpoint, dict) and all(type(checkpoint.get(name)) is kind for name, kind in _TYPES.items())
    if not is_whole:
        raise InvalidCheckpoint("members are missing, or of another type")
    if not all(0 <= checkpoint[name] < 2**63 for name in ("block", "entries")):
        raise InvalidCheckpoint("a number is too large")
    if signing.check(_message(checkpoint), checkpoint["signature"]) not in (Check.VALID, Check.UNKNOWN_KEY):
        raise InvalidCheckpoint("its signature is not that of its content")


def _message(checkpoint: Mapping[str, Any]) -> bytes:
    return signing.message("audit checkpoint", *(checkpoint[name] for name in _TYPES if name != "signature"))

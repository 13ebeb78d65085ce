"""Checkpoints: the end of the audit chain, to be kept where whoever can write to the database cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.audit_chain import blocks, entries, signing
from core.audit_chain.findings import Kind, Report
from core.audit_chain.signing import Check
from core.models import AuditBlock

_SIGNED = ("block", "hash", "entries", "made_at")


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
        "made_at": entries.time_text(block.made_at),
    }
    return {**checkpoint, "signature": signing.sign(_message(checkpoint))}


def compare(checkpoint: Mapping[str, Any], report: Report) -> None:
    """Report a chain that is not the one of a checkpoint. Raise InvalidCheckpoint."""
    if signing.check(_message(checkpoint), str(checkpoint["signature"])) not in (Check.VALID, Check.UNKNOWN_KEY):
        raise InvalidCheckpoint("its signature is not that of its content")
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


def _message(checkpoint: Mapping[str, Any]) -> bytes:
    """Return the canonical form of a checkpoint. Raise InvalidCheckpoint if a member is missing."""
    try:
        values = [checkpoint[name] for name in _SIGNED]
    except (KeyError, TypeError):
        raise InvalidCheckpoint("members are missing") from None
    return signing.message("audit checkpoint", *values)

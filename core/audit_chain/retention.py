"""The deletion of old audit entries: whole blocks, from the beginning of the chain.

The last deleted block stays, without its entries, because the next one names its hash. An entry of the log proves that
its entries, and all blocks before it, were deleted because of their age.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from core import audit
from core.actor import command_actor
from core.audit_chain import ids, signing, statements
from core.fields import parse_stored_time, stored_time
from core.models import AuditBlock, AuditEntry, AuditRedaction, AuditRemoval

_BLOCKS_AT_ONCE = 20


def sweep() -> int:
    """Delete the blocks that are older than the setting allows, and return the number of their entries."""
    if settings.AUDIT_RETENTION is None:
        return 0
    before = timezone.now() - settings.AUDIT_RETENTION
    deleted = 0
    while some := _old_blocks(before):
        try:
            deleted += _delete(some)
        except IntegrityError:  # another machine has deleted them at the same moment
            continue
    return deleted


def keys_since(removal: AuditRemoval) -> dict[int, datetime]:
    """Return when the first block under each key was made, among those that were deleted."""
    return {int(key): parse_stored_time(since) for key, since in removal.keys.items()}


def _old_blocks(before: datetime) -> list[AuditBlock]:
    """Return some blocks whose entries are all older. The last block of the chain stays."""
    removal = _last_removal()
    some = AuditBlock.objects.filter(number__gt=removal.block if removal else 0).order_by("number")
    return [block for block in list(some[: _BLOCKS_AT_ONCE + 1])[:-1] if block.newest < before]


@transaction.atomic
def _delete(some: list[AuditBlock]) -> int:
    """Delete the entries of these blocks, and all blocks before the last one. Return the number of entries."""
    former = _last_removal()
    keys = keys_since(former) if former else {}
    for block in some:
        keys.setdefault(signing.key_of(block.signature), block.made_at)
    removal = AuditRemoval(block=some[-1].number, keys={str(key): stored_time(since) for key, since in keys.items()})
    removal.save(force_insert=True)
    proof = statements.removal(removal.block, removal.keys)
    audit.record(actor=command_actor("sweep"), tenant_id=None, **proof._asdict())
    QuerySet(AuditBlock).filter(number__lt=removal.block).delete()
    return sum(_delete_entries(first, last) for block in some for first, last in ids.parse_ranges(block.ids))


def _delete_entries(first: int, last: int) -> int:
    AuditRedaction.objects.filter(entry_id__gte=first, entry_id__lte=last).delete()
    return QuerySet(AuditEntry).filter(id__gte=first, id__lte=last).delete()[0]


def _last_removal() -> AuditRemoval | None:
    return AuditRemoval.objects.order_by("block").last()

"""The chainer: it adds committed entries to the audit chain, in blocks, outside of the transactions that wrote them.

Ids commit out of their order, and a rollback leaves a gap for ever. So a block names the ids that it has. An id that
was passed over may come later, until it has been missing for longer than a transaction lives: then it is below the
floor of all further blocks, and an entry that appears there was inserted.

Any number of chainers may run. The number of a block is its primary key, so that one of them adds it, and the others
follow.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import datetime, timedelta
from itertools import takewhile

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.audit_chain import blocks, entries, ids, signing
from core.audit_chain.entries import Entry
from core.db import ensure_primary
from core.fields import parse_stored_time
from core.models import AuditBlock

log = logging.getLogger("maim.audit")

# Longer than any transaction lives.
CLOSED_AFTER = timedelta(hours=1)
# Missing ids for which each round looks, newest first. It looks for all of them once a minute.
_LOOKED_FOR = 200
_ALL_EVERY_SECONDS = 60.0


class CannotChain(Exception):
    """A chain that cannot be continued. The text is a sentence for operators."""


class Chainer:
    """The end of the chain, and the ids that are missing in it."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Begin as a new process, which reads the chain."""
        self._last: AuditBlock | None = None
        self._missing: list[ids.Range] = []
        self._history: deque[tuple[datetime, int]] = deque()  # of the last hour: when, and how far
        self._looked_at = float("-inf")

    def chain_all(self) -> int:
        """Add what is committed to the chain, and return how many entries that were. Raise CannotChain."""
        chained = 0
        while (number := self._chain_block()) is not None:
            chained += number
        return chained

    def _chain_block(self) -> int | None:
        """Add a block, and return its number of entries. Return None if there is nothing to add."""
        ensure_primary()
        self._follow()
        found = self._unchained()
        floor = self._floor()
        if not found and not any(first <= floor for first, _last in self._missing):
            return None
        block = self._next_block(found, floor)
        try:
            with transaction.atomic():
                block.save(force_insert=True)
        except IntegrityError:  # another chainer was faster
            return 0
        self._append(block, [entry.id for entry in found])
        return len(found)

    def _follow(self) -> None:
        """Read the blocks that other chainers have added. Raise CannotChain."""
        if self._last is None or not self._read_from(self._last):
            self._forget()
            self._read_all()
        if self._last is not None and signing.key_of(self._last.signature) not in settings.KEY_PEPPERS:
            raise CannotChain("The audit chain goes on under a key that is not in MAIM_KEY_PEPPERS here")

    def _read_from(self, last: AuditBlock) -> bool:
        """Append the blocks after the last one. Return False if that one is not there as it was."""
        found = list(AuditBlock.objects.filter(number__gte=last.number).order_by("number"))
        if not found or blocks.hash_of(found[0]) != blocks.hash_of(last):
            log.error("the audit chain was changed: block %d is not what it was", last.number)
            return False
        for block in found[1:]:
            self._append_stored(block)
        return True

    def _read_all(self) -> None:
        """Read the end of the chain: the blocks that may have entries above its floor."""
        last = AuditBlock.objects.order_by("number").last()
        if last is None:
            return
        for block in AuditBlock.objects.filter(reach__gt=last.floor).order_by("number"):
            self._append_stored(block)
        self._last = last

    def _append_stored(self, block: AuditBlock) -> None:
        try:
            chained = ids.parse(block.ids, at_most=blocks.MAX_ENTRIES)
        except ValueError as error:
            raise CannotChain(
                f"Block {block.number} of the audit chain was edited; run manage.py audit verify"
            ) from error
        self._append(block, chained)

    def _append(self, block: AuditBlock, chained: list[int]) -> None:
        reach = block.floor if self._last is None else self._last.reach
        missing = [
            *ids.without(self._missing, chained),
            *ids.between(reach, [each for each in chained if each > reach]),
        ]
        self._missing = ids.above(missing, block.floor)
        self._history.append((block.made_at, block.reach))
        while self._history and self._history[0][1] <= block.floor:
            self._history.popleft()
        self._last = block

    def _unchained(self) -> list[Entry]:
        """Return committed entries that are in no block yet, in the order of their ids."""
        late = self._late()[: blocks.MAX_ENTRIES]
        after = self._last.reach if self._last else 0
        return late + entries.read_after(after, limit=blocks.MAX_ENTRIES)[: blocks.MAX_ENTRIES - len(late)]

    def _late(self) -> list[Entry]:
        """Return entries with ids that were missing."""
        looked_for = self._missing[-_LOOKED_FOR:]
        if len(self._missing) > _LOOKED_FOR and time.monotonic() > self._looked_at + _ALL_EVERY_SECONDS:
            looked_for, self._looked_at = self._missing, time.monotonic()
        return [
            entry
            for start in range(0, len(looked_for), _LOOKED_FOR)
            for entry in entries.read_between(looked_for[start : start + _LOOKED_FOR])
        ]

    def _floor(self) -> int:
        """Return the id below which what is missing has been missing for too long to come."""
        before = timezone.now() - CLOSED_AFTER
        passed = takewhile(lambda moment: moment[0] <= before, self._history)
        return max((reach for _made_at, reach in passed), default=self._last.floor if self._last else 0)

    def _next_block(self, found: list[Entry], floor: int) -> AuditBlock:
        last, now = self._last, timezone.now()
        digests = {entry.id: entry.digest for entry in found}
        times = [last.newest] if last else []
        times += [moment for entry in found if (moment := parse_stored_time(entry.at)) <= now]
        block = AuditBlock(
            number=last.number + 1 if last else 1,
            made_at=now,
            reach=max([*digests, last.reach if last else 0]),
            floor=floor,
            ids=ids.to_text(digests),
            newest=max(times, default=now),
            total=len(found) + (last.total if last else 0),
            digest=blocks.digest_of(digests),
            marks=blocks.marks_of(digests),
            previous=blocks.hash_of(last) if last else blocks.NO_HASH,
        )
        block.signature = signing.sign(blocks.message(block))
        return block

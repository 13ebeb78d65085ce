"""The verification of the audit chain: it reads all entries and blocks once, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from django.db.models import Count, Max

from core.audit_chain import blocks, entries, ids, retention, signing, statements
from core.audit_chain.entries import Entry
from core.audit_chain.findings import Kind, Report
from core.audit_chain.signing import Check
from core.audit_chain.statements import Statement
from core.fields import stored_time
from core.models import AuditBlock, AuditEntry, AuditRemoval

# For so long after the first block under a new key, processes may still sign with the former one, or not at all.
KEY_OVERLAP = timedelta(days=1)
# An entry may be older than the newest one before it by as much.
LATEST = timedelta(days=1)
_BLOCKS_AT_ONCE = 100


def verify(progress: Callable[[int], object] = lambda _entries: None) -> Report:
    """Read the chain, and report what is wrong. `progress` is told of each number of entries that was read.

    Entries that are written meanwhile count as the tail.
    """
    while True:
        removal = AuditRemoval.objects.order_by("block").last()
        report = _Verification(removal, progress).run()
        if AuditRemoval.objects.order_by("block").last() == removal:
            return report  # else entries were deleted because of their age meanwhile


def size() -> int:
    """Return about how many entries there are to read."""
    last = AuditBlock.objects.order_by("number").last()
    removal = AuditRemoval.objects.order_by("block").last()
    removed = AuditBlock.objects.filter(number=removal.block).first() if removal else None
    return (last.total if last else 0) - (removed.total if removed else 0)


class _Seen(NamedTuple):
    """An entry that was read and is not in a block yet."""

    digest: bytes
    check: Check
    key_id: int
    at: str
    # Among the entries of a block that cannot be relied on, so that its own block may be gone.
    is_excused: bool
    proves: Statement | None


class _Verification:
    """One pass over the entries and blocks, both in their order."""

    def __init__(self, removal: AuditRemoval | None, progress: Callable[[int], object]) -> None:
        self.report = Report()
        self._progress = progress
        self._removal = removal
        # Until here all is committed, and what is missing was removed.
        self._end = AuditBlock.objects.order_by("number").last()
        self._top: int = AuditEntry.objects.aggregate(top=Max("id"))["top"] or 0
        self._previous: AuditBlock | None = None
        self._entries = self._checked(entries.read_all(self._top))
        self._next: Entry | None = None
        self._waiting: dict[int, _Seen] = {}  # with ids that a later block may have
        self._key_since: dict[int, datetime] = {}
        self._not_vouched: int | None = None
        self._unproven: dict[tuple[str, str], Statement] = {}

    def run(self) -> Report:
        self._next = next(self._entries, None)
        self._begin()
        for block in self._read_blocks():
            self._check_block(block)
        if self._not_vouched is not None:
            self._add(Kind.UNKNOWN_KEY, f"blocks from {self._not_vouched} on", "their key is not configured here")
        self._check_tail()
        self._report_unproven()
        self._find_copies()
        return self.report

    def _add(self, kind: Kind, where: str, text: str) -> None:
        self.report.add(kind, where, text)

    # ---- entries

    def _checked(self, found: Iterator[Entry]) -> Iterator[Entry]:
        """Yield the entries. Report those whose own signature is wrong."""
        for number, entry in enumerate(found, 1):
            if not number % entries.PAGE:
                self._progress(entries.PAGE)
            if entry.check == Check.INVALID:
                self._add(Kind.EDITED, f"entry {entry.id}", "its signature is not that of its content")
            if entry.needs is not None:
                self.report.redacted += 1
                self._need(entry.needs)
            yield entry

    def _take(self, up_to: int) -> Iterator[Entry]:
        """Yield the entries with ids up to one that were not taken before."""
        while self._next is not None and self._next.id <= up_to:
            yield self._next
            self._next = next(self._entries, None)

    # ---- statements

    def _need(self, statement: Statement) -> None:
        """Expect a later entry to prove something."""
        self._unproven[statement.action, statement.object_id] = statement

    def _prove(self, statement: Statement | None) -> None:
        """Take an entry for the proof that it is."""
        if statement is not None and self._unproven.get((statement.action, statement.object_id)) == statement:
            del self._unproven[statement.action, statement.object_id]

    def _report_unproven(self) -> None:
        for action, object_id in self._unproven:
            if action == statements.REDACT:
                self._add(Kind.EDITED, f"entry {object_id}", "no entry of the log tells that it was masked")
            else:
                self._add(Kind.REMOVAL_FORGED, f"block {object_id}", "no entry of the log tells that it was deleted")

    # ---- blocks

    def _read_blocks(self) -> Iterator[AuditBlock]:
        """Yield the blocks that there were at the start."""
        number = self._previous.number if self._previous else 0
        last = self._end.number if self._end else 0
        while page := list(AuditBlock.objects.filter(number__gt=number, number__lte=last)
                           .order_by("number")[:_BLOCKS_AT_ONCE]):  # fmt: skip
            yield from page
            number = page[-1].number

    def _begin(self) -> None:
        """Begin after the blocks whose entries were deleted because of their age."""
        if self._removal is None:
            return
        where = f"block {self._removal.block}"
        self._need(statements.removal(self._removal.block, self._removal.keys))
        if AuditBlock.objects.filter(number__lt=self._removal.block).exists():
            self._add(Kind.REMOVAL_FORGED, where, "blocks before it are there")
        block = AuditBlock.objects.filter(number=self._removal.block).first()
        if block is None:
            self._add(Kind.BLOCK_REMOVED, where, "its entries were deleted because of their age, but it was left")
            return
        self._key_since = retention.keys_since(self._removal)
        self._check_link(block)
        self.report.removed_up_to, self.report.removed_entries = block.number, block.total
        self._previous = block

    def _check_block(self, block: AuditBlock) -> None:
        is_linked = self._check_link(block)
        floor = self._previous.floor if self._previous else 0
        try:
            named = ids.parse(block.ids, at_most=blocks.MAX_ENTRIES)
        except ValueError:
            named = []
        found = {each: self._waiting.pop(each) for each in named if each in self._waiting}
        expected = set(named)
        for entry in self._take(block.reach):
            seen = _Seen(entry.digest, entry.check, entry.key_id, entry.at, not is_linked, entry.proves)
            if entry.id in expected:
                found[entry.id] = seen
            elif entry.id > floor:
                self._waiting[entry.id] = seen
            elif is_linked:
                self._report_inserted(entry.id)
        self._check_entries(block, named, found)
        self._close(block.floor)
        self.report.blocks += 1
        self.report.last_block = block.number
        self.report.entries += len(found)
        self._previous = block

    def _check_link(self, block: AuditBlock) -> bool:
        """Check the signature of a block, the block before, and its key. Return whether all is right."""
        is_right = self._check_signature(block)
        is_right &= self._check_number(block)
        key_id = signing.key_of(block.signature)
        if any(later > key_id for later in self._key_since):
            self._add(Kind.FORMER_KEY, f"block {block.number}", f"key {key_id} was replaced before")
            return False
        if is_right:
            self._key_since.setdefault(key_id, block.made_at)
        return is_right

    def _check_signature(self, block: AuditBlock) -> bool:
        """Check the signature. A block under an unknown key is right if one after it, under a known key, is."""
        check = blocks.check(block)
        if check == Check.INVALID:
            self._add(Kind.BLOCK_EDITED, f"block {block.number}", "its signature is not that of its content")
        elif check == Check.UNKNOWN_KEY:
            self._not_vouched = self._not_vouched or block.number
        else:
            self._not_vouched = None
        return check != Check.INVALID

    def _check_number(self, block: AuditBlock) -> bool:
        """Check that the block follows the one before, if that is not one whose entries were deleted."""
        previous = self._previous
        number = previous.number + 1 if previous else 1
        if block.number != number and (previous is not None or self._removal is None):
            self._add(Kind.BLOCK_REMOVED, _blocks(number, block.number - 1), "the chain goes on without it")
            return False
        if previous is not None and block.previous != blocks.hash_of(previous):
            self._add(Kind.BROKEN_LINK, f"block {block.number}", f"it follows another block {previous.number}")
            return False
        return True

    def _check_entries(self, block: AuditBlock, named: list[int], found: dict[int, _Seen]) -> None:
        missing = [each for each in named if each not in found]
        for first, last in ids.to_ranges(missing):
            self._add(Kind.REMOVED, _entries(first, last), f"block {block.number} has them")
        self._check_ages(block, found)
        digests = {entry_id: seen.digest for entry_id, seen in found.items()}
        if missing or blocks.digest_of(digests) != block.digest:
            self._compare_marks(block, named, found)

    def _compare_marks(self, block: AuditBlock, named: list[int], found: dict[int, _Seen]) -> None:
        """Report the entries of a block that are not those that were chained."""
        try:
            marks = dict(zip(named, blocks.marks(block), strict=True))
        except ValueError:
            return  # of a block that was edited
        changed = [each for each in found if found[each].digest[: blocks.MARK_BYTES] != marks[each]]
        for each in changed:
            if found[each].check == Check.VALID:
                self._add(Kind.REORDERED, f"entry {each}", f"block {block.number} has another one under its id")
            elif found[each].check != Check.INVALID:  # reported already
                self._add(Kind.EDITED, f"entry {each}", f"block {block.number} has it with another content")
        if not changed and len(found) == len(named):
            self._add(Kind.EDITED, f"an entry of block {block.number}", f"of {_short(block.ids)}")

    def _check_ages(self, block: AuditBlock, found: dict[int, _Seen]) -> None:
        """Report entries whose key was replaced long before their block, or that are older than what came before."""
        replaced = (key for key, since in self._key_since.items() if block.made_at > since + KEY_OVERLAP)
        least_key = max(replaced, default=signing.UNSIGNED)
        oldest = stored_time(self._previous.newest - LATEST) if self._previous else ""
        for entry_id, seen in found.items():
            where, is_late = f"entry {entry_id}", seen.key_id < least_key
            if seen.check == Check.UNSIGNED and is_late:
                self._add(Kind.UNSIGNED, where, "it was written when all others were signed")
            elif seen.check == Check.UNSIGNED:
                self.report.unsigned_up_to = max(self.report.unsigned_up_to, entry_id)
            elif is_late and seen.check != Check.INVALID:
                self._add(Kind.FORMER_KEY, where, f"key {seen.key_id} was replaced before")
            elif seen.check == Check.UNKNOWN_KEY and seen.key_id not in self._key_since:
                self._add(Kind.UNKNOWN_KEY, where, f"key {seen.key_id} is not configured here")
            elif seen.at < oldest and seen.check != Check.INVALID:
                self._add(Kind.INSERTED, where, f"its time, {seen.at}, is long before that of block {block.number}")
            elif seen.check != Check.INVALID:
                self._prove(seen.proves)

    def _close(self, floor: int) -> None:
        """Report the entries in gaps that are closed."""
        for entry_id in [each for each in self._waiting if each <= floor]:
            if not self._waiting.pop(entry_id).is_excused:
                self._report_inserted(entry_id)

    def _report_inserted(self, entry_id: int) -> None:
        self._add(Kind.INSERTED, f"entry {entry_id}", "it is in no block, and its time to be chained is over")

    # ---- after the last block

    def _check_tail(self) -> None:
        newest_key = max(self._key_since, default=signing.UNSIGNED)
        tail: Iterator[_Seen | Entry] = chain(self._waiting.values(), self._take(self._top))
        for entry in tail:
            self.report.tail += 1
            self.report.tail_since = min(entry.at, self.report.tail_since or entry.at)
            if entry.check == Check.VALID and entry.key_id >= newest_key:
                self._prove(entry.proves)

    def _find_copies(self) -> None:
        """Report entries with the same signature, which covers a time in microseconds."""
        times = AuditEntry.objects.order_by("at").values("at").annotate(number=Count("*")).filter(number__gt=1)
        for at in times.values_list("at", flat=True).iterator():
            seen: dict[str, int] = {}
            same = AuditEntry.objects.filter(at=at, id__lte=self._top).order_by("id")
            for entry_id, signature in same.values_list("id", "signature"):
                if signature is None:
                    continue
                if signature in seen:
                    self._add(Kind.INSERTED, f"entry {entry_id}", f"it is a copy of entry {seen[signature]}")
                seen.setdefault(signature, entry_id)


def _entries(first: int, last: int) -> str:
    return f"entry {first}" if first == last else f"entries {first} to {last}"


def _blocks(first: int, last: int) -> str:
    return f"block {first}" if first == last else f"blocks {first} to {last}"


def _short(text: str) -> str:
    return text if len(text) < 60 else f"{text[:57]}..."

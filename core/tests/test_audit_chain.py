"""The audit chain: what it covers, and how each way of tampering with it is named.

See docs/decisions/0039-audit-chain.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from time_machine import Traveller, travel

from core import audit
from core.append_only import AppendOnlyError
from core.audit_chain import blocks, checkpoints, entries, retention, signing, verification
from core.audit_chain.chainer import CLOSED_AFTER, CannotChain, Chainer
from core.audit_chain.checkpoints import InvalidCheckpoint
from core.audit_chain.findings import Report
from core.models import AuditBlock, AuditEntry, AuditRedaction, AuditRemoval
from tests.support.people import OPERATOR

pytestmark = pytest.mark.django_db

OLD_KEYS, NEW_KEYS = {1: "o" * 40}, {2: "n" * 40, 1: "o" * 40}
DAY = timedelta(days=1)
SIGNATURE_OF_TODAY = "1:07b18d94e25ff9df7f972e648627850aa1ae11a1c4c009df57c7e49728c2f3b2"


@pytest.fixture(autouse=True)
def clock() -> Iterator[Traveller]:
    with travel(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
        yield clock


@pytest.fixture(autouse=True)
def _old_keys(settings: LazySettings) -> None:
    settings.KEY_PEPPERS = OLD_KEYS


def write(number: int = 1, **values: Any) -> list[int]:
    """Write entries, and return their ids."""
    change = {"actor": OPERATOR, "action": "agent.update", "object_id": "agent_1", "tenant_id": None, **values}
    with transaction.atomic():
        for _ in range(number):
            audit.record(**change)
    return sorted(AuditEntry.objects.order_by("-id").values_list("id", flat=True)[:number])


def chain(number: int = 5) -> list[int]:
    """Write entries, and add them to the chain as one block."""
    ids = write(number)
    assert Chainer().chain_all() >= number
    return ids


def rows(*ids: int) -> QuerySet[AuditEntry]:
    """Return entries as whoever can write to the database sees them."""
    return QuerySet(AuditEntry).filter(id__in=ids)


def chain_blocks(number: int | None = None) -> QuerySet[AuditBlock]:
    return QuerySet(AuditBlock).filter(**{} if number is None else {"number": number})


def move(entry_id: int, new: int) -> None:
    rows(entry_id).update(id=new)


def insert(entry: AuditEntry) -> None:
    AuditEntry._base_manager.bulk_create([entry])


def take_out(entry_id: int) -> AuditEntry:
    """Delete an entry and return it, as if its transaction had not committed yet."""
    entry = AuditEntry.objects.get(id=entry_id)
    rows(entry_id).delete()
    return entry


def found(report: Report | None = None) -> list[tuple[str, str]]:
    """Return what a verification finds, and where."""
    return [(finding.kind.value, finding.where) for finding in (report or verification.verify()).findings]


class TestUntouched:
    def test_all_entries_are_right(self) -> None:
        chain(3)
        chain(2)
        write(4)

        report = verification.verify()

        assert (found(report), report.entries, report.blocks, report.tail) == ([], 5, 2, 4)
        assert (report.tail_since or "").startswith("2030-01-01 00:00:0")

    @pytest.mark.parametrize("moment", [datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, 0, 0, 0, 1, UTC)])
    @pytest.mark.parametrize("name", ["客服 🤖 e\u0301", 'a "quoted"\n\\ \x7f\u2028', "", "x "])
    def test_every_text_and_time_survives_the_database(self, name: str, moment: datetime, clock: Traveller) -> None:
        clock.move_to(moment, tick=False)
        write(before={"name": None, "n": 1.5}, after={"name": name, "n": 10**15})
        write(before=None, after={name: [True, {}]}, tenant_id="tenant_1")

        assert Chainer().chain_all() == 2
        assert found() == []

    def test_every_column_is_signed(self) -> None:
        columns = {field.attname for field in AuditEntry._meta.concrete_fields}

        assert columns == {*entries.SIGNED, "id", "signature"}

    def test_entry_as_of_today_has_this_signature(self, settings: LazySettings, clock: Traveller) -> None:
        """A change of the canonical form would make all entries that exist look edited."""
        clock.move_to(datetime(2030, 1, 1, tzinfo=UTC), tick=False)
        (entry_id,) = write(before={"a": None}, after={"a": "客服"})

        assert AuditEntry.objects.get(id=entry_id).signature == SIGNATURE_OF_TODAY

    def test_many_entries_become_several_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(blocks, "MAX_ENTRIES", 4)
        write(10)

        assert Chainer().chain_all() == 10
        assert [block.total for block in AuditBlock.objects.order_by("number")] == [4, 8, 10]
        assert found() == []

    def test_nothing_is_written_while_nothing_changes(self) -> None:
        chain()

        assert Chainer().chain_all() == 0
        assert AuditBlock.objects.count() == 1


@pytest.mark.embedded
class TestEntries:
    @pytest.mark.parametrize("name", entries.SIGNED)
    def test_edited_column(self, name: str) -> None:
        _, second, *_ = chain()
        other = {"at": timezone.now() - timedelta(seconds=5), "before": {"x": 1}, "after": {"x": 1}}
        rows(second).update(**{name: other.get(name, "other")})

        assert found() == [("edited", f"entry {second}")]

    def test_edited_in_the_tail(self) -> None:
        chain()
        (last,) = write()
        rows(last).update(action="agent.create")

        assert found() == [("edited", f"entry {last}")]

    def test_signature_of_another_entry(self) -> None:
        first, second, *_ = chain()
        rows(first).update(signature=AuditEntry.objects.get(id=second).signature)

        assert ("edited", f"entry {first}") in found()

    def test_removed(self) -> None:
        ids = chain(6)
        rows(*ids[1:3], ids[5]).delete()

        assert found() == [("removed", f"entries {ids[1]} to {ids[2]}"), ("removed", f"entry {ids[5]}")]

    @pytest.mark.parametrize("places", [(1, 3), (1, 8)], ids=["in a block", "of two blocks"])
    def test_reordered(self, places: tuple[int, int]) -> None:
        ids = chain(5) + chain(5)
        one, two = (ids[place] for place in places)
        move(one, 10**9)
        move(two, one)
        move(10**9, two)

        assert found() == [("reordered", f"entry {one}"), ("reordered", f"entry {two}")]

    def test_inserted_before_the_first(self) -> None:
        chain()
        (forged,) = write()
        move(forged, -5)

        assert found() == [("inserted", "entry -5")]

    def test_inserted_into_a_closed_gap(self, clock: Traveller) -> None:
        chainer, ids = Chainer(), write(5)
        rows(ids[2]).delete()
        chainer.chain_all()
        clock.shift(CLOSED_AFTER)
        chainer.chain_all()
        (forged,) = write()
        move(forged, ids[2])

        assert Chainer().chain_all() == 0
        assert found() == [("inserted", f"entry {ids[2]}")]

    def test_inserted_as_a_copy(self) -> None:
        first, *_ = chain()
        entry = AuditEntry.objects.get(id=first)
        entry.pk = None
        insert(entry)
        Chainer().chain_all()

        copy = AuditEntry.objects.latest("id").pk
        assert found() == [("inserted", f"entry {copy}")]

    def test_inserted_as_a_copy_of_what_was_deleted(self, clock: Traveller) -> None:
        """An entry that nobody finds in the log any more may not come back."""
        chain()
        entry = take_out(write()[0])
        clock.shift(2 * DAY)
        chain()
        entry.pk = None
        insert(entry)
        Chainer().chain_all()

        assert found() == [("inserted", f"entry {AuditEntry.objects.latest('id').pk}")]

    def test_inserted_without_a_signature(self, clock: Traveller) -> None:
        chain()
        clock.shift(2 * DAY)
        ids = write(2)
        rows(ids[1]).update(signature=None)
        Chainer().chain_all()

        assert found() == [("unsigned", f"entry {ids[1]}")]

    @pytest.mark.parametrize("signature", ["99:" + "0" * 64, "1:" + "0" * 64, "x", ""])
    def test_inserted_with_a_made_up_signature(self, signature: str) -> None:
        (forged,) = write()
        rows(forged).update(signature=signature)
        Chainer().chain_all()

        assert found() == [("unknown key" if signature.startswith("99") else "edited", f"entry {forged}")]


@pytest.mark.embedded
class TestUnsignedEntries:
    """Entries from before entries were signed."""

    @pytest.fixture
    def ids(self) -> list[int]:
        ids = write(5)
        rows(*ids).update(signature=None)
        assert Chainer().chain_all() == 5
        return ids

    def test_are_chained_as_they_are(self, ids: list[int]) -> None:
        chain()

        report = verification.verify()

        assert (found(report), report.unsigned_up_to) == ([], ids[-1])

    def test_edited_or_reordered(self, ids: list[int]) -> None:
        rows(ids[1]).update(action="agent.create")
        rows(ids[3]).delete()

        assert found() == [("removed", f"entry {ids[3]}"), ("edited", f"entry {ids[1]}")]

    def test_entries_of_a_process_of_the_version_before_are_right_for_a_day(self, clock: Traveller) -> None:
        chain()
        clock.shift(DAY / 2)
        (late,) = write()
        rows(late).update(signature=None)
        Chainer().chain_all()

        assert found() == []


class TestGaps:
    def test_late_commit_is_chained(self) -> None:
        chainer, ids = Chainer(), write(5)
        late = take_out(ids[2])
        assert chainer.chain_all() == 4
        insert(late)

        assert verification.verify().tail == 1
        assert chainer.chain_all() == 1
        report = verification.verify()
        assert (found(report), report.entries, report.tail) == ([], 5, 0)

    def test_new_chainer_knows_the_gaps(self) -> None:
        ids = write(8)
        late = [take_out(ids[place]) for place in (1, 4, 5)]
        Chainer().chain_all()
        insert(late[0])
        assert Chainer().chain_all() == 1
        insert(late[2])
        write(2)
        assert Chainer().chain_all() == 3
        insert(late[1])

        assert Chainer().chain_all() == 1
        report = verification.verify()
        assert (found(report), report.entries) == ([], 10)

    def test_many_gaps_are_looked_for_once_a_minute(self, monkeypatch: pytest.MonkeyPatch, clock: Traveller) -> None:
        monkeypatch.setattr("core.audit_chain.chainer._LOOKED_FOR", 2)
        chainer, ids = Chainer(), write(12)
        late = [take_out(each) for each in ids[1::2]]
        chainer.chain_all()
        for entry in late:
            insert(entry)

        assert chainer.chain_all() == len(late)
        assert found() == []

    def test_rollback_leaves_a_gap_that_is_closed(self, clock: Traveller) -> None:
        chainer, ids = Chainer(), write(5)
        rows(ids[2]).delete()
        chainer.chain_all()
        clock.shift(CLOSED_AFTER)

        assert chainer.chain_all() == 0
        assert [block.floor for block in AuditBlock.objects.order_by("number")] == [0, ids[-1]]
        chain(2)
        assert found() == []

    def test_chainers_beside_each_other_add_each_entry_once(self) -> None:
        one, two = Chainer(), Chainer()
        for each in (one, two, two, one):
            write(3)
            late = take_out(write(2)[0])
            each.chain_all()
            insert(late)
        both = [one.chain_all(), two.chain_all()]

        report = verification.verify()
        assert (both, found(report), report.entries) == ([1, 0], [], 20)

    def test_chainer_that_was_overtaken_adds_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slow, ids = Chainer(), write(3)
        next_block = slow._next_block

        def overtaken(*args: Any) -> AuditBlock:
            monkeypatch.undo()
            Chainer().chain_all()
            return next_block(*args)

        monkeypatch.setattr(slow, "_next_block", overtaken)

        assert slow.chain_all() == 0
        assert (found(), AuditBlock.objects.get().ids) == ([], f"{ids[0]}-{ids[-1]}")


@pytest.mark.embedded
class TestBlocks:
    @pytest.fixture(autouse=True)
    def ids(self) -> list[int]:
        return chain() + chain() + chain()

    @pytest.mark.parametrize(
        "name", ["made_at", "reach", "floor", "ids", "newest", "total", "digest", "marks", "previous"]
    )
    def test_edited(self, name: str) -> None:
        others: dict[str, Any] = {"made_at": timezone.now() - DAY, "newest": timezone.now() - DAY}
        others |= dict.fromkeys(("reach", "floor", "total"), 1)
        chain_blocks(2).update(**{name: others.get(name, "1-99999999999")})

        assert ("block edited", "block 2") in found()

    def test_removed(self) -> None:
        chain_blocks(2).delete()

        assert found() == [("block removed", "block 2")]

    def test_first_removed_with_its_entries(self, ids: list[int]) -> None:
        chain_blocks(1).delete()
        rows(*ids[:5]).delete()

        assert found() == [("block removed", "block 1")]

    def test_end_removed_is_found_by_a_checkpoint(self, ids: list[int]) -> None:
        checkpoint = checkpoints.latest()
        chain_blocks(3).delete()
        rows(*ids[10:]).delete()
        chain(2)
        chain_blocks(3).delete()
        report = verification.verify()
        assert found(report) == []

        assert checkpoint is not None
        checkpoints.compare(checkpoint, report)
        assert found(report) == [("cut off", "after block 2")]

    def test_end_rewritten_is_found_by_a_checkpoint(self, ids: list[int]) -> None:
        checkpoint = checkpoints.latest()
        chain_blocks(3).delete()
        rows(*ids[10:]).delete()
        chain(2)
        report = verification.verify()
        assert found(report) == []

        assert checkpoint is not None
        checkpoints.compare(checkpoint, report)
        assert found(report) == [("replaced", "block 3")]

    def test_later_chain_is_that_of_the_checkpoint(self) -> None:
        checkpoint = checkpoints.latest()
        chain()
        report = verification.verify()

        assert checkpoint is not None
        checkpoints.compare(checkpoint, report)
        assert found(report) == []

    @pytest.mark.parametrize("change", [{"block": 2}, {"hash": "0" * 64}, {"signature": "x"}, {"entries": 3}])
    def test_edited_checkpoint_is_refused(self, change: dict[str, Any]) -> None:
        checkpoint = checkpoints.latest()

        assert checkpoint is not None
        with pytest.raises(InvalidCheckpoint):
            checkpoints.compare({**checkpoint, **change}, verification.verify())

    def test_block_that_cannot_be_read_is_not_continued(self) -> None:
        chain_blocks(3).update(ids="all of them")

        with pytest.raises(CannotChain, match="Block 3"):
            Chainer().chain_all()

    def test_running_chainer_logs_that_the_end_is_gone(self, caplog: pytest.LogCaptureFixture) -> None:
        chainer = Chainer()
        chainer.chain_all()
        chain_blocks(3).delete()
        chainer.chain_all()

        assert "the audit chain was changed: block 3 is not what it was" in caplog.text


@pytest.mark.embedded
class TestKeys:
    def test_chain_goes_on_under_a_new_key(self, settings: LazySettings) -> None:
        chain()
        settings.KEY_PEPPERS = NEW_KEYS
        chain()

        assert found() == []

    def test_former_key_may_be_dropped_when_a_block_under_the_new_one_follows(self, settings: LazySettings) -> None:
        chain()
        settings.KEY_PEPPERS = NEW_KEYS
        ids = chain()
        settings.KEY_PEPPERS = {2: NEW_KEYS[2]}
        assert found() == []

        rows(ids[0] - 1).update(action="agent.create")
        assert found() == [("edited", f"entry {ids[0] - 1}")]

    def test_chain_under_an_unknown_key_cannot_be_verified(self, settings: LazySettings) -> None:
        chain()
        settings.KEY_PEPPERS = {2: NEW_KEYS[2]}

        assert ("unknown key", "blocks from 1 on") in found()

    def test_block_rewritten_with_the_former_key(self, settings: LazySettings) -> None:
        """A former key can sign anything, but not what follows."""
        ids = chain()
        chain()
        settings.KEY_PEPPERS = NEW_KEYS
        chain()
        settings.KEY_PEPPERS = OLD_KEYS
        chain_blocks().filter(number__lte=2).delete()
        rows(ids[0]).delete()
        newest = chain_blocks().get()
        chain_blocks().delete()
        late = [take_out(each) for each in range(newest.reach - 4, newest.reach + 1)]
        Chainer().chain_all()
        for entry in late:
            insert(entry)
        AuditBlock._base_manager.bulk_create([newest])
        settings.KEY_PEPPERS = NEW_KEYS

        assert [kind for kind, _where in found()] == ["block removed"]

    def test_block_edited_with_the_former_key(self, settings: LazySettings) -> None:
        chain()
        chain()
        settings.KEY_PEPPERS = NEW_KEYS
        chain()
        settings.KEY_PEPPERS = OLD_KEYS
        block = chain_blocks(2).get()
        block.total = 9
        chain_blocks(2).update(total=9, signature=signing.sign(blocks.message(block)))
        settings.KEY_PEPPERS = NEW_KEYS

        assert found() == [("broken link", "block 3")]

    def test_block_added_with_the_former_key(self, settings: LazySettings) -> None:
        settings.KEY_PEPPERS = NEW_KEYS
        chain()
        block = AuditBlock.objects.get()
        settings.KEY_PEPPERS = OLD_KEYS
        block.number, block.ids, block.previous = 2, "", blocks.hash_of(block)
        block.digest, block.marks = blocks.digest_of({}), ""
        block.signature = signing.sign(blocks.message(block))
        AuditBlock._base_manager.bulk_create([block])
        settings.KEY_PEPPERS = NEW_KEYS

        assert found() == [("former key", "block 2")]

    @pytest.mark.parametrize("keys", [NEW_KEYS, {2: NEW_KEYS[2]}], ids=["both", "the new one"])
    def test_entry_signed_with_the_former_key_a_day_later(
        self, settings: LazySettings, clock: Traveller, keys: dict[int, str]
    ) -> None:
        settings.KEY_PEPPERS = NEW_KEYS
        chain()
        clock.shift(2 * DAY)
        settings.KEY_PEPPERS = OLD_KEYS
        (forged,) = write()
        settings.KEY_PEPPERS = NEW_KEYS
        Chainer().chain_all()
        settings.KEY_PEPPERS = keys

        assert found() == [("former key", f"entry {forged}")]

    def test_process_with_the_former_key_adds_nothing(self, settings: LazySettings) -> None:
        settings.KEY_PEPPERS = NEW_KEYS
        chain()
        settings.KEY_PEPPERS = OLD_KEYS
        write()

        with pytest.raises(CannotChain, match="MAIM_KEY_PEPPERS"):
            Chainer().chain_all()


class TestRetention:
    @pytest.fixture(autouse=True)
    def ids(self, settings: LazySettings, clock: Traveller) -> list[int]:
        """Entries of three months, one block each."""
        settings.AUDIT_RETENTION = 50 * DAY
        ids = chain(4)
        for _month in range(2):
            clock.shift(30 * DAY)
            ids += chain(4)
        return ids

    def test_old_blocks_are_deleted_and_the_rest_is_right(self, ids: list[int]) -> None:
        assert retention.sweep() == 4
        chain()

        report = verification.verify()
        assert (found(report), report.removed_up_to, report.removed_entries) == ([], 1, 4)
        assert list(AuditEntry.objects.order_by("id").values_list("id", flat=True)[:8]) == ids[4:]
        assert retention.sweep() == 0

    def test_later_sweeps_go_on(self, clock: Traveller) -> None:
        retention.sweep()
        clock.shift(30 * DAY)
        chain()

        assert retention.sweep() == 4
        assert found() == []
        assert list(AuditRemoval.objects.order_by("block").values_list("block", flat=True)) == [1, 2]

    def test_nothing_is_deleted_by_default(self, settings: LazySettings) -> None:
        settings.AUDIT_RETENTION = None

        assert retention.sweep() == 0

    def test_last_block_stays(self, clock: Traveller) -> None:
        clock.shift(365 * DAY)

        assert retention.sweep() == 8
        assert found() == []

    @pytest.mark.parametrize("has_statement", [True, False])
    def test_deletion_of_more(self, ids: list[int], has_statement: bool) -> None:
        if has_statement:
            retention.sweep()
        chain_blocks().filter(number__lte=2).delete()
        rows(*ids[:8]).delete()

        where = "block 1" if has_statement else "blocks 1 to 2"
        assert found()[0] == ("block removed", where)

    def test_forged_statement(self, ids: list[int]) -> None:
        retention.sweep()
        QuerySet(AuditRemoval).update(block=2)
        chain_blocks(1).delete()
        rows(*ids[4:8]).delete()

        assert found() == [("removal forged", "block 2")]
        Chainer().chain_all()
        assert found() == [("removal forged", "block 2")]

    def test_statement_without_the_deletion(self, ids: list[int]) -> None:
        block = chain_blocks(1).get()
        entry = AuditEntry.objects.get(id=ids[0])
        retention.sweep()
        insert(entry)
        assert found() == [("inserted", f"entry {ids[0]}")]

        chain_blocks(1).update(number=0)
        assert block.number == 1
        assert ("block removed", "block 1") in found()

    def test_checkpoint_from_before_is_noted(self) -> None:
        checkpoint = {**(checkpoints.latest() or {}), "block": 0}
        checkpoint["signature"] = signing.sign(checkpoints._message(checkpoint))
        retention.sweep()
        report = verification.verify()

        checkpoints.compare(checkpoint, report)

        assert found(report) == []
        assert "deleted because of its age" in report.notes[0]

    def test_keys_of_deleted_blocks_are_remembered(self, clock: Traveller) -> None:
        """Else a day would begin with the first block that is left, in which entries need no signature."""
        chain()
        clock.shift(DAY / 2)
        (unsigned,) = write()
        rows(unsigned).update(signature=None)
        Chainer().chain_all()
        clock.shift(50 * DAY - DAY / 4)

        assert retention.sweep() == 4 + 4 + 4 + 5
        assert found() == [("unsigned", f"entry {unsigned}")]


class TestRedaction:
    @pytest.fixture
    def entry_id(self) -> int:
        (entry_id,) = write(
            action="template.create", before=None, after={"config": {"license_number": "s-1"}}, object_id="template_1"
        )
        return entry_id

    @pytest.mark.parametrize("is_chained", [True, False])
    def test_masked_entry_is_right(self, entry_id: int, is_chained: bool, redact: Callable[[int], None]) -> None:
        if is_chained:
            Chainer().chain_all()
        redact(entry_id)
        redact(entry_id)
        Chainer().chain_all()

        report = verification.verify()
        assert (found(report), report.redacted, report.entries) == ([], 1, 3)
        assert AuditEntry.objects.get(id=entry_id).after == {"config": {"license_number": "********"}}

    @pytest.fixture
    def redact(self) -> Callable[[int], None]:
        def redact(entry_id: int) -> None:
            with transaction.atomic():
                audit.redact(entry_id, actor=OPERATOR, changes={"after": {"config": {"license_number": "********"}}})

        return redact

    def test_masked_entry_that_was_edited(self, entry_id: int, redact: Callable[[int], None]) -> None:
        Chainer().chain_all()
        redact(entry_id)
        rows(entry_id).update(after={})

        assert set(found()) == {("edited", f"entry {entry_id}")}

    @pytest.mark.parametrize("digest", ["0" * 64, "no digest"])
    def test_edited_redaction(self, entry_id: int, redact: Callable[[int], None], digest: str) -> None:
        Chainer().chain_all()
        redact(entry_id)
        AuditRedaction.objects.update(digest=digest)
        Chainer().chain_all()

        assert f"entry {entry_id}" in {where for _kind, where in found()}

    def test_redaction_that_no_entry_tells(self, entry_id: int, settings: LazySettings) -> None:
        """A former key can sign an edited entry, and nothing that would excuse it."""
        Chainer().chain_all()
        digest = entries.stored_digest(entry_id)
        entry = AuditEntry.objects.get(id=entry_id)
        entry.after = {}
        rows(entry_id).update(after={}, signature=entries.signature_of(entry))
        AuditRedaction.objects.create(entry_id=entry_id, digest=digest)

        assert found() == [("edited", f"entry {entry_id}")]

    def test_redaction_that_is_told_with_the_former_key(
        self, entry_id: int, redact: Callable[[int], None], settings: LazySettings, clock: Traveller
    ) -> None:
        settings.KEY_PEPPERS = NEW_KEYS
        Chainer().chain_all()
        clock.shift(2 * DAY)
        settings.KEY_PEPPERS = OLD_KEYS
        redact(entry_id)
        settings.KEY_PEPPERS = NEW_KEYS
        assert found() == [("edited", f"entry {entry_id}")]

        Chainer().chain_all()
        assert sorted(kind for kind, _where in found()) == ["edited", "former key"]

    def test_masked_entry_without_its_redaction(self, entry_id: int, redact: Callable[[int], None]) -> None:
        Chainer().chain_all()
        redact(entry_id)
        AuditRedaction.objects.all().delete()

        assert found() == [("reordered", f"entry {entry_id}")]


class TestModels:
    @pytest.mark.parametrize("model", [AuditEntry, AuditBlock, AuditRemoval])
    def test_refuse_update_and_delete(self, model: Any, settings: LazySettings, clock: Traveller) -> None:
        settings.AUDIT_RETENTION = DAY
        chain()
        clock.shift(2 * DAY)
        chain()
        retention.sweep()
        row = model.objects.last()
        field = "keys" if model is AuditRemoval else "signature"

        for change in (
            lambda: model.objects.update(**{field: "x"}),
            lambda: model.objects.filter(pk=row.pk).delete(),
            lambda: model.objects.bulk_update([row], [field]),
            lambda: model.objects.update_or_create(pk=row.pk, defaults={field: "x"}),
            row.save,
            row.delete,
        ):
            with pytest.raises(AppendOnlyError):
                change()

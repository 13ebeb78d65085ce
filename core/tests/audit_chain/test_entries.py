"""Entries of the audit chain: what is signed of them, and how tampering with them is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from time_machine import Traveller

from core.append_only import AppendOnlyError
from core.audit_chain import blocks, entries, retention, verification
from core.audit_chain.chainer import CLOSED_AFTER, Chainer
from core.models import AuditBlock, AuditEntry, AuditRemoval
from core.tests.audit_chain.chain import DAY, chain, found, insert, move, rows, take_out, write

pytestmark = pytest.mark.django_db

SIGNATURE_OF_TODAY = "1:07b18d94e25ff9df7f972e648627850aa1ae11a1c4c009df57c7e49728c2f3b2"


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

"""Entries of the audit chain that are deleted because of their age, or redacted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.db.models import QuerySet
from time_machine import Traveller

from core import audit
from core.audit_chain import checkpoints, entries, retention, signing, verification
from core.audit_chain.chainer import Chainer
from core.models import AuditEntry, AuditRedaction, AuditRemoval
from core.tests.audit_chain.chain import DAY, NEW_KEYS, OLD_KEYS, chain, chain_blocks, found, insert, rows, write
from tests.support.people import OPERATOR

pytestmark = pytest.mark.django_db


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

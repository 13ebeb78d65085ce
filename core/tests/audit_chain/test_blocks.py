"""Blocks of the audit chain: how tampering with them is named, and under which keys they are signed."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone
from time_machine import Traveller

from core.audit_chain import blocks, checkpoints, signing, verification
from core.audit_chain.chainer import CannotChain, Chainer
from core.audit_chain.checkpoints import InvalidCheckpoint
from core.models import AuditBlock
from core.tests.audit_chain.chain import (
    DAY,
    NEW_KEYS,
    OLD_KEYS,
    chain,
    chain_blocks,
    found,
    insert,
    rows,
    take_out,
    write,
)

pytestmark = pytest.mark.django_db


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

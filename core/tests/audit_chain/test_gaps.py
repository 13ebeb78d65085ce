"""Gaps between the ids of the audit chain, which transactions that commit late fill."""

from __future__ import annotations

from typing import Any

import pytest
from time_machine import Traveller

from core.audit_chain import verification
from core.audit_chain.chainer import CLOSED_AFTER, Chainer
from core.models import AuditBlock
from core.tests.audit_chain.chain import chain, found, insert, rows, take_out, write

pytestmark = pytest.mark.django_db


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

"""`manage.py audit`: the verification of the audit log, and checkpoints of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core import mail
from django.db import transaction
from django.db.models import QuerySet

from core import audit
from core.audit_chain.chainer import Chainer
from core.models import AuditBlock, AuditEntry
from tests.support.commands import Outcome, run
from tests.support.people import OPERATOR

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

ODD = '{"block": 1e99, "hash": "", "entries": 1, "made_at": "", "signature": ""}'.replace("1e99", "9" * 20)


def write(number: int = 1) -> None:
    with transaction.atomic():
        for _ in range(number):
            audit.record(actor=OPERATOR, action="agent.update", object_id="agent_1", tenant_id=None)


@pytest.fixture(autouse=True)
def _chained() -> None:
    write(3)
    Chainer().chain_all()


def verify(*arguments: str) -> Outcome:
    return run("audit", "verify", *arguments)


class TestVerify:
    def test_log_as_it_was_written(self) -> None:
        write(2)

        outcome = verify()

        assert (outcome.status, outcome.err) == (0, "")
        assert "3 entries in 1 blocks, up to block 1" in outcome.out
        assert "2 entries, the oldest of " in outcome.out
        assert outcome.out.endswith("Nothing is wrong.\n")

    def test_findings_are_named(self) -> None:
        entry = AuditEntry.objects.latest("id")
        QuerySet(AuditEntry).filter(pk=entry.pk).update(action="agent.create")

        outcome = verify()

        assert outcome.status == 4
        assert f"entry {entry.pk}  its signature is not that of its content" in outcome.out

    def test_document_for_programs(self) -> None:
        found = verify("--json").document
        assert (found["entries"], found["tail"], found["findings"]) == (3, 0, [])

        first = AuditEntry.objects.earliest("id").pk
        QuerySet(AuditEntry).filter(pk=first).delete()
        outcome = verify("--json")

        assert outcome.status == 4
        (finding,) = json.loads(outcome.out)["findings"]
        assert finding == {"kind": "removed", "where": f"entry {first}", "text": "block 1 has them"}


class TestCheckpoint:
    def test_cut_end_is_found(self, tmp_path: Path) -> None:
        write(2)
        path = tmp_path / "checkpoint.json"
        assert run("audit", "checkpoint", "--output", str(path)).out == ""
        assert verify("--checkpoint", str(path)).status == 0

        QuerySet(AuditEntry).filter(pk__gt=AuditBlock.objects.get(number=1).reach).delete()
        QuerySet(AuditBlock).filter(number=2).delete()

        assert verify().status == 0
        outcome = verify("--checkpoint", str(path))
        assert (outcome.status, "cut off" in outcome.out) == (4, True)

    def test_it_has_what_is_not_chained_yet(self) -> None:
        write(2)

        assert run("audit", "checkpoint").document["entries"] == 5
        assert verify("--json").document["tail"] == 0

    def test_it_is_mailed(self, settings: LazySettings) -> None:
        settings.MAIL_IS_SET_UP = True
        outcome = run("audit", "checkpoint", "--mail", "auditor@example.com", "--mail", "board@example.com")

        (message,) = mail.outbox
        assert message.to == ["auditor@example.com", "board@example.com"]
        assert json.loads(str(message.body)) == outcome.document

    def test_without_a_mail_server_none_is_mailed(self) -> None:
        outcome = run("audit", "checkpoint", "--mail", "auditor@example.com")

        assert (outcome.status, outcome.out) == (1, "")
        assert "MAIM_EMAIL_URL" in outcome.err

    @pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"block": "1"}', ODD])
    def test_file_that_is_no_checkpoint(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "checkpoint.json"
        path.write_text(content)

        outcome = verify("--checkpoint", str(path))

        assert (outcome.status, outcome.out) == (1, "")
        assert f"{path} is no checkpoint" in outcome.err

    def test_missing_file(self, tmp_path: Path) -> None:
        outcome = verify("--checkpoint", str(tmp_path / "none"))

        assert (outcome.status, "No such file" in outcome.err) == (1, True)

    def test_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        outcome = run("audit", "checkpoint", "--output", str(tmp_path))

        assert (outcome.status, "was not written" in outcome.err) == (1, True)

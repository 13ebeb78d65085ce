"""`manage.py audit`: the verification of the audit log, and checkpoints of it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.management import call_command
from django.db import transaction
from django.db.models import QuerySet

from core import audit
from core.audit_chain.chainer import Chainer
from core.commands.exit_codes import ExitCode
from core.models import AuditBlock, AuditEntry
from tenants import services as tenants
from tenants.management import audit_entries
from tests.support.commands import Outcome, run
from tests.support.people import OPERATOR, Person

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


class TestListing:
    @pytest.fixture
    def changes(self, alice: Person) -> list[AuditEntry]:
        """Changes by Alice and by an operator, oldest first."""
        alice.client.send("PUT", f"/api/v1/tenants/{alice.tenant.id}", {"description": "hers"})
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"description": "ours"})
        return list(AuditEntry.objects.filter(action="tenant.update").order_by("id"))

    @pytest.mark.parametrize(
        ("arguments", "chosen"),
        [
            (["--action", "tenant.update"], [1, 0]),
            (["--action", "tenant.update", "--user", "ALICE"], [0]),
            (["--action", "tenant.update", "--user", "{alice}"], [0]),
            (["--tenant", "alice's personal tenant", "--action", "tenant.update", "--kind", "command"], [1]),
            (["--object", "{tenant}", "--action", "tenant.update", "--limit", "2"], [1, 0]),
            (["--request", "{request}"], [0]),
            (["--action", "tenant.update", "--since", "2000-01-01T00:00:00Z"], [1, 0]),
            (["--action", "tenant.update", "--until", "2000-01-01T00:00:00Z"], []),
            (["--tenant", "tenant_000000000000"], []),
        ],
    )
    def test_list_is_filtered_by(
        self, changes: list[AuditEntry], alice: Person, arguments: list[str], chosen: list[int]
    ) -> None:
        values = {"alice": alice.user.id, "tenant": alice.tenant.id, "request": changes[0].request_id}
        named = [argument.format(**values) for argument in arguments]

        listed = run("audit", "list", *named, "--json").document

        assert [item["id"] for item in listed["items"]] == [changes[number].pk for number in chosen]
        assert [row[0] for row in run("audit", "list", *named).rows] == [str(changes[number].pk) for number in chosen]

    def test_pages_have_every_entry_once(self, changes: list[AuditEntry]) -> None:
        first = run("audit", "list", "--limit", "3", "--json").document
        rest = run("audit", "list", "--after", first["next"], "--json").document

        ids = list(AuditEntry.objects.order_by("-id").values_list("id", flat=True))
        assert [item["id"] for item in (*first["items"], *rest["items"])] == ids

    def test_entry_is_shown_with_each_field_before_and_after(self, changes: list[AuditEntry], alice: Person) -> None:
        out = run("audit", "show", str(changes[1].pk)).out

        assert out.endswith('description  "hers"  "ours"\n')
        document = run("audit", "show", str(changes[0].pk), "--json").document
        assert (document["actor_id"], document["actor_name"]) == (alice.user.id, "alice")
        assert run("audit", "show", "999999999").status == ExitCode.NOT_FOUND

    def test_export_has_a_line_for_each_entry_oldest_first(self, changes: list[AuditEntry], tmp_path: Path) -> None:
        file = tmp_path / "audit.jsonl"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(audit_entries, "_SLICE", 2)
            assert run("audit", "export", "--output", str(file)) == Outcome(0, "", "")

        exported = [json.loads(line) for line in file.read_text().splitlines()]
        others = AuditEntry.objects.exclude(action="audit.export")
        assert [item["id"] for item in exported] == list(others.order_by("id").values_list("id", flat=True))
        assert file.stat().st_mode & 0o777 == 0o600
        assert run("audit", "export", "--output", str(file)).status == ExitCode.REFUSED, "it is there already"
        some = run("audit", "export", "--action", "tenant.update").out
        assert [json.loads(line)["id"] for line in some.splitlines()] == [change.pk for change in changes]
        assert run("audit", "export", "--action", "none").out == ""

    def test_export_is_in_the_log_with_its_filter_and_number(self, changes: list[AuditEntry]) -> None:
        run("audit", "export", "--action", "tenant.update", "--since", "2026-01-31T12:00:00Z")

        entry = AuditEntry.objects.get(action="audit.export")
        filters = "action=tenant.update&since=2026-01-31 12:00:00+00:00"
        assert entry.after == {"format": "jsonl", "filter": filters, "entries": len(changes)}
        assert entry.actor_label == "manage.py audit export"

    def test_interrupted_export_is_in_the_log_with_what_was_written(self) -> None:
        class ClosedPipe(StringIO):
            def write(self, text: str) -> int:
                if self.getvalue():
                    raise BrokenPipeError
                return super().write(text)

        with pytest.raises(BrokenPipeError):
            call_command("audit", "export", stdout=ClosedPipe())

        after = AuditEntry.objects.get(action="audit.export").after
        assert after == {"format": "jsonl", "filter": "", "entries": 1}

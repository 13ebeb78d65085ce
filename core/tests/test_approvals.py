"""Approvals: when workers' rows end the wait of a change, and which rows are deleted."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from core import approvals, epoch, primary
from core.models import Approval, Epoch
from core.tests.changes import Waits, change

pytestmark = pytest.mark.django_db


def note(worker: str, reached: int, *, is_vouched_for: bool = True) -> None:
    approvals.note(worker, reached, server=primary.server(), is_vouched_for=is_vouched_for)


def workers() -> dict[str, int]:
    """Return the epochs that workers have noted."""
    return dict(Approval.objects.values_list("worker", "epoch"))


@pytest.fixture(autouse=True)
def _used() -> None:
    approvals.use(True)


class TestRead:
    def test_epoch_that_every_worker_has_noted_is_approved(self) -> None:
        note("a", 7)
        note("b", 9)

        assert approvals.read().approved == 7
        note("a", 9)
        assert approvals.read().approved == 9

    def test_nothing_is_approved_without_a_worker(self) -> None:
        assert approvals.read().approved is None

    def test_nothing_is_approved_while_a_worker_does_not_vouch_for_the_server(self) -> None:
        """It may have taken over from another within the last lease, and lack rows of that one."""
        note("a", 7)
        note("b", 7, is_vouched_for=False)

        assert approvals.read().approved is None
        assert not approvals.read(7).has_outdated

    def test_nothing_is_approved_on_a_server_that_took_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        note("a", 7)
        monkeypatch.setattr(primary, "server", lambda: "another")

        assert approvals.read().approved is None

    def test_nothing_is_approved_beside_workers_of_the_version_before(self) -> None:
        """They have leases and no rows."""
        note("a", 7)
        approvals.use(False)

        assert approvals.read().approved is None

    def test_it_takes_one_round_trip(self) -> None:
        note("a", 7)
        with CaptureQueriesContext(connection) as captured:
            approvals.read()

        assert len(captured) == 1


class TestOutdatedRows:
    def test_rows_that_have_not_reached_the_epoch_are_deleted(self) -> None:
        note("gone", 6)
        note("late", 7, is_vouched_for=False)
        note("a", 8)

        assert approvals.read(8).has_outdated
        assert approvals.delete_outdated(8, primary.server()) == 2

        assert workers() == {"a": 8}
        assert approvals.read(8) == (primary.server(), 8, False)

    def test_rows_of_a_former_primary_are_deleted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        note("a", 12)
        monkeypatch.setattr(primary, "server", lambda: "another")
        note("a again", 8)
        note("b", 8, is_vouched_for=False)

        assert approvals.read(8).has_outdated
        approvals.delete_outdated(8, "another")

        assert workers() == {"a again": 8, "b": 8}

    def test_nothing_is_deleted_on_a_server_that_took_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        note("a", 6)
        before = primary.server()
        monkeypatch.setattr(primary, "server", lambda: "another")

        assert approvals.delete_outdated(8, before) == 0

    def test_deleted_worker_notes_anew(self) -> None:
        note("a", 6)
        approvals.delete_outdated(8, primary.server())

        note("a", 8)

        assert workers() == {"a": 8}


class TestNote:
    def test_epoch_of_another_server_is_not_noted(self) -> None:
        with pytest.raises(OperationalError, match="another server"):
            approvals.note("a", 7, server="another", is_vouched_for=True)

        assert workers() == {}


@pytest.mark.usefixtures("things")
class TestSweep:
    def test_rows_of_workers_that_are_gone_are_deleted(self, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
        for worker in ("gone", "a", "b"):
            note(worker, epoch.current())

        def living_workers_note(seconds: float) -> None:
            for worker in ("a", "b"):
                note(worker, epoch.current())

        monkeypatch.setattr(waits, "sleep", living_workers_note)

        assert approvals.sweep() == 1
        assert workers() == {"a": 1, "b": 1}

    def test_nothing_is_written_without_rows(self, waits: Waits) -> None:
        assert approvals.sweep() == 0
        assert (epoch.current(), waits.seconds) == (0, [])


@pytest.mark.usefixtures("things")
class TestWait:
    def test_wait_is_for_the_last_epoch_of_a_block(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            change("key_1")
            change("key_2")

        assert (wait.epoch, wait.server) == (2, primary.server())
        wait.end()
        assert wait.seconds_left == 0

    def test_wait_without_an_epoch_lasts_a_lease_whatever_follows(self, waits: Waits) -> None:
        with epoch.defer_wait() as wait:
            wait.require()
            change("key_1")

        assert wait.epoch is None
        assert wait.seconds_left == epoch.PROPAGATION_SECONDS

    def test_wait_for_epochs_of_two_servers_lasts_a_lease(self, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
        with epoch.defer_wait() as wait:
            change("key_1")
            monkeypatch.setattr(primary, "server", lambda: "another")
            change("key_2")

        assert wait.epoch is None


class TestUse:
    @pytest.fixture
    def run(self) -> Callable[..., str]:
        def run(*arguments: str) -> str:
            out = StringIO()
            call_command(*arguments, stdout=out)
            return out.getvalue().strip()

        return run

    def test_operator_turns_approvals_on_and_off(self, run: Callable[..., str]) -> None:
        assert run("approvals", "off") == run("approvals") == "off"
        assert run("approvals", "on") == run("approvals") == "on"

    def test_epoch_stays_as_it_is(self) -> None:
        Epoch.objects.update(value=7)

        approvals.use(False)

        assert epoch.current() == 7

    @pytest.mark.django_db(transaction=True)
    def test_migrate_says_how_to_turn_them_on_in_a_database_that_was_served(self, run: Callable[..., str]) -> None:
        approvals.use(False)

        assert run("migrate", "common").endswith("manage.py approvals on")
        assert not approvals.are_used()


@pytest.mark.usefixtures("things")
class TestWaitForChangesOfOthers:
    def test_it_lasts_as_long_as_the_wait_of_the_change(self, waits: Waits) -> None:
        change("key_1")

        approvals.wait_for_changes_of_others()

        assert waits.seconds == [epoch.PROPAGATION_SECONDS] * 2

    def test_it_is_for_the_newest_epoch(self, waits: Waits) -> None:
        change("key_1")
        change("key_2")

        with epoch.defer_wait() as wait:
            approvals.wait_for_changes_of_others()

        assert (wait.epoch, wait.server) == (2, primary.server())

    @pytest.mark.parametrize("reached", [1, 2])
    def test_it_is_over_when_every_worker_has_approved(self, waits: Waits, reached: int) -> None:
        with epoch.defer_wait():
            change("key_1")
            change("key_2")
        note("a", 2)
        note("b", reached)

        approvals.wait_for_changes_of_others()

        assert len(waits.seconds) == (0 if reached == 2 else 1)

    def test_approval_on_another_server_does_not_end_it(self, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
        with epoch.defer_wait():
            change("key_1")
        note("a", 1)
        servers = iter(["one", *["another"] * 5])
        monkeypatch.setattr(primary, "server", lambda: next(servers))

        approvals.wait_for_changes_of_others()

        assert len(waits.seconds) == 1

    def test_nothing_is_waited_for_before_the_first_change(self, waits: Waits) -> None:
        approvals.wait_for_changes_of_others()

        assert waits.seconds == []

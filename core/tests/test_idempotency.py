"""Requests that are sent twice and act once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.test.utils import override_settings
from time_machine import travel

from core import epoch, idempotency
from core.actor import Actor, ActorKind
from core.db import transactional, transactional_and_propagated
from core.errors import Conflict, Invalid
from core.idempotency import KeyReused, ResponseLost
from core.models import IdempotentResponse
from core.tests.models import Thing

pytestmark = pytest.mark.usefixtures("things")
ALICE = Actor(kind=ActorKind.USER, id="user_1", label="alice")
BOB = Actor(kind=ActorKind.USER, id="user_2", label="bob")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEPT = timedelta(minutes=10)
SECRET = "mmc_a secret shown once"


class Service:
    """A service that makes a thing each time it is called, and answers with a secret."""

    def __init__(self) -> None:
        self.calls = 0

    def act(self) -> dict[str, Any]:
        self.calls += 1
        return self._made(self.calls)

    @staticmethod
    @transactional
    def _made(number: int) -> dict[str, Any]:
        Thing.objects.create(id=str(number), name=str(number))
        return {"number": number, "secret": SECRET, "nested": [{"name": "小明"}, None]}

    def once(self, actor: Actor = ALICE, key: str = "a key", request: str = "POST /things", body: Any = None) -> Any:
        return idempotency.run_once(
            actor=actor, key=key, request=request, body=body or {"name": "x"}, operation=self.act
        )


@pytest.fixture
def service() -> Service:
    return Service()


class TestARepeat:
    def test_gets_the_same_answer_and_does_nothing(self, service: Service) -> None:
        first, second, third = (service.once() for _ in range(3))

        assert first == second == third == {"number": 1, "secret": SECRET, "nested": [{"name": "小明"}, None]}
        assert (service.calls, Thing.objects.count()) == (1, 1)

    def test_need_not_have_the_bodys_keys_in_the_same_order(self, service: Service) -> None:
        service.once(body={"a": 1, "b": {"c": 2, "d": 3}})
        service.once(body={"b": {"d": 3, "c": 2}, "a": 1})

        assert service.calls == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"body": {"name": "y"}},
            {"body": {"name": "x", "more": None}},
            {"body": ["name", "x"]},
            {"request": "POST /other-things"},
            {"request": "PUT /things"},
        ],
    )
    def test_that_is_none_is_refused(self, service: Service, other: dict[str, Any]) -> None:
        service.once()

        with pytest.raises(KeyReused):
            service.once(**other)

        assert service.calls == 1

    @pytest.mark.parametrize(
        ("actor", "key"),
        [(BOB, "a key"), (ALICE, "another key"), (ALICE, "A key"), (ALICE, "a key ")],
    )
    def test_by_another_or_under_another_key_is_a_request_of_its_own(
        self, service: Service, actor: Actor, key: str
    ) -> None:
        service.once()

        assert service.once(actor, key)["number"] == 2

    def test_kinds_of_actors_are_told_apart(self, service: Service) -> None:
        for kind in (ActorKind.INTERNAL, ActorKind.ANONYMOUS):
            service.once(Actor(kind=kind))

        assert service.calls == 2

    def test_comes_too_late_after_ten_minutes(self, service: Service) -> None:
        for minutes, number in ((0, 1), (9.99, 1), (10.01, 2), (20, 2)):
            with travel(NOON + timedelta(minutes=minutes), tick=False):
                assert service.once()["number"] == number

    def test_whose_answer_can_no_longer_be_read_is_not_carried_out_again(self, service: Service) -> None:
        service.once()

        with override_settings(ENCRYPTION_KEYS=(Fernet.generate_key().decode(),)), pytest.raises(ResponseLost):
            service.once()

        assert service.calls == 1


class TestAFailure:
    def test_leaves_no_answer_so_that_a_repeat_is_carried_out(self, service: Service) -> None:
        def fail() -> None:
            service.act()
            raise Conflict("not now")

        with pytest.raises(Conflict, match="not now"):
            idempotency.run_once(actor=ALICE, key="a key", request="POST /things", body={"name": "x"}, operation=fail)
        assert (IdempotentResponse.objects.count(), Thing.objects.count()) == (0, 0)

        assert service.once()["number"] == 2

    def test_to_keep_the_answer_undoes_the_change(self, service: Service) -> None:
        """Never a change whose secret nobody can be told again."""
        with pytest.raises(TypeError):
            idempotency.run_once(
                actor=ALICE, key="a key", request="POST /things", body={}, operation=lambda: [service.act(), object()]
            )

        assert (IdempotentResponse.objects.count(), Thing.objects.count()) == (0, 0)


class TestTheKey:
    @pytest.mark.parametrize("key", ["x", "x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "a b", "~!{}"])
    def test_may_be_any_printable_ascii(self, service: Service, key: str) -> None:
        assert service.once(key=key) == service.once(key=key)

    @pytest.mark.parametrize("key", ["", "x" * 256, "小明", "a\nb", "a\x00", "a\x7f", "\xa0"])
    def test_may_be_nothing_else(self, service: Service, key: str) -> None:
        with pytest.raises(Invalid) as refusal:
            service.once(key=key)

        assert list(refusal.value.errors) == ["Idempotency-Key"]
        assert service.calls == 0

    def test_and_actor_run_together_only_in_our_eyes(self, service: Service) -> None:
        """What tells two requests apart is not one text that two pairs could make."""
        service.once(Actor(kind=ActorKind.USER, id="user_1"), key="2key")
        service.once(Actor(kind=ActorKind.USER, id="user_12"), key="key")

        assert service.calls == 2


class TestAtRest:
    def test_nothing_of_it_can_be_read(self, service: Service) -> None:
        service.once(body={"name": "a name"})

        row = str(IdempotentResponse.objects.values().get())
        assert not any(text in row for text in (SECRET, "a key", "a name", "user_1", "things"))

    def test_what_is_kept_no_longer_is_swept(self, service: Service) -> None:
        with travel(NOON, tick=False):
            service.once(key="old")
        with travel(NOON + KEPT, tick=False):
            service.once(key="new")
        with travel(NOON + KEPT + timedelta(seconds=1), tick=False):
            assert idempotency.sweep() == 1
            assert service.once(key="new")["number"] == 2


class TestItsWait:
    @pytest.fixture
    def waits(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """What changes wait for, without the waiting."""
        waits: list[float] = []
        monkeypatch.setattr(epoch, "PROPAGATION_SECONDS", 0.26)
        monkeypatch.setattr(epoch.time, "sleep", waits.append)  # type: ignore[attr-defined]
        return waits

    def test_changes_inside_wait_for_their_lease_once(self, waits: list[float]) -> None:
        @transactional_and_propagated
        def invalidate() -> None:
            epoch.invalidate("key_1")

        def act() -> None:
            invalidate()
            invalidate()

        idempotency.run_once(actor=ALICE, key="a key", request="POST /things", body={}, operation=act)

        assert waits == [0.26]

    def test_a_repeat_waits_too(self, service: Service, waits: list[float]) -> None:
        """The first may be committed, and not yet in force everywhere."""
        service.once()
        assert waits == []

        service.once()

        assert waits == [0.26]


@pytest.mark.usefixtures("committed_things")
class TestAtOnce:
    def test_of_many_who_send_it_one_acts_and_all_get_its_answer(self, service: Service) -> None:
        ready = threading.Barrier(6, timeout=30)

        def send() -> Any:
            ready.wait()
            return service.once()

        answers = in_threads(6, send)

        assert answers == [answers[0]] * 6
        assert (service.calls, Thing.objects.count()) == (1, 1)

    def test_one_whose_twin_failed_acts_itself(self, service: Service) -> None:
        ready, numbers = threading.Barrier(2, timeout=30), iter((1, 2))

        def act() -> Any:
            if next(numbers) == 1:
                raise Conflict("not now")
            return service.act()

        def send() -> Any:
            ready.wait()
            try:
                return idempotency.run_once(actor=ALICE, key="a key", request="POST /things", body={}, operation=act)
            except Conflict:
                return None

        answers = in_threads(2, send)

        assert sum(answer is None for answer in answers) == 1
        assert Thing.objects.count() == 1


def in_threads(number: int, function: Callable[[], Any]) -> list[Any]:
    """Runs the function in so many threads, each on a connection of its own; the results."""

    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return [future.result(30) for future in [threads.submit(run) for _ in range(number)]]

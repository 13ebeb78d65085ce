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
from core.tests.changes import Waits
from core.tests.models import Thing
from tests.support.instances import WAIT

pytestmark = pytest.mark.usefixtures("things")
ALICE = Actor(kind=ActorKind.USER, id="user_1", label="alice")
BOB = Actor(kind=ActorKind.USER, id="user_2", label="bob")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEPT = timedelta(minutes=10)
SECRET = "mmc_a secret shown once"


class Service:
    """A service that creates a thing on each call, and returns a secret."""

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


class TestRepeat:
    def test_repeat_gets_the_same_response_and_does_nothing(self, service: Service) -> None:
        first, second, third = (service.once() for _ in range(3))

        assert first == second == third == {"number": 1, "secret": SECRET, "nested": [{"name": "小明"}, None]}
        assert (service.calls, Thing.objects.count()) == (1, 1)

    def test_order_of_keys_in_the_body_does_not_matter(self, service: Service) -> None:
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
    def test_different_request_with_the_same_key_is_refused(self, service: Service, other: dict[str, Any]) -> None:
        service.once()

        with pytest.raises(KeyReused):
            service.once(**other)

        assert service.calls == 1

    @pytest.mark.parametrize(
        ("actor", "key"),
        [(BOB, "a key"), (ALICE, "another key"), (ALICE, "A key"), (ALICE, "a key ")],
    )
    def test_other_actor_or_key_is_a_new_request(self, service: Service, actor: Actor, key: str) -> None:
        service.once()

        assert service.once(actor, key)["number"] == 2

    def test_kinds_of_actors_are_distinguished(self, service: Service) -> None:
        for kind in (ActorKind.INTERNAL, ActorKind.ANONYMOUS):
            service.once(Actor(kind=kind))

        assert service.calls == 2

    def test_repeat_after_ten_minutes_is_a_new_request(self, service: Service) -> None:
        for minutes, number in ((0, 1), (9.99, 1), (10.01, 2), (20, 2)):
            with travel(NOON + timedelta(minutes=minutes), tick=False):
                assert service.once()["number"] == number

    def test_unreadable_response_is_an_error_and_does_not_run_again(self, service: Service) -> None:
        service.once()

        with override_settings(ENCRYPTION_KEYS=(Fernet.generate_key().decode(),)), pytest.raises(ResponseLost):
            service.once()

        assert service.calls == 1


class TestFailure:
    def test_failed_operation_stores_nothing_and_can_be_repeated(self, service: Service) -> None:
        def fail() -> None:
            service.act()
            raise Conflict("not now")

        with pytest.raises(Conflict, match="not now"):
            idempotency.run_once(actor=ALICE, key="a key", request="POST /things", body={"name": "x"}, operation=fail)
        assert (IdempotentResponse.objects.count(), Thing.objects.count()) == (0, 0)

        assert service.once()["number"] == 2

    def test_failure_to_store_the_response_rolls_back(self, service: Service) -> None:
        """There is no change whose secret cannot be returned again."""
        with pytest.raises(TypeError):
            idempotency.run_once(
                actor=ALICE, key="a key", request="POST /things", body={}, operation=lambda: [service.act(), object()]
            )

        assert (IdempotentResponse.objects.count(), Thing.objects.count()) == (0, 0)


class TestIdempotencyKey:
    @pytest.mark.parametrize("key", ["x", "x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "a b", "~!{}"])
    def test_printable_ascii_is_accepted(self, service: Service, key: str) -> None:
        assert service.once(key=key) == service.once(key=key)

    @pytest.mark.parametrize("key", ["", "x" * 256, "小明", "a\nb", "a\x00", "a\x7f", "\xa0"])
    def test_other_text_is_refused(self, service: Service, key: str) -> None:
        with pytest.raises(Invalid) as refusal:
            service.once(key=key)

        assert list(refusal.value.errors) == ["Idempotency-Key"]
        assert service.calls == 0

    def test_key_and_actor_are_not_concatenated(self, service: Service) -> None:
        """Two pairs with the same concatenation are different requests."""
        service.once(Actor(kind=ActorKind.USER, id="user_1"), key="2key")
        service.once(Actor(kind=ActorKind.USER, id="user_12"), key="key")

        assert service.calls == 2


class TestStorage:
    def test_stored_row_reveals_nothing(self, service: Service) -> None:
        service.once(body={"name": "a name"})

        row = str(IdempotentResponse.objects.values().get())
        assert not any(text in row for text in (SECRET, "a key", "a name", "user_1", "things"))

    def test_expired_responses_are_swept(self, service: Service) -> None:
        with travel(NOON, tick=False):
            service.once(key="old")
        with travel(NOON + KEPT, tick=False):
            service.once(key="new")
        with travel(NOON + KEPT + timedelta(seconds=1), tick=False):
            assert idempotency.sweep() == 1
            assert service.once(key="new")["number"] == 2


class TestWait:
    def test_changes_inside_wait_once(self, waits: Waits) -> None:
        @transactional_and_propagated
        def invalidate() -> None:
            epoch.invalidate("key_1")

        def act() -> None:
            invalidate()
            invalidate()

        idempotency.run_once(actor=ALICE, key="a key", request="POST /things", body={}, operation=act)

        assert waits.seconds == [epoch.PROPAGATION_SECONDS]

    def test_repeat_waits_too(self, service: Service, waits: Waits) -> None:
        """The first request may be committed and still wait for workers."""
        service.once()
        assert waits.seconds == []

        service.once()

        assert waits.seconds == [epoch.PROPAGATION_SECONDS]


@pytest.mark.usefixtures("committed_things")
class TestConcurrency:
    def test_one_of_several_concurrent_requests_runs_and_all_get_its_response(self, service: Service) -> None:
        ready = threading.Barrier(6, timeout=WAIT)

        def send() -> Any:
            ready.wait()
            return service.once()

        answers = in_threads(6, send)

        assert answers == [answers[0]] * 6
        assert (service.calls, Thing.objects.count()) == (1, 1)

    def test_request_runs_if_the_concurrent_one_failed(self, service: Service) -> None:
        ready, numbers = threading.Barrier(2, timeout=WAIT), iter((1, 2))

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
    """Run the function in several threads, each on a connection of its own, and return the results."""

    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as threads:
        return [future.result(WAIT) for future in [threads.submit(run) for _ in range(number)]]

"""What a worker remembers of keys: bounded, forgotten by what it is about, and never what was outdated."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apikeys.tests.facts import StoppedClock, facts
from apikeys.verification import KeyFacts
from apikeys.verification import cache as memory
from apikeys.verification.cache import MAX_UNKNOWN, UNKNOWN_SECONDS, Memory

pytestmark = pytest.mark.embedded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    clock = StoppedClock()
    monkeypatch.setattr(memory, "time", clock)
    return clock


def remembering(**entries: KeyFacts | None) -> Memory:
    """A memory of these facts by digest."""
    made = Memory(100)
    for digest, known in entries.items():
        made.remember(digest, known, made.generation)
    return made


class TestFacts:
    def test_are_found_by_their_digest(self) -> None:
        one, two = facts("key_1"), facts("key_2")

        made = remembering(one=one, two=two)

        assert (made.get("one"), made.get("two"), made.get("three")) == (one, two, None)
        assert not made.is_unknown("one")

    def test_are_replaced_by_newer_ones(self) -> None:
        made = remembering(one=facts(key_name="old"))

        made.remember("one", facts(key_name="new"), made.generation)

        found = made.get("one")
        assert found is not None
        assert (found.key_name, len(made)) == ("new", 1)

    @pytest.mark.parametrize(
        ("subject", "left"),
        [("key_1", ["two", "three"]), ("agent_1", ["three"]), ("tenant_1", []), ("key_9", ["one", "two", "three"])],
    )
    def test_are_forgotten_by_key_agent_and_tenant(self, subject: str, left: list[str]) -> None:
        made = remembering(one=facts("key_1"), two=facts("key_2"), three=facts("key_3", "agent_2"))

        made.forget([subject])

        assert [digest for digest in ("one", "two", "three") if made.get(digest)] == left
        assert len(made) == len(left)

    def test_of_every_secret_of_a_key_are_forgotten(self) -> None:
        made = remembering(old=facts(rotated_secret_id=7), new=facts())

        made.forget(["key_1"])

        assert (made.get("old"), made.get("new")) == (None, None)

    def test_are_forgotten_once_when_several_of_their_subjects_are_named(self) -> None:
        made = remembering(one=facts())

        made.forget(["key_1", "agent_1", "tenant_1", "key_1"])

        assert len(made) == 0

    def test_that_took_the_place_of_others_can_be_forgotten_by_both(self) -> None:
        made = remembering(one=facts("key_1", "agent_1"))
        made.remember("one", facts("key_2", "agent_2"), made.generation)

        made.forget(["key_2"])
        made.forget(["key_1", "agent_1"])

        assert (made.get("one"), len(made)) == (None, 0)

    def test_are_all_forgotten_at_once(self) -> None:
        made = remembering(one=facts("key_1"), two=facts("key_2"), three=None)

        made.forget(None)

        assert (len(made), made.get("one"), made.is_unknown("three")) == (0, None, False)

    def test_beyond_the_bound_the_oldest_goes(self) -> None:
        made = Memory(3)
        for number in range(5):
            made.remember(f"digest {number}", facts(f"key_{number}"), made.generation)

        assert [number for number in range(5) if made.get(f"digest {number}")] == [2, 3, 4]
        assert len(made) == 3

    def test_what_had_to_go_can_still_be_invalidated(self) -> None:
        made = Memory(1)
        made.remember("one", facts("key_1"), made.generation)
        made.remember("two", facts("key_2"), made.generation)

        made.forget(["key_1", "key_2", "agent_1"])

        assert len(made) == 0

    @pytest.mark.parametrize("forgotten", [["key_1"], ["key_9"], [], None])
    def test_read_before_a_forgetting_are_not_kept_after_it(self, forgotten: list[str] | None) -> None:
        """The row may be what was to be forgotten: a look-up that raced the change."""
        made = remembering()
        before = made.generation

        made.forget(forgotten)
        made.remember("one", facts(), before)
        made.remember("two", None, before)

        assert (made.get("one"), made.is_unknown("two")) == (None, False)
        made.remember("one", facts(), made.generation)
        assert made.get("one") is not None


class TestUnknown:
    def test_is_remembered_briefly(self, clock: StoppedClock) -> None:
        made = remembering(one=None)

        clock.now += UNKNOWN_SECONDS - 0.01
        assert made.is_unknown("one")
        clock.now += 0.01
        assert not made.is_unknown("one")

    def test_takes_no_room_from_facts(self) -> None:
        made = Memory(2)
        made.remember("one", facts("key_1"), made.generation)
        made.remember("two", facts("key_2"), made.generation)
        for number in range(10):
            made.remember(f"unknown {number}", None, made.generation)

        assert (len(made), made.get("one") is None) == (2, False)

    def test_is_bounded_and_the_oldest_goes(self) -> None:
        made = Memory(1)
        for number in range(MAX_UNKNOWN + 2):
            made.remember(str(number), None, made.generation)

        assert [made.is_unknown(str(number)) for number in (0, 1, 2, MAX_UNKNOWN + 1)] == [False, False, True, True]

    def test_counts_again_from_when_it_was_last_seen(self, clock: StoppedClock) -> None:
        made = remembering(one=None)
        clock.now += UNKNOWN_SECONDS - 1
        made.remember("one", None, made.generation)

        clock.now += UNKNOWN_SECONDS - 1

        assert made.is_unknown("one")


DIGESTS = st.sampled_from([f"digest {number}" for number in range(6)])
KEYS = st.builds(
    facts,
    key_id=st.sampled_from(["key_1", "key_2", "key_3"]),
    agent_id=st.sampled_from(["agent_1", "agent_2"]),
    tenant_id=st.sampled_from(["tenant_1", "tenant_2"]),
)
SUBJECTS = st.lists(
    st.sampled_from(["key_1", "key_2", "key_3", "agent_1", "agent_2", "tenant_1", "tenant_2", "key_9"]), max_size=3
)
ROOM = 4


class Remembering(RuleBasedStateMachine):
    """Whatever is remembered and forgotten in whatever order, the memory is as a plain dict would be."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(ROOM)
        self.expected: OrderedDict[str, KeyFacts] = OrderedDict()
        self.outdated = -1

    @rule(digest=DIGESTS, found=KEYS)
    def remember(self, digest: str, found: KeyFacts) -> None:
        self.memory.remember(digest, found, self.memory.generation)
        if self.expected.pop(digest, None) is None and len(self.expected) == ROOM:
            self.expected.popitem(last=False)
        self.expected[digest] = found

    @rule(digest=DIGESTS, found=st.none() | KEYS)
    def remember_what_was_outdated(self, digest: str, found: KeyFacts | None) -> None:
        self.memory.remember(digest, found, self.outdated)

    @rule(subjects=SUBJECTS)
    def forget(self, subjects: list[str]) -> None:
        self.outdated = self.memory.generation
        self.memory.forget(subjects)
        for digest, found in list(self.expected.items()):
            if {*subjects} & {*found.subjects}:
                del self.expected[digest]

    @rule()
    def forget_everything(self) -> None:
        self.outdated = self.memory.generation
        self.memory.forget(None)
        self.expected.clear()

    @invariant()
    def remembers_exactly_that(self) -> None:
        assert {f"digest {number}": self.memory.get(f"digest {number}") for number in range(6)} == {
            f"digest {number}": self.expected.get(f"digest {number}") for number in range(6)
        }
        assert len(self.memory) == len(self.expected) <= ROOM


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True, database=None
)

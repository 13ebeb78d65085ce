"""The cache of key facts: bounded, invalidated by subject, and never outdated."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apikeys.tests.facts import StoppedClock, facts
from apikeys.verification import KeyFacts
from apikeys.verification import cache as cache_module
from apikeys.verification.cache import MAX_UNKNOWN, UNKNOWN_SECONDS, KeyCache

pytestmark = pytest.mark.embedded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    clock = StoppedClock()
    monkeypatch.setattr(cache_module, "time", clock)
    return clock


def cache_with(**entries: KeyFacts | None) -> KeyCache:
    """Return a cache with these facts by digest."""
    cache = KeyCache(100)
    for digest, known in entries.items():
        cache.set(digest, known, cache.generation)
    return cache


class TestFacts:
    def test_facts_are_found_by_digest(self) -> None:
        one, two = facts("key_1"), facts("key_2")

        cache = cache_with(one=one, two=two)

        assert (cache.get("one"), cache.get("two"), cache.get("three")) == (one, two, None)
        assert not cache.is_unknown("one")

    def test_facts_are_replaced_by_newer_ones(self) -> None:
        cache = cache_with(one=facts(key_name="old"))

        cache.set("one", facts(key_name="new"), cache.generation)

        found = cache.get("one")
        assert found is not None
        assert (found.key_name, len(cache)) == ("new", 1)

    @pytest.mark.parametrize(
        ("subject", "left"),
        [("key_1", ["two", "three"]), ("agent_1", ["three"]), ("tenant_1", []), ("key_9", ["one", "two", "three"])],
    )
    def test_facts_are_invalidated_by_key_agent_and_tenant(self, subject: str, left: list[str]) -> None:
        cache = cache_with(one=facts("key_1"), two=facts("key_2"), three=facts("key_3", "agent_2"))

        cache.invalidate([subject])

        assert [digest for digest in ("one", "two", "three") if cache.get(digest)] == left
        assert len(cache) == len(left)

    def test_facts_of_every_secret_of_a_key_are_invalidated(self) -> None:
        cache = cache_with(old=facts(rotated_secret_id=7), new=facts())

        cache.invalidate(["key_1"])

        assert (cache.get("old"), cache.get("new")) == (None, None)

    def test_facts_are_invalidated_by_several_of_their_subjects_at_once(self) -> None:
        cache = cache_with(one=facts())

        cache.invalidate(["key_1", "agent_1", "tenant_1", "key_1"])

        assert len(cache) == 0

    def test_replaced_facts_are_invalidated_by_old_and_new_subjects(self) -> None:
        cache = cache_with(one=facts("key_1", "agent_1"))
        cache.set("one", facts("key_2", "agent_2"), cache.generation)

        cache.invalidate(["key_2"])
        cache.invalidate(["key_1", "agent_1"])

        assert (cache.get("one"), len(cache)) == (None, 0)

    def test_everything_is_invalidated_at_once(self) -> None:
        cache = cache_with(one=facts("key_1"), two=facts("key_2"), three=None)

        cache.invalidate(None)

        assert (len(cache), cache.get("one"), cache.is_unknown("three")) == (0, None, False)

    def test_oldest_facts_are_evicted_beyond_the_maximum(self) -> None:
        cache = KeyCache(3)
        for number in range(5):
            cache.set(f"digest {number}", facts(f"key_{number}"), cache.generation)

        assert [number for number in range(5) if cache.get(f"digest {number}")] == [2, 3, 4]
        assert len(cache) == 3

    def test_full_cache_evicts_a_hundredth_at_once(self) -> None:
        cache = KeyCache(1000)
        for number in range(1001):
            cache.set(number, facts(f"key_{number}"), cache.generation)

        assert [number for number in range(1001) if cache.get(number)] == list(range(10, 1001))

    def test_evicted_facts_can_be_invalidated(self) -> None:
        cache = KeyCache(1)
        cache.set("one", facts("key_1"), cache.generation)
        cache.set("two", facts("key_2"), cache.generation)

        cache.invalidate(["key_1", "key_2", "agent_1"])

        assert len(cache) == 0

    @pytest.mark.parametrize("forgotten", [["key_1"], ["key_9"], [], None])
    def test_facts_read_before_an_invalidation_are_not_cached(self, forgotten: list[str] | None) -> None:
        """The row may be outdated, because the look-up raced the change."""
        cache = cache_with()
        before = cache.generation

        cache.invalidate(forgotten)
        cache.set("one", facts(), before)
        cache.set("two", None, before)

        assert (cache.get("one"), cache.is_unknown("two")) == (None, False)
        cache.set("one", facts(), cache.generation)
        assert cache.get("one") is not None


class TestUnknown:
    def test_unknown_key_is_cached_briefly(self, clock: StoppedClock) -> None:
        cache = cache_with(one=None)

        clock.now += UNKNOWN_SECONDS - 0.01
        assert cache.is_unknown("one")
        clock.now += 0.01
        assert not cache.is_unknown("one")

    def test_unknown_keys_evict_no_facts(self) -> None:
        cache = KeyCache(2)
        cache.set("one", facts("key_1"), cache.generation)
        cache.set("two", facts("key_2"), cache.generation)
        for number in range(10):
            cache.set(f"unknown {number}", None, cache.generation)

        assert (len(cache), cache.get("one") is None) == (2, False)

    def test_oldest_unknown_key_is_evicted_beyond_the_maximum(self) -> None:
        cache = KeyCache(1)
        for number in range(MAX_UNKNOWN + 2):
            cache.set(str(number), None, cache.generation)

        assert [cache.is_unknown(str(number)) for number in (0, 1, 2, MAX_UNKNOWN + 1)] == [False, False, True, True]

    def test_unknown_key_is_cached_anew_when_it_is_seen_again(self, clock: StoppedClock) -> None:
        cache = cache_with(one=None)
        clock.now += UNKNOWN_SECONDS - 1
        cache.set("one", None, cache.generation)

        clock.now += UNKNOWN_SECONDS - 1

        assert cache.is_unknown("one")


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


class CacheMachine(RuleBasedStateMachine):
    """A comparison of the cache with a plain dict, for any order of writes and invalidations."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = KeyCache(ROOM)
        self.expected: OrderedDict[str, KeyFacts] = OrderedDict()
        self.outdated = -1

    @rule(digest=DIGESTS, found=KEYS)
    def set(self, digest: str, found: KeyFacts) -> None:
        self.cache.set(digest, found, self.cache.generation)
        if self.expected.pop(digest, None) is None and len(self.expected) == ROOM:
            self.expected.popitem(last=False)
        self.expected[digest] = found

    @rule(digest=DIGESTS, found=st.none() | KEYS)
    def set_outdated(self, digest: str, found: KeyFacts | None) -> None:
        self.cache.set(digest, found, self.outdated)

    @rule(subjects=SUBJECTS)
    def invalidate(self, subjects: list[str]) -> None:
        self.outdated = self.cache.generation
        self.cache.invalidate(subjects)
        for digest, found in list(self.expected.items()):
            if {*subjects} & {*found.subjects}:
                del self.expected[digest]

    @rule()
    def invalidate_everything(self) -> None:
        self.outdated = self.cache.generation
        self.cache.invalidate(None)
        self.expected.clear()

    @invariant()
    def equals_the_dict(self) -> None:
        assert {f"digest {number}": self.cache.get(f"digest {number}") for number in range(6)} == {
            f"digest {number}": self.expected.get(f"digest {number}") for number in range(6)
        }
        assert len(self.cache) == len(self.expected) <= ROOM


TestAnyOrder = CacheMachine.TestCase
TestAnyOrder.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True, database=None
)

"""A worker's cache of key facts, bounded, and invalidated by their subjects: key, agent, tenant and owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable
from itertools import islice

from cachetools import TTLCache

from apikeys.verification.verdicts import KeyFacts

UNKNOWN_SECONDS = 5.0
MAX_UNKNOWN = 10_000
# This part of a full cache is evicted at once: to find its oldest entry, a dict passes over the places of those that
# were deleted before, so that one eviction at a time would take ever longer.
EVICTED_PART = 100


class KeyCache:
    """Facts by fingerprint, which stands for a secret. Reading takes no lock; writing and invalidating do.

    Beyond `max_entries` the oldest entries are evicted: the least recently used ones could only be known if reading
    took the lock. Fingerprints that name no key are cached apart and only briefly, because there is no end of them.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._facts: dict[Hashable, KeyFacts] = {}
        # A key has one or two fingerprints, and a tuple of one takes a quarter of a set's memory.
        self._of_key: dict[str, tuple[Hashable, ...]] = {}
        self._of_subject: dict[str, set[Hashable]] = {}  # of the other subjects, which many keys share
        self._unknown = TTLCache[Hashable, None](MAX_UNKNOWN, UNKNOWN_SECONDS, timer=time.monotonic)
        self._generation = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def generation(self) -> int:
        """The number of invalidations so far. Read it before the row whose facts are to be cached."""
        return self._generation

    def get(self, fingerprint: Hashable) -> KeyFacts | None:
        return self._facts.get(fingerprint)

    def is_unknown(self, fingerprint: Hashable) -> bool:
        """Return whether the fingerprint is cached as that of no key."""
        return fingerprint in self._unknown

    def set(self, fingerprint: Hashable, facts: KeyFacts | None, generation: int) -> None:
        """Cache facts that were read after `generation` was, or None for no key.

        Do nothing if anything was invalidated since, because the facts may be among it.
        """
        with self._lock:
            if generation != self._generation:
                return
            if facts is None:
                self._unknown[fingerprint] = None
            else:
                self._add(fingerprint, facts)

    def invalidate(self, subjects: Iterable[str] | None) -> None:
        """Remove the facts about these subjects; with None, remove everything."""
        with self._lock:
            self._generation += 1
            if subjects is None:
                for each in (self._facts, self._of_key, self._of_subject, self._unknown):
                    each.clear()
                return
            for subject in subjects:
                for fingerprint in {*self._of_key.get(subject, ()), *self._of_subject.get(subject, ())}:
                    self._remove(fingerprint)

    def _add(self, fingerprint: Hashable, facts: KeyFacts) -> None:
        if fingerprint in self._facts:
            self._remove(fingerprint)
        elif len(self._facts) >= self._max_entries:
            for oldest in list(islice(self._facts, max(1, self._max_entries // EVICTED_PART))):
                self._remove(oldest)
        self._facts[fingerprint] = facts
        self._of_key[facts.key_id] = (*self._of_key.get(facts.key_id, ()), fingerprint)
        for subject in {*facts.subjects[1:]}:
            self._of_subject.setdefault(subject, set()).add(fingerprint)

    def _remove(self, fingerprint: Hashable) -> None:
        facts = self._facts.pop(fingerprint)
        others = tuple(each for each in self._of_key.pop(facts.key_id) if each != fingerprint)
        if others:
            self._of_key[facts.key_id] = others
        for subject in {*facts.subjects[1:]}:
            fingerprints = self._of_subject[subject]
            fingerprints.discard(fingerprint)
            if not fingerprints:
                del self._of_subject[subject]

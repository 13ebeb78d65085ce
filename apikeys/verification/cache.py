"""A worker's cache of key facts, bounded, and invalidated by key, agent and tenant."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable

from cachetools import FIFOCache, TTLCache

from apikeys.verification.verdicts import KeyFacts

UNKNOWN_SECONDS = 5.0
MAX_UNKNOWN = 10_000


class KeyCache:
    """Facts by fingerprint, which stands for a secret. Reading takes no lock; writing and invalidating do.

    Beyond `max_entries` the oldest entry is evicted: a least recently used one could only be known if reading took the
    lock. Fingerprints that name no key are cached apart and only briefly, because there is no end of them.
    """

    def __init__(self, max_entries: int) -> None:
        self._facts = _IndexedFacts(max_entries)
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
        try:
            return self._facts[fingerprint]
        except KeyError:  # the mapping's `get` would look twice, and another thread may invalidate in between
            return None

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
                self._facts[fingerprint] = facts

    def invalidate(self, subjects: Iterable[str] | None) -> None:
        """Remove the facts about these keys, agents or tenants; with None, remove everything."""
        with self._lock:
            self._generation += 1
            if subjects is None:
                self._facts.clear()
                self._unknown.clear()
                return
            for subject in subjects:
                self._facts.remove_all_of(subject)


class _IndexedFacts(FIFOCache[Hashable, KeyFacts]):
    """Facts by fingerprint, with an index of the fingerprints of each key, agent and tenant."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._fingerprints_of: dict[str, set[Hashable]] = {}

    def __setitem__(self, fingerprint: Hashable, facts: KeyFacts) -> None:
        if fingerprint in self:
            del self[fingerprint]
        super().__setitem__(fingerprint, facts)
        for subject in facts.subjects:
            self._fingerprints_of.setdefault(subject, set()).add(fingerprint)

    def __delitem__(self, fingerprint: Hashable) -> None:
        """Remove an entry; evictions come here, too."""
        facts = self[fingerprint]
        super().__delitem__(fingerprint)
        for subject in facts.subjects:
            fingerprints = self._fingerprints_of[subject]
            fingerprints.discard(fingerprint)
            if not fingerprints:
                del self._fingerprints_of[subject]

    def clear(self) -> None:
        super().clear()
        self._fingerprints_of.clear()

    def remove_all_of(self, subject: str) -> None:
        for fingerprint in list(self._fingerprints_of.get(subject, ())):
            del self[fingerprint]

"""What a worker remembers of keys, bounded, and forgotten by what it is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterable

from apikeys.verification.verdicts import KeyFacts

UNKNOWN_SECONDS = 5.0
MAX_UNKNOWN = 10_000


class Memory:
    """Facts by fingerprint, which is whatever the caller tells secrets apart by. Reading takes no lock; writing and
    forgetting do.

    When there are `max_entries`, the oldest goes. A fingerprint that names no key is remembered apart, and
    only briefly: there is no end of them.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._facts: dict[Hashable, KeyFacts] = {}
        self._unknown: dict[Hashable, float] = {}
        self._fingerprints_of: dict[str, set[Hashable]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def generation(self) -> int:
        """Counts the forgettings. To be read before the row that is to be remembered."""
        return self._generation

    def get(self, fingerprint: Hashable) -> KeyFacts | None:
        """What is remembered of a fingerprint."""
        return self._facts.get(fingerprint)

    def is_unknown(self, fingerprint: Hashable) -> bool:
        """Whether the fingerprint is remembered to name no key."""
        return self._unknown.get(fingerprint, 0.0) > time.monotonic()

    def remember(self, fingerprint: Hashable, facts: KeyFacts | None, generation: int) -> None:
        """Keeps facts (None: that there are none) that were read after `generation` was.

        Not if anything was forgotten since: what was read may be what was to be forgotten.
        """
        with self._lock:
            if generation != self._generation:
                return
            if facts is None:
                if len(self._unknown) >= MAX_UNKNOWN:
                    self._unknown.pop(next(iter(self._unknown)))
                self._unknown[fingerprint] = time.monotonic() + UNKNOWN_SECONDS
                return
            if fingerprint in self._facts:
                self._drop(fingerprint)
            elif len(self._facts) >= self._max_entries:
                self._drop(next(iter(self._facts)))
            self._facts[fingerprint] = facts
            for subject in facts.subjects:
                self._fingerprints_of.setdefault(subject, set()).add(fingerprint)

    def forget(self, subjects: Iterable[str] | None) -> None:
        """Forgets all that is about these keys, agents or tenants; with None, everything."""
        with self._lock:
            self._generation += 1
            if subjects is None:
                self._facts, self._unknown, self._fingerprints_of = {}, {}, {}
                return
            for subject in subjects:
                for fingerprint in list(self._fingerprints_of.get(subject, ())):
                    self._drop(fingerprint)

    def _drop(self, fingerprint: Hashable) -> None:
        facts = self._facts.pop(fingerprint)
        for subject in facts.subjects:
            fingerprints = self._fingerprints_of[subject]
            fingerprints.discard(fingerprint)
            if not fingerprints:
                del self._fingerprints_of[subject]

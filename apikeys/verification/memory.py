"""What a worker remembers of keys, bounded, and forgotten by what it is about."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from apikeys.verification.verdicts import KeyFacts

UNKNOWN_SECONDS = 5.0
MAX_UNKNOWN = 10_000


class Memory:
    """Facts by digest. Reading takes no lock; writing and forgetting do.

    When there are `max_entries`, the oldest goes. A digest that names no key is remembered apart, and
    only briefly: there is no end of them.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._facts: dict[str, KeyFacts] = {}
        self._unknown: dict[str, float] = {}
        self._digests_of: dict[str, set[str]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def generation(self) -> int:
        """Counts the forgettings. To be read before the row that is to be remembered."""
        return self._generation

    def get(self, digest: str) -> KeyFacts | None:
        """What is remembered of a digest."""
        return self._facts.get(digest)

    def is_unknown(self, digest: str) -> bool:
        """Whether the digest is remembered to name no key."""
        return self._unknown.get(digest, 0.0) > time.monotonic()

    def remember(self, digest: str, facts: KeyFacts | None, generation: int) -> None:
        """Keeps facts (None: that there are none) that were read after `generation` was.

        Not if anything was forgotten since: what was read may be what was to be forgotten.
        """
        with self._lock:
            if generation != self._generation:
                return
            if facts is None:
                if len(self._unknown) >= MAX_UNKNOWN:
                    self._unknown.pop(next(iter(self._unknown)))
                self._unknown[digest] = time.monotonic() + UNKNOWN_SECONDS
                return
            if digest in self._facts:
                self._drop(digest)
            elif len(self._facts) >= self._max_entries:
                self._drop(next(iter(self._facts)))
            self._facts[digest] = facts
            for subject in facts.subjects:
                self._digests_of.setdefault(subject, set()).add(digest)

    def forget(self, subjects: Iterable[str] | None) -> None:
        """Forgets all that is about these keys, agents or tenants; with None, everything."""
        with self._lock:
            self._generation += 1
            if subjects is None:
                self._facts, self._unknown, self._digests_of = {}, {}, {}
                return
            for subject in subjects:
                for digest in list(self._digests_of.get(subject, ())):
                    self._drop(digest)

    def _drop(self, digest: str) -> None:
        facts = self._facts.pop(digest)
        for subject in facts.subjects:
            digests = self._digests_of[subject]
            digests.discard(digest)
            if not digests:
                del self._digests_of[subject]

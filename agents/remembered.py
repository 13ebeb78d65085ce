"""What a worker remembers of what it has worked out, up to a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values by key, of a bounded weight in all: the least recently used are forgotten first."""

    def __init__(self, max_weight: int, *, weigh: Callable[[V], int]) -> None:
        self._max_weight, self._weigh = max_weight, weigh
        self._lock = threading.Lock()
        self._found: OrderedDict[K, V] = OrderedDict()
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return the value, or None."""
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: K, value: V) -> None:
        """Remember a value, unless there is one for this key."""
        with self._lock:
            if key in self._found:
                return
            self._found[key] = value
            self._weight += self._weigh(value)
            while self._weight > self._max_weight:
                _key, forgotten = self._found.popitem(last=False)
                self._weight -= self._weigh(forgotten)

"""The people and things that the tests of a module share, because making them takes longer than most tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tests.support.operators import sign_in
from tests.support.people import join, make_agent, register

Makers = Mapping[str, Callable[["Shared"], Any]]


class Shared(dict[str, Any]):
    """The people and things that a test knows, by the names of their fixtures. Each is made when first asked for."""

    def __init__(self, makers: Makers, made: Mapping[str, Any]) -> None:
        super().__init__(made)
        self._makers = makers

    def __missing__(self, name: str) -> Any:
        self[name] = self._makers[name](self)
        return self[name]


def _register_bob(shared: Shared) -> Any:
    bob = register("bob")
    join(bob, shared["alice"].tenant)
    return bob


# In the order in which they are made: each after those that it needs.
_MAKERS: Makers = {
    "alice": lambda shared: register("alice"),
    "bob": _register_bob,
    "charlie": lambda shared: register("charlie"),
    "olivia": lambda shared: sign_in("olivia"),
    "agent": lambda shared: make_agent(shared["alice"].tenant),
}
# Those that do not need Alice. Others are shared only with the shared Alice, because a module may define its own.
WITHOUT_ALICE = ("charlie", "olivia")


def makers_of(module: ModuleType) -> Makers:
    """Return the functions that make what a module's tests may share, by fixture. A module adds its own in `SHARED`."""
    return {**_MAKERS, **getattr(module, "SHARED", {})}

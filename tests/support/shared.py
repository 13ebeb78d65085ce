"""The people and things that tests have in common, which the tests of a module share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.operators import sign_in
from tests.support.people import join, make_agent, register


class Shared(dict[str, Any]):
    """What a test knows, by the name of its fixture. Made when it is first asked for."""

    def __missing__(self, name: str) -> Any:
        self[name] = MAKERS[name](self)
        return self[name]


def _register_bob(known: Shared) -> Any:
    bob = register("bob")
    join(bob, known["alice"].tenant)
    return bob


# Each after those that it is made with.
MAKERS: dict[str, Callable[[Shared], Any]] = {
    "alice": lambda known: register("alice"),
    "bob": _register_bob,
    "charlie": lambda known: register("charlie"),
    "olivia": lambda known: sign_in("olivia"),
    "agent": lambda known: make_agent(known["alice"].tenant),
}
# Those that are made with Alice.
OF_ALICE = ("bob", "agent")

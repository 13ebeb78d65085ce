"""Services and their transactions (core.db): one that does not wait for workers calls none that does.

The one that does would raise RuntimeError, but only for the requests that come that far.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

SOURCES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not any(part.startswith(".") or part == "tests" for part in path.relative_to(ROOT).parts)
]


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions of all modules, without methods, and their places."""
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def name_of(node: ast.expr) -> str:
    """Return the last name of `a` or `a.b`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_decorated(function: ast.FunctionDef, decorator: str) -> bool:
    return decorator in map(name_of, function.decorator_list)


def called_by(function: ast.FunctionDef) -> set[str]:
    return {name_of(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}


FUNCTIONS = list(functions())


def test_no_service_without_a_wait_calls_one_with_a_wait() -> None:
    waiting = {
        function.name for _place, function in FUNCTIONS if is_decorated(function, "transactional_and_propagated")
    }
    while more := {function.name for _place, function in FUNCTIONS if called_by(function) & waiting} - waiting:
        waiting |= more  # by way of another
    assert {"update_key", "disable_key"} <= waiting

    assert {
        place: sorted(called_by(function) & waiting)
        for place, function in FUNCTIONS
        if is_decorated(function, "transactional") and called_by(function) & waiting
    } == {}

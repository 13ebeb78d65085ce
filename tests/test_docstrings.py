"""Docstrings that begin plainly: a function's with a verb, a class's or module's with a noun."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).resolve().parent.parent
# A docstring that begins with one of these words lacks the verb or noun that would name its subject.
OBLIQUE = frozenset(
    {"What", "Whether", "Who", "Whose", "How", "Why", "Where", "When", "Which", "As", "Of", "Those", "That"}
)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def oblique_docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and first words of each docstring that begins obliquely."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Documented):
            continue
        docstring = ast.get_docstring(node)
        if docstring and docstring.split()[0].strip(".,:;`") in OBLIQUE:
            yield node.body[0].lineno, docstring[:60]


def test_no_docstring_begins_obliquely() -> None:
    files = [
        path for path in ROOT.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]

    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in sorted(files)
        for line, words in oblique_docstrings(path.read_text())
    ]

    assert found == []


def test_oblique_docstring_is_found_anywhere() -> None:
    text = '"""What this is."""\nclass A:\n    """Whose it is."""\n    def f(self):\n        """Return it."""\n'

    assert [line for line, _words in oblique_docstrings(text)] == [1, 3]

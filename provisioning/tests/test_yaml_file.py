"""The strict reader of YAML."""

from __future__ import annotations

import time
from typing import Any

import pytest

from provisioning.yaml_file import MAX_BYTES, InvalidFile, load

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: [1, -2, 0.5, 1e3, true, null, ~]", {"a": [1, -2, 0.5, 1000.0, True, None, None]}),
        ("a: no\nb: 12:30\nc: 2027-01-31\nd: 007\ne: 0x1f\nf: 1_000", {"a": "no", "b": "12:30", "c": "2027-01-31",
         "d": "007", "e": "0x1f", "f": "1_000"}),
        ("a: '1'\nb: \"true\"\nc: |\n  two\n  lines\n", {"a": "1", "b": "true", "c": "two\nlines\n"}),
        ("1: x\n<<: y", {"1": "x", "<<": "y"}),
        ("\ufeff客服: 好", {"客服": "好"}),
        ("- a\n- {}", ["a", {}]),
        ("", None),
    ],
)  # fmt: skip
def test_values_are_what_json_has(text: str, value: Any) -> None:
    assert load(text.encode()).value == value


def test_each_value_has_its_line() -> None:
    document = load(b"a:\n  - b: 1\n    c:\n      - 2\n\nd: 3")

    assert document.lines[("a", 0, "c", 0)] == 4
    assert document.lines[("d",)] == 6
    assert document.problem(("a", 0, "missing", "too"), "x").line == 2


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' occurs twice"),
        ("a: &x [1]\nb: *x", 1, "anchors and aliases"),
        ("a: !!python/object/apply:os.system ['false']", 1, "tags"),
        ("a: !x 1", 1, "tags"),
        ("a: 1\n---\nb: 2", 2, "one document"),
        ("? [a]\n: b", 1, "a key must be text"),
        ("a: }", 1, "not YAML"),
        ("a:\n\tb: 1", 2, "not YAML"),
        ("a: \x00", None, "not YAML"),
        ('a: "\\0"', None, "NUL"),
        ("a: 9223372036854775808", 1, "does not fit in 64 bits"),
        ("a: 1e999", 1, "does not fit in 64 bits"),
        ("[" * 60 + "]" * 60, 1, "nested deeper"),
    ],
)
def test_what_has_no_one_meaning_is_refused(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        load(text.encode())

    (problem,) = refused.value.problems
    assert problem.line == line
    assert reason in problem.sentence


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidFile, match="not UTF-8 at byte 3"):
        load(b"a: \xff")


def test_large_files_are_refused_soon() -> None:
    bomb = "a: &a [x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    started = time.process_time()

    for raw in (b"x" * (MAX_BYTES + 1), b"[" + b"1," * 200_000 + b"]", b"[" * MAX_BYTES, bomb.encode()):
        with pytest.raises(InvalidFile):
            load(raw)

    assert time.process_time() - started < 10

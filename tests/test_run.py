"""The passes of `make test`: which tests they run, what fails a run, and which passes may have no tests."""

from __future__ import annotations

import signal
from itertools import product

import pytest

from tests import run

pytestmark = pytest.mark.embedded

ALWAYS_FULL = run.Plan("a pass", [], "")
MAYBE_EMPTY = ALWAYS_FULL._replace(may_be_empty=True)
MARKS = (run.EMBEDDED, run.SINGLE, run.HEAVY)


def all_plans(arguments: list[str]) -> list[run.Plan]:
    """Return the passes of a run with servers of its own, with given ones, and without."""
    with_servers = [plan for given in (False, True) for plan in run.plans_of(arguments, on_given_servers=given)]
    return [*with_servers, run.without_servers(arguments)]


def passes_of(arguments: list[str], marks: set[str]) -> set[str]:
    """Return what the passes of a run choose, of those that choose a test with these marks."""
    has = {mark: mark in marks for mark in MARKS}
    return {plan.chosen for plan in run.plans_of(arguments, on_given_servers=False) if eval(plan.chosen, {}, has)}


@pytest.mark.parametrize(
    "marks",
    [{mark for mark, has in zip(MARKS, each, strict=True) if has} for each in product([False, True], repeat=3)],
    ids=lambda marks: " ".join(sorted(marks)) or "none",
)
def test_each_test_runs_once_and_heavy_ones_are_left_to_the_heavy_run(marks: set[str]) -> None:
    is_heavy = run.HEAVY in marks

    assert len(passes_of([], marks)) == (0 if is_heavy else 1)
    assert len(passes_of(["--heavy"], marks)) == (1 if is_heavy or not marks else 0)


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_pass_that_a_signal_killed_fails_the_run(may_be_empty: bool) -> None:
    assert (
        run.exit_code([(ALWAYS_FULL, 0), (ALWAYS_FULL._replace(may_be_empty=may_be_empty), -signal.SIGKILL)])
        == 128 + signal.SIGKILL
    )


def test_pass_without_tests_fails_the_run_unless_it_may_be_empty() -> None:
    assert run.exit_code([(ALWAYS_FULL, 0), (ALWAYS_FULL, run.NO_TESTS)]) == run.NO_TESTS
    assert run.exit_code([(MAYBE_EMPTY, 0), (MAYBE_EMPTY, run.NO_TESTS)]) == 0
    assert run.exit_code([(MAYBE_EMPTY, 1), (MAYBE_EMPTY, run.NO_TESTS)]) == 1


def test_named_tests_of_which_no_pass_finds_any_fail_the_run() -> None:
    assert run.exit_code([(MAYBE_EMPTY, run.NO_TESTS), (MAYBE_EMPTY, run.NO_TESTS)]) == run.NO_TESTS


@pytest.mark.parametrize("arguments", [[], ["--heavy"]], ids=["make test", "make test-heavy"])
def test_no_pass_of_a_whole_run_may_be_empty(arguments: list[str]) -> None:
    assert [plan.title for plan in all_plans(arguments) if plan.may_be_empty] == []


def test_passes_of_named_tests_may_be_empty() -> None:
    assert [plan.title for plan in all_plans(["tests/test_run.py"]) if not plan.may_be_empty] == []

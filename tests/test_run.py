"""The passes of `make test`: what fails a run, and which passes may have no tests."""

from __future__ import annotations

import signal

import pytest

from tests import run

pytestmark = pytest.mark.embedded


def all_plans(arguments: list[str]) -> list[run.Plan]:
    """Return the passes of a run with servers of its own, with given ones, and without."""
    with_servers = [plan for given in (False, True) for plan in run.plans_of(arguments, on_given_servers=given)]
    return [*with_servers, run.without_servers(arguments)]


@pytest.mark.parametrize("may_be_empty", [False, True])
def test_pass_that_a_signal_killed_fails_the_run(may_be_empty: bool) -> None:
    code = run.exit_code(-signal.SIGKILL, may_be_empty=may_be_empty)

    assert max([0, code]) == 128 + signal.SIGKILL


def test_pass_without_tests_fails_unless_it_may_be_empty() -> None:
    assert run.exit_code(run.NO_TESTS, may_be_empty=False) == run.NO_TESTS
    assert run.exit_code(run.NO_TESTS, may_be_empty=True) == 0
    assert run.exit_code(1, may_be_empty=True) == 1


@pytest.mark.parametrize("arguments", [[], ["--heavy"]], ids=["make test", "make test-heavy"])
def test_no_pass_of_a_whole_run_may_be_empty(arguments: list[str]) -> None:
    assert [plan.title for plan in all_plans(arguments) if plan.may_be_empty] == []


def test_passes_of_named_tests_may_be_empty() -> None:
    assert [plan.title for plan in all_plans(["tests/test_run.py"]) if not plan.may_be_empty] == []

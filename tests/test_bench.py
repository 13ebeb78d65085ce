"""The benchmark: noise and failures of single cases do not spoil a run, and the page shows the committed results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from bench import __main__ as main
from bench import page, tables
from bench.case import Bound, Case
from bench.cases import cases
from bench.harness import Bench
from bench.load import Load, Measurement, Request, Wrong
from bench.report import Report
from bench.rounds import DJANGO, FULL, RSGI_JSON, Result, Round, Rounds
from bench.services import Services
from bench.sizes import FULL_SIZES
from bench.targets import TARGETS
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded
PLAN = replace(FULL, rounds=2, more_rounds=2)


def measured(per_second: float, p99_ms: float = 2.0) -> Measurement:
    return Measurement(requests=int(per_second), seconds=1, p50_ms=1, p99_ms=p99_ms, cpu_seconds=0.1)


class Servers:
    """References whose speeds a test has chosen: each measurement takes the next."""

    def __init__(self, *per_second: float) -> None:
        self._speeds = iter(per_second)

    def reference(self, name: str) -> str:
        return name

    def measure(self, server: str, load: Load, seconds: int, *, warm_up: bool = True) -> Measurement:
        return measured(next(self._speeds) if server == "django" else 20_000)


@pytest.fixture
def rounds(tmp_path: Path) -> Callable[..., Rounds]:
    return lambda *speeds: Rounds(cast(Services, Servers(*speeds)), PLAN, tmp_path)


def speeds(*per_second: float) -> Callable[[], Measurement]:
    each: Iterator[float] = iter(per_second)
    return lambda: measured(next(each))


class TestRounds:
    def test_rounds_on_a_busy_machine_are_repeated_and_do_not_count(self, rounds: Callable[..., Rounds]) -> None:
        result = rounds(8_000, 5_000, 5_000, 5_000).against_django(speeds(1_000, 10_000, 10_000))

        assert [each.is_steady for each in result.rounds] == [False, True, True]
        assert result.good == result.rounds[1:]
        assert result.ratio == 2

    def test_all_rounds_count_where_none_is_steady(self, rounds: Callable[..., Rounds]) -> None:
        result = rounds(8_000, 5_000, 8_000, 5_000, 8_000).against_django(speeds(*[6_500] * 4))

        assert result.steady == []
        assert len(result.good) == 4
        assert result.ratio == 1

    def test_reference_of_a_moment_ago_is_not_measured_again(self, rounds: Callable[..., Rounds]) -> None:
        measuring = rounds(*[8_000] * 5)

        measuring.against_django(speeds(1_000, 1_000))
        second = measuring.against_django(speeds(4_000, 4_000))

        assert second.ratio == 0.5


def result(per_second: float, p99_ms: float = 2.0) -> Result:
    """Return the result of one round beside a Django that does 1,000 requests a second."""
    one = Round(measured(1_000), measured(per_second, p99_ms), measured(1_000), {RSGI_JSON: measured(10_000)})
    return Result(DJANGO, [one])


class TestJudgement:
    case = Case(
        "a case", 0.5, lambda bench: result(0), Bound("p99 ms", 10, lambda result: result.rounds[0].case.p99_ms)
    )

    @pytest.mark.parametrize(("per_second", "p99_ms", "is_good"), [(500, 10, True), (499, 10, False), (500, 11, False)])
    def test_case_is_good_with_its_ratio_and_within_its_bound(
        self, per_second: float, p99_ms: float, is_good: bool
    ) -> None:
        assert self.case.is_good(result(per_second, p99_ms)) == is_good

    def test_exit_code_tells_what_is_slow_from_what_was_not_measured(self) -> None:
        report = Report(PLAN, {"case": self.case}, {})
        report.add("case", result(600), 1)
        assert report.exit_code == 0
        report.add("case", result(400), 1)
        assert report.exit_code == 1
        report.add_failure("other", "it timed out")
        assert report.exit_code == 2
        assert "other was not measured: it timed out" in tables.text(report.document)


class TestFailures:
    def attempt(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Result | Exception) -> object:
        pending = iter(outcomes)

        def run(bench: Bench) -> Result:
            outcome = next(pending)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(main, "failures", lambda: (Wrong, OSError))
        monkeypatch.setattr(main, "cases", lambda sizes: {"case": Case("a case", 0.5, run)})
        bench = type("NoServers", (), {"sizes": FULL_SIZES})
        return main._measured("case", cast(Bench, bench))

    def test_failed_case_is_measured_once_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        good = result(600)

        assert self.attempt(monkeypatch, TimeoutError("30 s"), good) == good

    def test_case_that_fails_again_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(Wrong, match="the second"):
            self.attempt(monkeypatch, Wrong("the first"), Wrong("the second"))


class TestDocuments:
    def test_page_shows_the_committed_results(self) -> None:
        text = page.PAGE.read_text()

        assert page.rewritten(text) == text, 'run: make bench ARGS="report"'

    def test_committed_results_have_every_case_and_all_are_good(self) -> None:
        document = page.read(page.RESULTS)

        assert set(document["cases"]) == set(cases(FULL_SIZES))
        assert not document["not_measured"]
        assert [name for name, case in document["cases"].items() if not case["is_good"]] == []

    def test_every_case_is_described(self) -> None:
        readme = (ROOT / "bench" / "README.md").read_text()

        assert [name for name in main.NAMES if f"`{name}`" not in readme] == []

    def test_every_target_is_of_a_case(self) -> None:
        assert set(TARGETS) <= set(cases(FULL_SIZES))


def test_request_is_one_line_however_its_body_is_written() -> None:
    request = Request("PUT", "/path", {"text": "a\nb\tc"}, {"If-None-Match": '"1"', "Accept": "*/*"})

    assert request.line() == 'PUT\t/path\tIf-None-Match: "1"\x1fAccept: */*\t{"text": "a\\nb\\tc"}'

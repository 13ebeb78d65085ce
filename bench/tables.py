"""The tables of results.json, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.cases import MEMORY, RESOLVE
from bench.rounds import RSGI_JSON
from bench.targets import TARGETS

MIB = 2**20
HEADINGS = ("case", "req/s", "p50 ms", "p99 ms", "CPU µs", "× Django", "× RSGI", "rounds", "ratio", "at least", "")
PEER_HEADINGS = (
    "one worker each, 10,000 keys",
    *("verifications/s", "× Django", "p50 ms", "p99 ms", "CPU µs", "of maim's rate", "20 agents/s"),
    *("refused after, ms", "at most", "answer, ms", "accepted after it"),
)
TARGET_HEADINGS = ("case", "before", "wanted", "now, req/s", "× Django", "CPU µs", "p99 ms", "")

Row = tuple[str, ...]


def text(document: dict[str, Any]) -> str:
    """Return everything in the document for the terminal."""
    meaning = f"× RSGI: to {RSGI_JSON}; rounds: those that count, of all that were measured"
    table = [plain(case_rows(document)), meaning] if document["cases"] else []
    return "\n\n".join([*table, *notes(document)])


def plain(rows: Sequence[Row]) -> str:
    """Return a table of plain text, with figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([title.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]).rstrip() for title, *figures in rows
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return a table in Markdown, with figures to the right."""
    heading, *others = rows
    marks = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heading, marks, *others))


def case_rows(document: dict[str, Any]) -> list[Row]:
    """Return a row for each case and each reference, after the headings."""
    return [
        HEADINGS,
        *map(_case_row, document["cases"].values()),
        *(_reference_row(name, figures) for name, figures in document.get("references", {}).items()),
    ]


def target_rows(document: dict[str, Any]) -> list[Row]:
    """Return a row for each target whose case was measured, after the headings."""
    rows: list[Row] = [TARGET_HEADINGS]
    for name, target in TARGETS.items():
        case = document["cases"].get(name)
        if case is not None:
            figures = _rate(case), f"{case['to_django']:.3f}", f"{case['cpu_us']:,}", f"{case['p99_ms']:,.1f}"
            rows.append((case["title"], target.before, target.wanted, *figures, "yes" if target.is_met(case) else "no"))
    return rows


def peer_rows(document: dict[str, Any]) -> list[Row]:
    """Return a row for each contestant, after the headings."""
    contestants = document["contestants"]
    maim, django = contestants["maim"], document["references"]["Django"]
    return [PEER_HEADINGS, *(_peer_row(each, maim, django) for each in contestants.values())]


def notes(document: dict[str, Any]) -> list[str]:
    """Return sentences about what is in no table."""
    unsteady = [case["title"] for case in document["cases"].values() if not case["is_steady"]]
    found = []
    if document["plan"]["rounds"] == 1:
        found.append("One short round with fewer keys: a first impression, not a measurement.")
    if unsteady:
        found.append(f"No round was steady, because the machine was busy, so all count: {', '.join(unsteady)}.")
    if MEMORY in document:
        found.append(_memory(document[MEMORY]))
    if RESOLVE in document:
        resolve = document[RESOLVE]
        found.append(
            f"To resolve a config takes {resolve['ms']:.2f} ms of processor time (at most {resolve['at_most']})."
        )
    # Without what is below the first line, such as a server's log.
    reasons = {name: reason.partition("\n")[0].rstrip(":") for name, reason in document["not_measured"].items()}
    found += [f"{name} was not measured: {reason}" for name, reason in reasons.items()]
    return found


def machine(document: dict[str, Any]) -> str:
    """Return a sentence about the machine, the versions and the time of a run."""
    made, versions = document["machine"], document["versions"]
    software = ", ".join(f"{name} {versions[name.lower()]}" for name in ("Python", "Django", "Granian", "MariaDB"))
    cores, memory = made["cores"], made["memory_bytes"] / 2**30
    return (
        f"{cores} cores ({made['processor']}), {memory:.0f} GiB, {software}; {document['started'][:10]}, "
        f"load average before: {made['load_average_before']:.1f}."
    )


def _case_row(case: dict[str, Any]) -> Row:
    to_rsgi = case["to_rsgi_json"]
    bound = "" if case["bound"] is None else f", {case['bound']['text']}: {case['bound']['value']:g}"
    return (
        case["title"],
        _rate(case),
        f"{case['p50_ms']:.2f}",
        f"{case['p99_ms']:.2f}",
        f"{case['cpu_us']:,}",
        f"{case['to_django']:.3f}",
        "" if to_rsgi is None else f"{to_rsgi:.3f}",
        f"{case['rounds_that_count']}/{len(case['rounds'])}",
        f"{case['ratio']:.3f}",
        f"{case['at_least']:g} × {case['compared_with']}{bound}",
        "ok" if case["is_good"] else "low",
    )


def _reference_row(name: str, figures: dict[str, float]) -> Row:
    row = f"reference: {name}", _rate(figures), f"{figures['p50_ms']:.2f}", f"{figures['p99_ms']:.2f}"
    return (*row, f"{figures['cpu_us']:,}", *[""] * (len(HEADINGS) - len(row) - 1))


def _peer_row(peer: dict[str, Any], maim: dict[str, Any], django: dict[str, Any]) -> Row:
    return (
        peer["title"],
        _rate(peer),
        f"{peer['per_second'] / django['per_second']:.3f}",
        f"{peer['p50_ms']:.1f}",
        f"{peer['p99_ms']:.1f}",
        f"{peer['cpu_us']:,}",
        f"{peer['per_second'] / maim['per_second']:.3f}",
        "" if peer["listing"] is None else _rate(peer["listing"]),
        f"{peer['refused_after_ms']:.1f}",
        f"{peer['refused_after_ms_at_most']:.1f}",
        f"{peer['answered_after_ms']:.1f}",
        str(peer["accepted_after_answer"]),
    )


def _rate(figures: dict[str, Any]) -> str:
    return f"{figures['per_second']:,.{0 if figures['per_second'] >= 100 else 1}f}"


def _memory(memory: dict[str, Any]) -> str:
    stages = ", ".join(
        f"{memory[stage][1] / MIB:.0f} MiB {when} {memory[f'keys_{stage}']:,} keys"
        for stage, when in (("before", "after"), ("full", "after"), ("after", "after"))
    )
    bounded = "bounded" if memory["is_good"] else "NOT bounded"
    return f"An internal worker's own memory: {stages}; {memory['own_bytes_per_key']:,} bytes a key, {bounded}."

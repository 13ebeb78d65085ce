"""The tables of docs/benchmarks.md, which are those of the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench import tables
from bench.databases import ROOT
from bench.tables import markdown

RESULTS = Path(__file__).with_name("results.json")
PEER_RESULTS = Path(__file__).with_name("peers") / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def write() -> None:
    """Rewrite the tables of the page."""
    PAGE.write_text(rewritten(PAGE.read_text()))


def rewritten(page: str) -> str:
    """Return the page with the tables of the committed results between its markers."""
    for name, content in _sections().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{content}\n\n{end}{after}"
    return page


def _sections() -> dict[str, str]:
    results, peers = read(RESULTS), read(PEER_RESULTS)
    return {
        "cases": "\n\n".join([tables.machine(results), markdown(tables.case_rows(results)), *tables.notes(results)]),
        "targets": markdown(tables.target_rows(results)),
        "peers": "\n\n".join([tables.machine(peers), markdown(tables.peer_rows(peers))]),
    }


def read(path: Path) -> dict[str, Any]:
    """Return the results in a file."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document

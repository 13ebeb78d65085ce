"""The harness of the cases: the servers, the load, and the comparison with Django."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.databases import Databases, Population
from bench.load import Load, Measurement
from bench.rounds import Result, Rounds
from bench.services import VALIDATE, Maim, Services

VALID = '"code":"VALID"'


class Bench:
    """The servers, databases and rounds that the cases use."""

    def __init__(self, directory: Path, databases: Databases, services: Services, rounds: Rounds) -> None:
        self.databases = databases
        self.services = services
        self.rounds = rounds
        self._directory = directory
        self._numbers = itertools.count()

    def load(self, path: str, keys: Iterable[str], expected: str, *, ordered: bool = False) -> Load:
        """Return a load of requests about these keys."""
        bodies = self.bodies({"api_key": key} for key in keys)
        return Load(path, bodies, expected=expected, ordered=ordered)

    def bodies(self, documents: Iterable[Mapping[str, Any]]) -> Path:
        """Return a file with these bodies."""
        path = self._directory / f"{next(self._numbers)}.bodies"
        path.write_text("\n".join(map(json.dumps, documents)))
        return path

    def reads(self, paths: Iterable[str], etags: Mapping[str, str] | None = None) -> Load:
        """Return a load of GET requests of these paths, with If-None-Match for those with an ETag."""
        lines = self._directory / f"{next(self._numbers)}.paths"
        lines.write_text("\n".join(f"{path}\t{(etags or {}).get(path, '')}" for path in paths))
        return Load("", lines, reads=True)

    def warm(self, population: Population) -> tuple[Maim, Load]:
        """Return a maim that has verified every key of a population, and the load that did it."""
        maim = self.services.maim(population)
        load = self.load(VALIDATE, maim.secrets, VALID)
        self.walk(maim, load)
        return maim, load

    def walk(self, maim: Maim, load: Load) -> None:
        """Send every request of a load once, and check the responses."""
        self.services.run_only(maim)
        load.walk(maim.base)

    def compared(
        self,
        maim: Maim,
        load: Load,
        check: Callable[[Measurement], None] = lambda measured: None,
        going_on: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> Result:
        """Compare a load with Django. Check each measurement, which runs inside the context `going_on`."""

        def measure() -> Measurement:
            self.services.run_only(maim)
            with going_on():
                measured = self.rounds.once(maim, load)
            check(measured)
            return measured

        return self.rounds.against_django(measure)

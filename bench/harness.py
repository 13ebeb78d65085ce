"""The harness of the cases: the servers, the load, and the comparison with Django."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bench.databases import Databases, Population
from bench.load import Load, Measurement, Request
from bench.rounds import Result, Rounds
from bench.services import VALIDATE, Maim, Service, Services
from bench.sizes import Sizes

VALID = '"code":"VALID"'


class Bench:
    """The servers, databases and rounds that the cases use."""

    def __init__(self, directory: Path, databases: Databases, services: Services, rounds: Rounds, sizes: Sizes) -> None:
        self.databases = databases
        self.services = services
        self.rounds = rounds
        self.sizes = sizes
        self._directory = directory
        self._numbers = itertools.count()

    def load(self, requests: Iterable[Request], **how: Any) -> Load:
        """Return a load of these requests; `how` as Load takes it."""
        return Load(self._directory / f"{next(self._numbers)}.requests", requests, **how)

    def asking(self, path: str, secrets: Iterable[str], expected: str, *, ordered: bool = False) -> Load:
        """Return a load of requests about the keys with these secrets."""
        requests = (Request("POST", path, {"api_key": secret}) for secret in secrets)
        return self.load(requests, expected=expected, ordered=ordered)

    def reading(self, paths: Iterable[str], etags: Mapping[str, str] | None = None, **how: Any) -> Load:
        """Return a load of GET requests of these paths, with If-None-Match for those with an ETag."""
        conditions = {path: {"If-None-Match": etag} for path, etag in (etags or {}).items()}
        return self.load((Request("GET", path, headers=conditions.get(path, {})) for path in paths), **how)

    def warm(self, population: Population) -> tuple[Maim, Load]:
        """Return a maim that has verified every key of a population, and the load that did it."""
        maim = self.services.maim(population)
        load = self.asking(VALIDATE, maim.secrets, VALID)
        self.walk(maim, load)
        return maim, load

    def walk(self, maim: Maim, load: Load) -> None:
        """Send every request of a load once, and check the responses."""
        self.services.run_only(maim)
        load.walk(maim.base)

    def measuring(
        self,
        service: Service,
        load: Load,
        check: Callable[[Measurement], None] = lambda measured: None,
        going_on: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> Callable[[], Measurement]:
        """Return the measuring of a load, inside the context `going_on`, which checks each measurement."""

        def measure() -> Measurement:
            self.services.run_only(service)
            with going_on():
                measured = self.rounds.once(service, load)
            check(measured)
            return measured

        return measure

    def compared(self, maim: Maim, load: Load, **how: Any) -> Result:
        """Compare a load with Django; `how` as `measuring` takes it."""
        return self.rounds.against_django(self.measuring(maim, load, **how))

"""Databases of old systems that were in use, copied or loaded for a test."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.server import ROOT, fresh_database_url

SAMPLES = next((path for each in ROOT.parents if (path := each / "shared" / "legacy").is_dir()), ROOT.parent / "shared")


@dataclass(frozen=True)
class Sample:
    """Two old databases, and what was sent to the services that wrote them."""

    config: str
    web: str
    files: tuple[Path, ...]
    expected: dict[str, Any]

    def digests(self) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files]


def sample_of(kind: str, directory: Path) -> Sample:
    """Return the sample of a kind of database; skip the test where there is none."""
    source = SAMPLES / kind
    if not source.is_dir():
        pytest.skip(f"needs the samples of old databases in {SAMPLES.name}/{kind}, beside the repository")
    expected = json.loads((source / "expected.json").read_text())
    names = ("maimconfig", "webbackend")
    if kind == "sqlite":
        files = tuple(Path(shutil.copy(source / f"{name}.sqlite3", directory)) for name in names)
        config, web = (f"sqlite:///{path}" for path in files)
        return Sample(config, web, files, expected)
    config, web = (_loaded(source / f"{name}.sql", f"old_{name}", directory) for name in names)
    return Sample(config, web, (), expected)


def _loaded(dump: Path, name: str, directory: Path) -> str:
    """Load a dump, and return the URL of the database."""
    url = fresh_database_url(directory, name)
    parts = urlsplit(url)
    client = ["mariadb", "--no-defaults", "-h", str(parts.hostname), "-P", str(parts.port), f"-u{parts.username}"]
    subprocess.run([*client, f"-p{parts.password}", name], input=dump.read_bytes(), check=True)
    return url

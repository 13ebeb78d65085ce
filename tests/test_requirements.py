"""The requirements that maim is installed with have all that it imports, and not only those of its developers."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.embedded
# Measuring and testing need the requirements of developers.
NOT_SERVED = {"bench", "tests", "var"}
ONLY_WITH_MARIADB = {"mysqlclient"}


def served_files() -> Iterator[Path]:
    for path in ROOT.glob("*/**/*.py"):
        folders = path.relative_to(ROOT).parts
        if folders[0] not in NOT_SERVED and not folders[0].startswith(".") and "tests" not in folders:
            yield path


def imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add(str(node.module).partition(".")[0])
    return packages


def required(name: str) -> set[str]:
    """Return the distributions that a file of requirements installs."""
    return set(re.findall(r"^([\w.-]+)(?:\[\w+\])?==", (ROOT / name).read_text(), re.MULTILINE))


def test_everything_that_is_imported_is_required() -> None:
    own = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    found = {package for path in served_files() for package in imported_packages(path)}
    distributions = packages_distributions()

    others = found - own - sys.stdlib_module_names
    needed = {distributions[package][0].lower().replace("_", "-") for package in others}

    assert needed - required("requirements-embedded.txt") == ONLY_WITH_MARIADB
    assert needed - required("requirements.txt") == set()

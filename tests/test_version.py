"""The version, which is written only in `maim.__version__`, and is the same everywhere."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import httpx
import pytest

from maim import __version__
from tests.support.server import ROOT, MaimServer

pytestmark = pytest.mark.embedded


def get(server: MaimServer, surface: str, path: str) -> httpx.Response:
    with server.client(surface) as client:
        return client.get(path).raise_for_status()


@pytest.mark.parametrize(
    ("surface", "path"),
    [("internal", "/"), ("internal", "/info"), ("internal", "/ready"), ("internal", "/health"), ("public", "/health")],
)
def test_every_page_about_the_service_names_the_version(server: MaimServer, surface: str, path: str) -> None:
    assert get(server, surface, path).json()["version"] == __version__


@pytest.mark.parametrize(("surface", "path"), [("internal", "/openapi.json"), ("public", "/api/v1/openapi.json")])
def test_openapi_documents_name_the_version(server: MaimServer, surface: str, path: str) -> None:
    committed = json.loads((ROOT / f"docs/openapi/{surface}.json").read_text())

    assert get(server, surface, path).json()["info"]["version"] == __version__
    assert committed["info"]["version"] == __version__


def test_project_metadata_takes_the_version_from_the_code() -> None:
    metadata: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert "version" not in metadata["project"]
    assert metadata["project"]["dynamic"] == ["version"]
    assert metadata["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "maim.__version__"}


def test_project_metadata_names_the_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["license"] == "MIT"
    assert [(ROOT / name).read_text().partition("\n")[0] for name in project["license-files"]] == ["MIT License"]

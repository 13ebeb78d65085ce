"""System checks for misconfiguration."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.db import connection

from core.setting_types import Bind
from maim.environment import Environment


@pytest.mark.needs_mariadb
@pytest.mark.django_db
def test_database_in_another_character_set_is_an_error() -> None:
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE `{name}` CHARACTER SET latin1")
        try:
            found = run_checks(databases=["default"], tags=["database"])
        finally:
            cursor.execute(f"ALTER DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")

    assert [problem.id for problem in found] == ["maim.E001"]
    assert "latin1" in found[0].msg


@pytest.mark.embedded
@pytest.mark.parametrize(("mode", "warnings"), [(0o600, []), (0o640, ["maim.W002"]), (0o644, ["maim.W002"])])
def test_database_that_others_may_read_is_a_warning(
    mode: int, warnings: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "maim.sqlite3"
    path.touch()
    path.chmod(mode)
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))

    found = run_checks(tags=["security"], include_deployment_checks=True)

    assert [problem.id for problem in found if problem.id and problem.id.startswith("maim.")] == warnings


@pytest.mark.embedded
@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", []), ("0.0.0.0", ["maim.W001"]), ("::", ["maim.W001"])])
def test_internal_surface_on_all_addresses_is_a_warning(
    host: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Environment, "internal_bind", Bind(host, 8000))

    found = run_checks(tags=["security"], include_deployment_checks=True)

    assert [problem.id for problem in found if problem.id and problem.id.startswith("maim.")] == warnings

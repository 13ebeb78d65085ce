"""System checks for misconfiguration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Tags, run_checks
from django.core.management import get_commands, load_command_class
from django.db import connection

from core.setting_types import Bind
from maim.environment import Environment
from manage import LIBRARIES


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
def test_variable_that_is_no_setting_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIM_WORKER", "2")
    monkeypatch.setenv("MAIM_WORKERS_FILE", "/run/secrets/workers")
    monkeypatch.setenv("OTHER_WORKER", "2")

    warnings = [problem.msg for problem in run_checks(tags=["security"]) if problem.id == "maim.W003"]

    assert warnings == ["MAIM_WORKER is not a setting; did you mean MAIM_WORKERS?"]


@pytest.mark.embedded
def test_commands_of_maim_check_the_environment_alone() -> None:
    """`serve` and `doctor` run all checks themselves; `migrate` and `runserver` are Django's, and run all, too."""
    commands = get_commands()
    ours = {name for name, app in commands.items() if not str(app).startswith(LIBRARIES)} - {"migrate", "runserver"}

    checks = {name: tuple(load_command_class(commands[name], name).requires_system_checks) for name in ours}

    assert {name: of for name, of in checks.items() if of != (Tags.security,)} == {"serve": (), "doctor": ()}


@pytest.mark.embedded
@pytest.mark.parametrize(("is_secure", "warnings"), [(False, ["maim.W004"]), (True, [])])
def test_deployment_without_tls_is_one_warning(is_secure: bool, warnings: list[str], settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = is_secure

    found = {problem.id for problem in run_checks(include_deployment_checks=True) if not problem.is_silenced()}

    assert found & {"maim.W004", "security.W004", "security.W008", "security.W012", "security.W016"} == set(warnings)


@pytest.mark.embedded
@pytest.mark.parametrize(("mode", "warnings"), [(0o600, []), (0o640, ["maim.W002"]), (0o644, ["maim.W002"])])
def test_database_that_others_may_read_is_a_warning(
    mode: int, warnings: list[str], monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.SESSION_COOKIE_SECURE = True
    path = tmp_path / "maim.sqlite3"
    path.touch()
    path.chmod(mode)
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))

    found = run_checks(tags=["security"], include_deployment_checks=True)

    assert [problem.id for problem in found if problem.id and problem.id.startswith("maim.")] == warnings


@pytest.mark.embedded
@pytest.mark.parametrize(("host", "warnings"), [("127.0.0.1", []), ("0.0.0.0", ["maim.W001"]), ("::", ["maim.W001"])])
def test_internal_surface_on_all_addresses_is_a_warning(
    host: str, warnings: list[str], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(Environment, "internal_bind", Bind(host, 8000))
    settings.SESSION_COOKIE_SECURE = True

    found = run_checks(tags=["security"], include_deployment_checks=True)

    assert [problem.id for problem in found if problem.id and problem.id.startswith("maim.")] == warnings

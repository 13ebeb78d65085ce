"""System checks for misconfiguration."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection, connections


@register(Tags.database)
def database_speaks_utf8mb4(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that a MariaDB database is utf8mb4, because another character set loses text (maim.E001)."""
    problems: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "mysql":
            continue
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@character_set_database")
            (charset,) = cursor.fetchone()
        if charset != "utf8mb4":
            problems.append(
                Error(
                    f"The database's character set is {charset}, which cannot store every text.",
                    hint="ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, before migrating.",
                    id="maim.E001",
                )
            )
    return problems


@register(Tags.security)
def environment_has_only_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn of environment variables that look like settings and are none (maim.W003)."""
    return [Warning(sentence, id="maim.W003") for sentence in settings.ENV.unknown_variables()]


@register(Tags.security, deploy=True)
def people_come_by_tls(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn if cookies may go over plain HTTP (maim.W004). It stands for Django's own four warnings, one a setting."""
    if settings.SESSION_COOKIE_SECURE:
        return []
    return [
        Warning(
            "Cookies of the admin are sent over plain HTTP, too, because maim does not know that people come by HTTPS.",
            hint="Set MAIM_PUBLIC_URL=https://… to where a proxy with TLS serves the public surface.",
            id="maim.W004",
        )
    ]


@register(Tags.security, deploy=True)  # only with --deploy, because it is right in a container
def internal_surface_is_private(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn if the surface without authentication listens on every address (maim.W001)."""
    if settings.ENV.internal_bind.host not in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        return []
    return [
        Warning(
            "The internal surface, which has no authentication, listens on every address of this machine.",
            hint="Set MAIM_INTERNAL_BIND to a private address, or make sure that only the private network "
            "reaches the port, as compose.yaml does.",
            id="maim.W001",
        )
    ]


@register(Tags.security, deploy=True)  # only with --deploy, because a group may be meant to read it
def database_is_private(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn if others on this machine may read an embedded database (maim.W002)."""
    path = Path(connection.settings_dict["NAME"])
    is_private = (
        connection.vendor != "sqlite" or not path.exists() or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    )
    if is_private:
        return []
    return [
        Warning(
            f"Other users of this machine may read the database, {path}.",
            hint=f"chmod 600 {path}* (a new database has this mode)",
            id="maim.W002",
        )
    ]

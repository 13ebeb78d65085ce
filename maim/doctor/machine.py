"""Checks of the machine: disk space, ports, who reaches the internal one, and files with secrets."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection

from core.http.surfaces import INTERNAL, SURFACES, Surface
from maim.doctor.findings import Finding, Level
from maim.server.supervisor import require_free

_MEBIBYTE = 1024 * 1024
_SCARCE, _VERY_SCARCE = 1024 * _MEBIBYTE, 100 * _MEBIBYTE
_PROBE_SECONDS = 2.0
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound
# Addresses for documentation (RFC 5737, RFC 3849): choosing a route to them sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
# The files that `maim.environment` generates.
_SECRET_FILES = ("secret_key", "key_secrets", "encryption_keys")


def check_disk() -> Iterator[Finding]:
    """Tell how much space is left where maim writes."""
    for place in dict.fromkeys(_writable_places()):
        free = shutil.disk_usage(place).free
        text = f"{free // _MEBIBYTE} MiB are free in {place}"
        if free >= _SCARCE:
            yield Finding("disk", Level.OK, text)
        else:
            level = Level.PROBLEM if free < _VERY_SCARCE else Level.WARNING
            yield Finding("disk", level, text, "Free some: a write that finds no space is refused")


def _writable_places() -> Iterator[Path]:
    data = settings.ENV.MAIM_DATA_DIR.resolve()
    if data.is_dir():
        yield data
    if connection.vendor == "sqlite":
        yield Path(connection.settings_dict["NAME"]).resolve().parent


def check_ports() -> Iterator[Finding]:
    """Look whether each surface's port is free, or served by maim."""
    for surface in SURFACES:
        name, address = f"{surface.name} port", f"{surface.bind.host}:{surface.bind.port}"
        try:
            require_free(surface)
        except PermissionError:
            yield Finding(name, Level.PROBLEM, f"{address} may not be used", "Choose a port from 1024 on")
        except OSError as error:
            yield _of_taken_port(name, address, surface, error)
        else:
            yield Finding(name, Level.OK, f"{address} is free: nothing serves there")


def _of_taken_port(name: str, address: str, surface: Surface, error: OSError) -> Finding:
    version = _served_version(surface)
    if version is None:
        return Finding(
            name,
            Level.PROBLEM,
            f"{address} is not to be had ({error.strerror}), and what is there is not maim",
            f"End the other program, or set MAIM_{surface.name.upper()}_BIND to another port",
        )
    if version != settings.VERSION:
        return Finding(
            name, Level.WARNING, f"maim {version} serves at {address}; this is {settings.VERSION}", "Restart serve"
        )
    return Finding(name, Level.OK, f"maim {version} serves at {address}")


def _served_version(surface: Surface) -> str | None:
    """Return the version of the maim that serves at a surface's address, or None."""
    host = "localhost" if surface.bind.host in _WILDCARDS else surface.bind.host
    client = http.client.HTTPConnection(host, surface.bind.port, timeout=_PROBE_SECONDS)
    try:
        client.request("GET", "/health")
        body = json.loads(client.getresponse().read(_MEBIBYTE))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        client.close()
    is_maim = isinstance(body, dict) and "api" in (body.get("services") or ())
    return str(body.get("version")) if is_maim else None


def check_internal_surface() -> Iterator[Finding]:
    """Look whether the surface without authentication can be reached from outside of a private network."""
    host = INTERNAL.bind.host
    addresses = list(_own_addresses()) if host in _WILDCARDS else [host]
    public = [address for address in addresses if ipaddress.ip_address(address).is_global]
    advice = "Set MAIM_INTERNAL_BIND to a private address, or let only the private network through to the port"
    if public:
        yield Finding(
            "internal surface",
            Level.PROBLEM,
            f"It has no authentication, and listens on {', '.join(public)}, which anybody may reach",
            advice,
        )
    elif host in _WILDCARDS:
        yield Finding(
            "internal surface",
            Level.WARNING,
            "It has no authentication, and listens on every address of this machine",
            f"{advice}, as compose.yaml does",
        )
    else:
        yield Finding("internal surface", Level.OK, f"It listens on {host}, which is not reached from the internet")


def _own_addresses() -> Iterator[str]:
    """Yield the addresses by which this machine would reach others."""
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                yield probe.getsockname()[0]
        except OSError:  # no route, or no such family here
            continue


def check_files() -> Iterator[Finding]:
    """Look whether others on this machine may read or replace files with secrets."""
    found = [finding for path in _private_files() for finding in _of_file(path)]
    found += [_of_given_file(path) for path in _given_files() if path.stat().st_mode & stat.S_IROTH]
    yield from found or [Finding("files", Level.OK, "Those with secrets are their owner's alone")]


def _private_files() -> Iterator[Path]:
    data = settings.ENV.MAIM_DATA_DIR.resolve()
    candidates = [data, *(data / name for name in _SECRET_FILES)]
    if connection.vendor == "sqlite":
        candidates += [Path(f"{connection.settings_dict['NAME']}{end}") for end in ("", "-wal", "-shm")]
    if not settings.MAIL_IS_SET_UP:
        candidates.append(Path(settings.MAIL_DIRECTORY))
    yield from (path for path in candidates if path.exists())


def _of_file(path: Path) -> Iterator[Finding]:
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = "700" if path.is_dir() else "600"
        yield Finding(
            "files",
            Level.WARNING,
            f"Others on this machine may open {path} (mode {stat.S_IMODE(status.st_mode):o})",
            f"Run: chmod {mode} {path}",
        )
    if status.st_uid not in (os.geteuid(), 0) or (os.geteuid() == 0 and status.st_uid != 0):
        yield Finding(
            "files",
            Level.WARNING,
            f"{path} belongs to user {status.st_uid}, and this process runs as {os.geteuid()}",
            "Run manage.py as the user that serves, or files change their owner",
        )


def _given_files() -> Iterator[Path]:
    """Yield the files that settings are read from. Those of containers are theirs alone, whatever their mode."""
    names = (f"{name}_FILE" for name in type(settings.ENV).model_fields)
    paths = (Path(os.environ[name]) for name in names if os.environ.get(name))
    yield from (path for path in paths if path.exists() and not path.is_relative_to("/run/secrets"))


def _of_given_file(path: Path) -> Finding:
    return Finding(
        "files",
        Level.WARNING,
        f"Everybody on this machine may read {path}, which a setting is read from",
        f"Run: chmod o= {path}",
    )

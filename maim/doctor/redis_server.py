"""Checks of Redis: its version, role, and the settings on which limits depend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django_redis import get_redis_connection

from maim.doctor.findings import Finding, Level


def check_redis() -> Iterator[Finding]:
    """Look at the server that counts limits, if there is one."""
    if not settings.REDIS_URL:
        yield Finding("Redis", Level.OK, "It is not used: one worker a surface counts limits in memory")
        return
    info: dict[str, Any] = get_redis_connection().info()
    yield Finding("Redis", Level.OK, f"Redis {info.get('redis_version')} answers")
    found = list(_odd_settings(info))
    yield from found or [Finding("Redis settings", Level.OK, f"Nothing is evicted; {_persistence(info)}")]


def _odd_settings(info: dict[str, Any]) -> Iterator[Finding]:
    if info.get("role") != "master":
        yield Finding(
            "Redis settings",
            Level.PROBLEM,
            f"It is a {info.get('role')}, which takes no writes",
            "Let REDIS_URL lead to the primary",
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "Redis settings",
            Level.WARNING,
            f"maxmemory-policy is {policy}: a window of a rate limit that is evicted starts empty",
            "Set maxmemory-policy to noeviction",
        )
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > 0.9 * most:
        yield Finding(
            "Redis settings",
            Level.WARNING,
            f"It uses {used * 100 // most} % of maxmemory; beyond it limits are not counted",
            "Raise maxmemory",
        )


def _persistence(info: dict[str, Any]) -> str:
    """Return how Redis keeps its data. maim needs none of it, for quotas go on from what the database has counted."""
    is_kept = bool(info.get("aof_enabled")) or info.get("rdb_last_save_time", 0) > 0
    return "it keeps its data on disk" if is_kept else "it keeps nothing on disk, which maim does not need"

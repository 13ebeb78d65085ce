"""Functions that run at once, each in a thread with a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from tests.support.instances import WAIT


def on_own_connection(function: Callable[[], Any]) -> Any:
    try:
        return function()
    finally:
        connection.close()


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions in threads of their own; return their results."""
    with ThreadPoolExecutor(len(functions)) as threads:
        futures = [threads.submit(on_own_connection, function) for function in functions]
        return [future.result(WAIT) for future in futures]

"""What a bot is told of a key."""

from __future__ import annotations

from typing import Any

from core.http.surfaces import INTERNAL
from tests.support.client import SurfaceClient


def validate(api_key: str, **fields: Any) -> dict[str, Any]:
    """The data of validate-api-key's answer."""
    response = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/validate-api-key", {"api_key": api_key, **fields})
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def code_of(api_key: str, **fields: Any) -> str:
    """VALID, or why the key is not good."""
    return str(validate(api_key, **fields)["code"])


def report_leak(api_key: str, **fields: Any) -> dict[str, Any]:
    """The whole answer to a report of a leak."""
    response = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/report-leaked-key", {"api_key": api_key, **fields})
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    return answer

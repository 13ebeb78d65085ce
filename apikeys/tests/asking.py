"""Requests about a key, as bots send them."""

from __future__ import annotations

from typing import Any

from core.http.surfaces import INTERNAL
from tests.support.client import SurfaceClient


def validate(secret: str, **fields: Any) -> dict[str, Any]:
    """Return the data of a response of validate-api-key."""
    response = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret, **fields})
    assert response.status_code == 200, response.content
    data: dict[str, Any] = response.json()["data"]
    return data


def code_of(secret: str, **fields: Any) -> str:
    """Return VALID, or the code of the reason why the key is not valid."""
    return str(validate(secret, **fields)["code"])


def report_leak(secret: str, **fields: Any) -> dict[str, Any]:
    """Report a leak and return the whole response."""
    response = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/report-leaked-key", {"api_key": secret, **fields})
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    return answer

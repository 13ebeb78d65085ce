"""Clients of maim that show what was imported: of the key endpoints, and of the sign-in."""

from __future__ import annotations

from core.http.surfaces import INTERNAL, PUBLIC
from legacy.tests.old_databases import PASSWORD
from tests.support.client import SurfaceClient


def verdict(secret: str) -> str:
    """Validate a key, and return the code."""
    response = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
    code: str = (response["data"] or {}).get("code") or response["error_code"]
    return code


def can_sign_in(username: str) -> bool:
    """Sign in with the old password, and return whether that was accepted."""
    credentials = {"username": username, "password": PASSWORD}
    return bool(SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials).status_code == 200)

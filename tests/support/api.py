"""A client of one API for tests: requests, and the contents of their responses.

Tests that hold for several APIs take an `api` fixture, which is parametrised by them.
"""

from __future__ import annotations

from typing import Any

from core.http.surfaces import INTERNAL
from tests.support.client import SurfaceClient
from tests.support.people import Person

VERSIONS = ("v1", "v2")


class ApiClient:
    """One version of the API for a person. Some paths of v1 have v2's envelope, too."""

    def __init__(self, version: str, person: Person, *, is_enveloped: bool | None = None) -> None:
        self.version, self.person = version, person
        self.client = person.client if version == "v1" else SurfaceClient(INTERNAL)
        self.is_enveloped = version == "v2" if is_enveloped is None else is_enveloped

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request to a path below `/api/v1` or `/api/v2`, and return its response."""
        return self.client.send(method, f"/api/{self.version}{path}", body, **headers)

    def data(self, response: Any) -> Any:
        """Return the data of a response, which must be successful."""
        assert response.status_code == 200, response.content
        return response.json()["data"] if self.is_enveloped else response.json()

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of a list, or of a page of it."""
        data = self.data(self.send("GET", path))
        items: list[dict[str, Any]] = data["items"] if self.is_enveloped else data
        return items

    def error_fields(self, response: Any, status: int, code: str) -> list[str]:
        """Return the fields that an error names, which must have this status and code."""
        assert response.status_code == status, response.content
        body = response.json()
        assert body["error_code" if self.is_enveloped else "code"] == code
        details = (body["data"] or {}) if self.is_enveloped else body
        errors: dict[str, list[str]] = details.get("errors", {})
        assert all(sentence for sentences in errors.values() for sentence in sentences)
        return list(errors)

    def assert_error(self, response: Any, status: int, code: str, *fields: str) -> None:
        """Assert that a response is an error with this status and code that names exactly these fields."""
        assert self.error_fields(response, status, code) == list(fields)

"""v1's agents, as their tests speak of them."""

from __future__ import annotations

from typing import Any

from tests.support.people import Person

AGENTS = "/api/v1/agents"


def create(person: Person, name: Any = "bot", **fields: Any) -> Any:
    return person.client.send("POST", AGENTS, {"name": name, **fields})


def created(person: Person, name: str = "bot", **fields: Any) -> dict[str, Any]:
    response = create(person, name, **fields)
    assert response.status_code == 200, response.content
    agent: dict[str, Any] = response.json()
    return agent


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """v1's error."""
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    assert set(body) == ({"detail", "code", "errors"} if status == 400 else {"detail", "code"})
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body["code"] == code
    return body

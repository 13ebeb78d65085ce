"""A bot with a key, and the requests it sends."""

from __future__ import annotations

from typing import Any

from apikeys.models import ApiKey
from tests.support.client import SurfaceClient
from tests.support.envelope import ENVELOPE
from tests.support.people import Person, make_agent, make_key

REQUESTS = ["validate-api-key", "check-permission"]


class Bot:
    """Alice's bot, with its key."""

    def __init__(self, alice: Person, internal: SurfaceClient) -> None:
        self.agent = make_agent(alice.tenant)
        issued = make_key(self.agent, "the bot's key", permissions=["chat", "read"])
        self.key_id, self.secret = issued.key.id, issued.secret
        self.internal = internal

    def send(self, request_name: str, **body: Any) -> dict[str, Any]:
        """Send a request about the key, and return the envelope of the response, which is always 200."""
        needed = {"permission": "chat"} if request_name == "check-permission" else {}
        response = self.internal.send(
            "POST", f"/api/v2/auth/{request_name}", {"api_key": self.secret, **needed, **body}
        )
        assert response.status_code == 200, response.content
        envelope: dict[str, Any] = response.json()
        assert list(envelope) == ENVELOPE
        return envelope

    def change(self, **changes: Any) -> None:
        """Change the key, as an operator would."""
        response = self.internal.send("PUT", f"/api/v2/api-keys/{self.key_id}", changes)
        assert response.status_code == 200, response.content

    def row(self) -> ApiKey:
        key: ApiKey = ApiKey.unscoped.get(pk=self.key_id)
        return key


def assert_rejected(envelope: dict[str, Any], code: str) -> None:
    """Assert that a response rejects the key, with its code and nothing else about it."""
    assert envelope["success"] is False
    assert envelope["data"] == {"valid": False, "code": code}
    assert envelope["error_code"] == code
    assert envelope["error"]
    assert envelope["tenant_id"] is None

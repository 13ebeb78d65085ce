"""Personal access tokens for one tenant, which end with the membership in it."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import PersonalToken
from accounts.services import confirmation, personal_tokens
from tenants import members
from tests.support.people import OPERATOR, PASSWORD, Person, join
from tests.support.tokens import TOKENS

pytestmark = pytest.mark.django_db


def test_person_who_is_removed_while_making_a_token_gets_none(
    alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be good again when they come back."""
    join(charlie, alice.tenant)

    def remove_and_confirm(**values: Any) -> None:
        members.remove_member(actor=OPERATOR, tenant=alice.tenant, user_id=charlie.user.id)
        confirmation.confirm_password(**values)

    monkeypatch.setattr(personal_tokens, "confirm_password", remove_and_confirm)
    body = {"name": "script", "scope": "read", "tenant_id": alice.tenant.id, "password": PASSWORD}

    assert charlie.client.send("POST", TOKENS, body).status_code == 404
    assert not PersonalToken.objects.exists()

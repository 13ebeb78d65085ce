"""Keys are represented as REST framework would represent them (core.http.serializers.ObjectSerializer)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.serializers import Serializer

from apikeys.access import get_key
from apikeys.serializers.keys import AgentKeyResponse, BaseKeyResponse, KeyResponse
from apikeys.services import report_leak, rotate_key
from core.http.serializers import shared_serializer
from tenants.roles import Access
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
FULL: dict[str, Any] = {
    "description": "whole",
    "permissions": ["chat", "config.*"],
    "expires_at": datetime(2035, 1, 1, tzinfo=UTC),
    "rate_limit": {"limit": 60, "window_seconds": 60},
    "quota": {"limit": 1000, "period": "day"},
    "allowed_networks": ["203.0.113.0/24"],
    "metadata": {"team": "客服", "deep": [None, 1]},
}


@pytest.mark.parametrize("serializer", [AgentKeyResponse, KeyResponse])
@pytest.mark.parametrize("fields", [{}, FULL], ids=["bare", "full"])
def test_key_is_represented_as_rest_framework_does(
    alice: Person, serializer: type[BaseKeyResponse], fields: dict[str, Any]
) -> None:
    issued = make_key(make_agent(alice.tenant), **fields)
    rotate_key(actor=OPERATOR, key=issued.key, grace_seconds=60)
    key = get_key(OPERATOR, issued.key.pk, Access.READ)
    report_leak(actor=OPERATOR, secret=key.current_secret)
    key = get_key(OPERATOR, issued.key.pk, Access.READ)

    shared = shared_serializer(serializer)
    shown = shared.to_representation(key)

    expected = Serializer.to_representation(shared, key)
    assert list(shown.items()) == list(expected.items())
    assert [type(value) for value in shown.values()] == [type(value) for value in expected.values()]

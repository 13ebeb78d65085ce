"""The data of a valid key's response is finished JSON where it depends on the key alone (internal_api.key_auth)."""

from __future__ import annotations

import json

import pytest

from apikeys.permissions import Grants
from apikeys.tests.facts import facts
from apikeys.verification import DISABLED, VALID, Verdict, VerificationRequest
from apikeys.verification.verdicts import Limits
from internal_api.key_auth import ValidateKey

pytestmark = pytest.mark.embedded

CHATTING = facts(permissions=("chat",), grants=Grants(["chat"]))
FRESH = Verdict(VALID, CHATTING)


def validate(permission: str | None) -> ValidateKey:
    return ValidateKey(VerificationRequest("", requirement=permission))


@pytest.mark.parametrize("permission", [None, "chat"])
def test_finished_data_are_those_of_the_response(permission: str | None) -> None:
    request = validate(permission)

    finished = request.finished_data(FRESH)

    assert finished is not None
    assert json.loads(finished) == {**request.response(FRESH).data, "permissions": ["chat"]}
    assert CHATTING.rendered(lambda _facts: b"again") == finished, "they are made once"


@pytest.mark.parametrize(
    ("verdict", "permission"),
    [
        (FRESH, "write"),
        (FRESH._replace(stale=True), None),
        (FRESH._replace(code=DISABLED), None),
        (Verdict(VALID, facts(limits=Limits("tenant_1", (), ()))), None),
        (Verdict(DISABLED), None),
    ],
    ids=["permission missing", "stale", "not valid", "limited", "no facts"],
)
def test_other_verdicts_have_no_finished_data(verdict: Verdict, permission: str | None) -> None:
    assert validate(permission).finished_data(verdict) is None

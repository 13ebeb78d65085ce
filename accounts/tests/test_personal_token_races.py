"""Personal access tokens that are used or created while the password or the account changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import hashers

from accounts import services
from accounts.models import PersonalToken
from accounts.services import personal_tokens
from accounts.tests.test_credential_races import (
    DEACTIVATIONS,
    change_own_password,
    import_password,
    set_password_by_command,
    set_password_in_admin,
)
from accounts.tests.threads import Pause, at_once
from core.models import AuditEntry
from tests.support.instances import WAIT
from tests.support.people import OPERATOR, PASSWORD, Person
from tests.support.tokens import TOKENS, newest_token, script

pytestmark = pytest.mark.django_db(transaction=True)
ME, AGENTS = "/api/v1/auth/me", "/api/v1/agents"
OWN_CHANGES = (change_own_password, import_password)
ENDS = (set_password_in_admin, set_password_by_command, *DEACTIVATIONS)
Change = Callable[[Any], None]


def create(person: Person) -> Any:
    return person.client.send("POST", TOKENS, {"name": "script", "scope": "read", "password": PASSWORD})


@pytest.mark.parametrize("change", OWN_CHANGES + ENDS)
def test_request_that_was_authenticated_before_the_change_is_the_last(
    alice: Person, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = script(alice.user)
    pause = Pause()
    authenticate = pause.after(services.authenticate_personal_token)
    monkeypatch.setattr(services, "authenticate_personal_token", authenticate)

    with pause.run(lambda: client.send("POST", AGENTS, {"name": "bot"})) as under_way:
        change(alice.user)

    assert under_way.result(WAIT).status_code == 200
    assert AuditEntry.objects.get(action="agent.create").token_id is not None
    assert client.get(ME).status_code == (200 if change in OWN_CHANGES else 401)


@pytest.mark.parametrize("change", OWN_CHANGES + ENDS)
def test_creation_under_way_is_refused_after_the_change(
    alice: Person, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password was good when it was checked, and is not any more."""
    pause = Pause()
    monkeypatch.setattr(hashers, "verify_password", pause.after(hashers.verify_password))

    with pause.run(lambda: create(alice)) as under_way:
        change(alice.user)

    response = under_way.result(WAIT)
    assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])
    assert not PersonalToken.objects.exists()
    assert not AuditEntry.objects.filter(action="token.create").exists()


def test_tokens_of_requests_at_once_are_not_more_than_the_limit(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_tokens, "MAX_TOKENS", 1)

    answers = at_once(*[lambda: create(alice)] * 3)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 2}


def test_one_of_two_revocations_at_once_wins(alice: Person) -> None:
    script(alice.user)
    token_id = newest_token(alice.user).id

    answers = at_once(
        lambda: alice.client.send("DELETE", f"{TOKENS}/{token_id}"),
        lambda: alice.client.send("DELETE", f"{TOKENS}/{token_id}"),
        lambda: services.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"email": "alice@example.com"}),
    )

    assert sorted(answer.status_code for answer in answers[:2]) == [204, 404]
    assert AuditEntry.objects.filter(action="token.delete").count() == 1

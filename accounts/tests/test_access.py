"""Access to what a person has for themselves: sessions, identities and personal access tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import QuerySet

from accounts.access import identities_of, personal_tokens_of, sessions_of
from core.actor import Actor, ActorKind
from tests.support.oidc import add_identity
from tests.support.people import Person
from tests.support.tokens import add_token

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]


@pytest.mark.parametrize("rows_of", [sessions_of, identities_of, personal_tokens_of])
def test_person_has_their_own_and_nobody_else_has_any(
    rows_of: Callable[[Actor], QuerySet[Any]], alice: Person, bob: Person
) -> None:
    for person in (alice, bob):
        add_identity(person.user, person.user.username)
        add_token(person.user)

    found = rows_of(Actor(kind=ActorKind.USER, id=alice.user.id))
    assert {row.user_id for row in found} == {alice.user.id}
    for kind in set(ActorKind) - {ActorKind.USER}:
        assert not rows_of(Actor(kind=kind, id=alice.user.id)), "an operator has an id, too"

"""`authenticate_access_token`, which reads the user and the session of every request in one query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts import services
from accounts.models import TokenSession, User
from core.errors import Unauthenticated
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
ME = "/api/v1/auth/me"


def test_token_returns_its_user_and_session(alice: Person, charlie: Person) -> None:
    found = services.authenticate_access_token(alice.token, address="")

    assert found.user == alice.user
    assert TokenSession.objects.get(pk=found.session_id).user == alice.user
    assert services.authenticate_access_token(charlie.token, address="").user == charlie.user


def test_user_has_the_fields_of_the_database(alice: Person) -> None:
    """Fields are equal whether they were read with the session or are deferred."""
    services.update_user(
        actor=OPERATOR, user_id=alice.user.id, changes={"email": "Alice@example.com", "key_notices": False}
    )
    names = [field.attname for field in User._meta.concrete_fields]

    found = services.authenticate_access_token(alice.token, address="").user

    stored = User.objects.get(pk=alice.user.pk)
    assert [(name, getattr(found, name)) for name in names] == [(name, getattr(stored, name)) for name in names]
    assert found.is_active is True


def test_it_takes_one_query(alice: Person) -> None:
    with CaptureQueriesContext(connection) as captured:
        user = services.authenticate_access_token(alice.token, address="").user
        assert (user.id, user.username, user.email) == (alice.user.id, "alice", None)

    assert len(captured) == 1


def test_token_of_an_ended_session_is_refused(alice: Person) -> None:
    TokenSession.objects.filter(user=alice.user).delete()

    with pytest.raises(Unauthenticated):
        services.authenticate_access_token(alice.token, address="")
    assert alice.client.get(ME).status_code == 401


def test_token_of_a_deactivated_user_is_refused(alice: Person) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_active=False)

    with pytest.raises(Unauthenticated):
        services.authenticate_access_token(alice.token, address="")
    assert alice.client.get(ME).status_code == 401


@pytest.mark.django_db(transaction=True)
class TestBrokenConnection:
    """A connection that the database closed while it was idle."""

    @staticmethod
    def breaks(times: int) -> Callable[..., Any]:
        left = [None] * times

        def run(execute: Callable[..., Any], *arguments: Any) -> Any:
            if left:
                left.pop()
                raise OperationalError(2006, "Server has gone away")
            return execute(*arguments)

        return run

    def test_request_succeeds_on_a_new_connection(self, alice: Person) -> None:
        with connection.execute_wrapper(self.breaks(1)):
            answer = alice.client.get(ME)

        assert answer.status_code == 200

    def test_connection_that_stays_broken_is_503(self, alice: Person) -> None:
        with connection.execute_wrapper(self.breaks(2)):
            answer = alice.client.get(ME)

        assert answer.status_code == 503
        assert "Retry-After" in answer

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import User
from tests.support.oidc import Provider, provider_at_work
from tests.support.passkeys import add_passkey
from tests.support.people import Person
from tests.support.security_keys import SecurityKey


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of OpenID Connect, by which people may sign in."""
    with provider_at_work() as provider:
        yield provider


@pytest.fixture
def alice_with_email(alice: Person) -> Person:
    """Alice with an address that she has not confirmed, as imported people have."""
    User.objects.filter(pk=alice.user.pk).update(email="alice@example.com", email_folded="alice@example.com")
    alice.user.refresh_from_db()
    return alice


@pytest.fixture
def key(alice: Person) -> SecurityKey:
    """Alice's key, on which she has a passkey."""
    return add_passkey(alice.user)

from __future__ import annotations

import pytest

from accounts.models import User
from tests.support.people import Person


@pytest.fixture
def alice_with_email(alice: Person) -> Person:
    """Alice with an address that she has not confirmed, as imported people have."""
    User.objects.filter(pk=alice.user.pk).update(email="alice@example.com", email_folded="alice@example.com")
    alice.user.refresh_from_db()
    return alice

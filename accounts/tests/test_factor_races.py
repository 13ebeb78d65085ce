"""Sign-ins with a second factor that run while the password or the factors change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import hashers

from accounts import challenges, services
from accounts.models import TokenSession, User
from accounts.tests.threads import Pause
from tests.support.factors import answer, enrol, login, new_challenge
from tests.support.people import OPERATOR, PASSWORD, register

pytestmark = pytest.mark.django_db(transaction=True)


def set_password(user: User) -> None:
    services.set_password(actor=OPERATOR, user=user, password=PASSWORD)


def deactivate_and_activate(user: User) -> None:
    for is_active in (False, True):
        services.update_user(actor=OPERATOR, user_id=user.pk, changes={"is_active": is_active})


def remove_factors(user: User) -> None:
    services.remove_factors(actor=OPERATOR, user=user)


@pytest.mark.parametrize(
    ("change", "status"), [(set_password, 401), (deactivate_and_activate, 401), (remove_factors, 400)]
)
def test_change_while_a_code_is_on_its_way_refuses_it(
    change: Callable[[User], None], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The challenge was found good just before."""
    alice = register("alice").user
    app, challenge, pause = enrol(alice), new_challenge(alice), Pause()
    monkeypatch.setattr(challenges, "count_attempt", pause.after(challenges.count_attempt))
    sessions = TokenSession.objects.filter(user=alice)
    sessions.all().delete()

    with pause.run(lambda: answer(challenge, app.code())) as response:
        change(alice)

    assert response.result().status_code == status
    assert not sessions.exists()


def test_factor_that_is_added_during_a_sign_in_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, pause = register("alice").user, Pause()
    monkeypatch.setattr(hashers, "verify_password", pause.after(hashers.verify_password))

    with pause.run(login) as response:
        enrol(alice)

    assert response.result().status_code == 403


def test_app_is_not_removed_by_a_password_that_was_changed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, pause = register("alice"), Pause()
    enrol(alice.user)
    monkeypatch.setattr(hashers, "verify_password", pause.after(hashers.verify_password))

    def remove() -> Any:
        return services.remove_totp(actor=alice.actor, user=alice.user, password=PASSWORD)

    with pause.run(remove) as removed:
        set_password(User.objects.get(pk=alice.user.pk))

    assert isinstance(removed.exception(), services.WrongPassword)
    assert services.methods_of(alice.user)

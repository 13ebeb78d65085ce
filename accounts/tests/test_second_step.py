"""Signing in with a second factor: the challenge after the password, and its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts import challenges, services, throttle
from accounts.mail.sender import send_due
from accounts.models import RecoveryCode, SignInAddress, SignInChallenge, TokenSession, TotpFactor
from accounts.tests.threads import at_once
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.factors import Authenticator, answer, enrol, login
from tests.support.mail import Mailbox, parts
from tests.support.people import OPERATOR, PASSWORD, Person, register


@pytest.fixture
def _no_attempts(settings: Any) -> Iterator[None]:
    """A throttle in memory that has counted nothing, before and after."""
    settings.REDIS_URL = None
    throttle._memory_limiter().storage.reset()
    yield
    throttle._memory_limiter().storage.reset()


@pytest.fixture
def app(alice: Person) -> Authenticator:
    """Alice's authenticator app."""
    return enrol(alice.user)


def ask() -> str:
    """Sign Alice in by her password, and return the challenge."""
    response = login()
    assert response.status_code == 403, response.content
    return str(response.json()["challenge"])


def is_bad_challenge(response: Any) -> bool:
    return bool(response.status_code == 401 and response.json()["code"] == "AUTHENTICATION_REQUIRED")


def is_wrong_code(response: Any) -> bool:
    return response.status_code == 400 and list(response.json()["errors"]) == ["code"]


@pytest.mark.embedded
class TestChallenge:
    def test_password_alone_gives_a_challenge(self, app: Authenticator) -> None:
        sessions = TokenSession.objects.count()

        response = login()

        assert response.status_code == 403
        assert set(response.json()) == {"detail", "code", "challenge", "methods"}
        assert response.json()["code"] == "MFA_REQUIRED"
        assert response.json()["methods"] == ["totp", "recovery_code"]
        assert response.headers["Cache-Control"] == "no-store"
        assert TokenSession.objects.count() == sessions

    def test_app_that_is_not_confirmed_is_no_factor(self, alice: Person) -> None:
        enrol(alice.user)
        TotpFactor.objects.update(confirmed_at=None)

        assert login().status_code == 200

    def test_wrong_password_tells_nothing_of_a_factor(self, app: Authenticator) -> None:
        assert login(password="a wrong one").status_code == 400

    def test_challenge_is_no_token(self, app: Authenticator) -> None:
        challenge = ask()

        assert SurfaceClient(token=challenge).get("/api/v1/auth/me").status_code == 401
        body = {"refresh_token": challenge}
        assert SurfaceClient().send("POST", "/api/v1/auth/refresh", body).status_code == 401
        assert SurfaceClient().send("POST", "/api/v1/auth/logout", body).status_code == 401


@pytest.mark.embedded
class TestAnswer:
    def test_code_opens_a_session(self, app: Authenticator) -> None:
        response = answer(ask(), app.code(), HTTP_USER_AGENT="phone")

        assert response.status_code == 200
        assert set(response.json()) == {"access_token", "token_type", "refresh_token", "expires_in"}
        assert response.headers["Cache-Control"] == "no-store"
        assert SurfaceClient(token=response.json()["access_token"]).get("/api/v1/auth/me").status_code == 200
        assert TokenSession.objects.latest("created_at").device == "phone"
        assert AuditEntry.objects.latest("id").action == "session.create"

    def test_code_may_be_typed_with_a_blank(self, app: Authenticator) -> None:
        code = app.code()

        assert answer(ask(), f"{code[:3]} {code[3:]}").status_code == 200

    def test_challenge_counts_once(self, app: Authenticator) -> None:
        challenge = ask()
        answer(challenge, app.code())

        assert is_bad_challenge(answer(challenge, app.code(later=1)))

    def test_code_counts_once(self, app: Authenticator) -> None:
        code = app.code(later=1)
        assert answer(ask(), code).status_code == 200

        assert is_wrong_code(answer(ask(), code))
        assert is_wrong_code(answer(ask(), app.code())), "one from before it"

    def test_wrong_code_leaves_the_challenge(self, app: Authenticator) -> None:
        challenge = ask()
        assert is_wrong_code(answer(challenge, "nonsense"))

        assert answer(challenge, app.code()).status_code == 200

    def test_five_wrong_codes_end_the_challenge(self, app: Authenticator) -> None:
        challenge = ask()
        for _ in range(challenges.ATTEMPTS):
            assert is_wrong_code(answer(challenge, "nonsense"))

        assert is_bad_challenge(answer(challenge, app.code()))
        assert answer(ask(), app.code()).status_code == 200, "the code was not used up"

    @pytest.mark.parametrize("code", ["", "1234567", "x" * 100, "１２３", "\u0000", "-"])
    def test_nonsense_is_refused(self, app: Authenticator, code: str) -> None:
        assert answer(ask(), code).status_code == 400

    @pytest.mark.parametrize("method", ["", "password", "passkey\n"])
    def test_unknown_method_is_refused(self, app: Authenticator, method: str) -> None:
        assert answer(ask(), app.code(), method).json()["errors"].keys() == {"method"}

    def test_unknown_challenge_is_refused(self, app: Authenticator) -> None:
        assert is_bad_challenge(answer("nonsense", app.code()))

    def test_expired_challenge_is_refused_and_swept(self, app: Authenticator) -> None:
        challenge = ask()
        assert challenges.sweep() == 0
        SignInChallenge.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert is_bad_challenge(answer(challenge, app.code()))
        assert challenges.sweep() == 1

    def test_code_of_somebody_else_is_refused(self, app: Authenticator) -> None:
        of_bob = enrol(register("bob").user)

        assert is_wrong_code(answer(ask(), of_bob.code()))
        assert is_wrong_code(answer(ask(), of_bob.recovery_codes[0], "recovery_code"))

    def test_new_password_ends_the_challenge(self, app: Authenticator, alice: Person) -> None:
        challenge = ask()
        services.set_password(actor=OPERATOR, user=alice.user, password=PASSWORD)

        assert is_bad_challenge(answer(challenge, app.code()))

    def test_deactivation_ends_the_challenge(self, app: Authenticator, alice: Person) -> None:
        challenge = ask()
        for is_active in (False, True):
            services.update_user(actor=OPERATOR, user_id=alice.user.pk, changes={"is_active": is_active})

        assert is_bad_challenge(answer(challenge, app.code()))

    @override_settings(ENCRYPTION_KEYS=("NJ4vSmFPmGQhbn0ECBpxUFZSv3n4IsrH6LmvCzUlcXQ=",))
    def test_lost_encryption_key_leaves_the_recovery_codes(self, app: Authenticator) -> None:
        challenge = ask()
        assert answer(challenge, app.code()).status_code == 503

        assert answer(challenge, app.recovery_codes[0], "recovery_code").status_code == 200


@pytest.mark.embedded
class TestRecoveryCodes:
    def test_code_counts_once(self, app: Authenticator) -> None:
        code = app.recovery_codes[0]
        assert answer(ask(), code, "recovery_code").status_code == 200

        assert is_wrong_code(answer(ask(), code, "recovery_code"))
        entry = AuditEntry.objects.get(action="user.recovery_code")
        assert entry.after == {"left": 9}

    def test_code_may_be_typed_in_other_ways(self, app: Authenticator) -> None:
        typed = app.recovery_codes[0].upper().replace("-", " ")

        assert answer(ask(), typed, "recovery_code").status_code == 200

    def test_use_is_told_by_mail(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        app = enrol(alice_with_email.user)

        answer(ask(), app.recovery_codes[0], "recovery_code")

        assert send_due() == 1
        assert mailbox.subjects == ["Your second factors were changed"]
        assert "A recovery code was used" in parts(mailbox.mails[0])[0]


class TestSignInAddress:
    """An address is the user's own after the second factor only."""

    def test_password_alone_is_not_noted(self, alice_with_email: Person, mailbox: Mailbox) -> None:
        app = enrol(alice_with_email.user)
        challenge = ask()
        assert not SignInAddress.objects.exists()

        answer(challenge, app.code())

        assert SignInAddress.objects.count() == 1

    @pytest.mark.usefixtures("_no_attempts")
    def test_password_alone_makes_no_address_known_to_the_throttle(self, app: Authenticator) -> None:
        """A stranger with the password does not get the attempts that an account's own addresses have."""
        with override_settings(AUTH_RATE=AuthRate(per_account=10, per_address=1000)):
            for number in range(30):
                login(REMOTE_ADDR=f"198.51.100.{number}")

            assert login(REMOTE_ADDR="198.51.100.1").status_code == 429


@pytest.mark.usefixtures("_no_attempts")
def test_attempts_are_throttled_by_account(app: Authenticator) -> None:
    """New challenges give no new attempts."""
    with override_settings(AUTH_RATE=AuthRate(per_account=3, per_address=1000)):
        challenge = ask()
        assert [answer(challenge, "nonsense").status_code for _ in range(3)] == [400, 400, 429]


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_challenge_opens_one_session(self) -> None:
        app = enrol(register("alice").user)
        challenge = ask()
        codes = app.recovery_codes[:4]

        responses = at_once(*(partial(answer, challenge, code, "recovery_code") for code in codes))

        assert Counter(response.status_code for response in responses) == {200: 1, 401: 3}
        assert RecoveryCode.objects.count() == 9, "the others' codes are still good"

    @pytest.mark.parametrize("method", ["totp", "recovery_code"])
    def test_one_code_opens_one_session(self, method: str) -> None:
        app = enrol(register("alice").user)
        code = {"totp": app.code(), "recovery_code": app.recovery_codes[0]}[method]

        responses = at_once(*(partial(answer, ask(), code, method) for _ in range(4)))

        assert Counter(response.status_code for response in responses) == {200: 1, 400: 3}

    def test_attempts_at_once_are_five(self) -> None:
        enrol(register("alice").user)
        challenge = ask()

        responses = at_once(*(partial(answer, challenge, "nonsense") for _ in range(8)))

        assert Counter(response.status_code for response in responses) == {400: 5, 401: 3}

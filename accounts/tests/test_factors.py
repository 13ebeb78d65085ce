"""Managing one's second factors: adding and removing an authenticator app, recovery codes, and their loss."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import bcrypt
import pyotp
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone, translation

from accounts import services
from accounts.bulk_import import former_password
from accounts.mail.sender import send_due
from accounts.mail.texts import FactorChange, factors_changed
from accounts.models import RecoveryCode, TotpFactor, User
from accounts.tests.threads import at_once
from core.models import AuditEntry
from tests.support.factors import Authenticator, answer, enrol, login
from tests.support.mail import Mailbox, parts
from tests.support.people import OPERATOR, PASSWORD, Person, register

CONFIRMED = {"password": PASSWORD}
FACTORS = "/api/v1/auth/factors"


def send(person: Person, path: str, body: Any) -> Any:
    return person.client.send("POST", f"{FACTORS}/{path}", body)


def factors(person: Person) -> Any:
    response = person.client.get(FACTORS)
    assert response.status_code == 200
    return response.json()


def begin(person: Person) -> Authenticator:
    """Begin to add an app, and return it."""
    response = send(person, "totp", CONFIRMED)
    assert response.status_code == 200, response.content
    return Authenticator(response.json()["secret"], [])


def add(person: Person) -> Authenticator:
    """Add an app by its first code, and return it."""
    app = begin(person)
    response = send(person, "totp/confirm", {"code": app.code()})
    assert response.status_code == 200, response.content
    return Authenticator(app.secret, response.json()["recovery_codes"])


@pytest.mark.embedded
class TestAdding:
    def test_person_has_no_factor_at_first(self, alice: Person) -> None:
        assert factors(alice) == {"factors": [], "recovery_codes": 0}

    def test_secret_comes_as_text_uri_and_qr_code(self, alice: Person) -> None:
        response = send(alice, "totp", CONFIRMED)

        assert response.headers["Cache-Control"] == "no-store"
        enrolment = response.json()
        assert set(enrolment) == {"secret", "uri", "qr_code"}
        uri = urlsplit(enrolment["uri"])
        assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/maim:alice")
        assert parse_qs(uri.query)["secret"] == [enrolment["secret"]]
        assert enrolment["qr_code"].startswith("data:image/svg+xml")

    @override_settings(PUBLIC_HOST="maim.example.com")
    def test_app_shows_the_host_of_the_public_url(self, alice: Person) -> None:
        uri = pyotp.parse_uri(send(alice, "totp", CONFIRMED).json()["uri"])

        assert (uri.issuer, uri.name) == ("maim.example.com", "alice")

    def test_longest_name_fits_into_the_qr_code(self, alice: Person) -> None:
        User.objects.filter(pk=alice.user.pk).update(username="🤖" * 100)

        with override_settings(PUBLIC_HOST=".".join(["x" * 61] * 4)):
            assert send(alice, "totp", CONFIRMED).status_code == 200

    def test_first_code_makes_the_app_a_factor(self, alice: Person) -> None:
        app = begin(alice)
        assert factors(alice)["factors"] == []

        response = send(alice, "totp/confirm", {"code": app.code()})

        codes = response.json()["recovery_codes"]
        assert len(set(codes)) == 10
        assert response.headers["Cache-Control"] == "no-store"
        assert [factor["method"] for factor in factors(alice)["factors"]] == ["totp"]
        assert factors(alice)["recovery_codes"] == 10
        assert login().status_code == 403
        entry = AuditEntry.objects.get(action="user.factor_add")
        assert (entry.object_id, entry.after) == (alice.user.id, {"method": "totp"})

    def test_first_code_does_not_count_again(self, alice: Person) -> None:
        app = begin(alice)
        code = app.code()
        send(alice, "totp/confirm", {"code": code})

        assert answer(login().json()["challenge"], code).status_code == 400
        assert answer(login().json()["challenge"], app.code(later=1)).status_code == 200

    @pytest.mark.parametrize("body", [{}, {"password": "a wrong one"}])
    @pytest.mark.parametrize("path", ["totp", "totp/remove", "recovery-codes"])
    def test_password_is_needed(self, alice: Person, path: str, body: Any) -> None:
        enrol(alice.user)

        response = send(alice, path, body)

        assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])

    def test_wrong_code_confirms_nothing(self, alice: Person) -> None:
        begin(alice)

        assert send(alice, "totp/confirm", {"code": "nonsense"}).status_code == 400
        assert login().status_code == 200

    def test_newer_secret_replaces_one_that_was_not_confirmed(self, alice: Person) -> None:
        former, newer = begin(alice), begin(alice)

        assert send(alice, "totp/confirm", {"code": former.code()}).status_code == 400
        assert send(alice, "totp/confirm", {"code": newer.code()}).status_code == 200

    def test_second_app_is_refused(self, alice: Person) -> None:
        app = add(alice)

        assert send(alice, "totp", CONFIRMED).status_code == 409
        assert send(alice, "totp/confirm", {"code": app.code(later=1)}).status_code == 409

    def test_secret_that_was_not_confirmed_in_time_is_refused_and_swept(self, alice: Person) -> None:
        app = begin(alice)
        assert services.sweep_unconfirmed() == 0
        TotpFactor.objects.update(created_at=timezone.now() - timedelta(hours=1, seconds=1))

        assert send(alice, "totp/confirm", {"code": app.code()}).status_code == 409
        assert services.sweep_unconfirmed() == 1

    def test_confirmed_app_is_not_swept(self, alice: Person) -> None:
        add(alice)
        TotpFactor.objects.update(created_at=timezone.now() - timedelta(days=400))

        assert services.sweep_unconfirmed() == 0


@pytest.mark.embedded
class TestRemoving:
    def test_last_factor_takes_the_recovery_codes_along(self, alice: Person) -> None:
        add(alice)

        assert send(alice, "totp/remove", CONFIRMED).status_code == 204

        assert factors(alice) == {"factors": [], "recovery_codes": 0}
        assert login().status_code == 200
        entry = AuditEntry.objects.get(action="user.factor_remove")
        assert (entry.object_id, entry.before) == (alice.user.id, {"method": "totp"})

    def test_app_that_was_not_confirmed_cannot_be_removed(self, alice: Person) -> None:
        begin(alice)

        assert send(alice, "totp/remove", CONFIRMED).status_code == 404

    def test_new_password_keeps_the_factor(self, alice: Person) -> None:
        add(alice)

        services.set_password(actor=OPERATOR, user=alice.user, password="another password")

        assert login(password="another password").status_code == 403

    def test_challenge_from_before_is_of_no_use(self, alice: Person) -> None:
        app = add(alice)
        challenge = login().json()["challenge"]
        send(alice, "totp/remove", CONFIRMED)

        assert answer(challenge, app.code(later=1)).status_code == 400
        assert answer(challenge, app.recovery_codes[0], "recovery_code").status_code == 400
        assert answer(challenge, begin(alice).code()).status_code == 400, "an app that is not confirmed"


@pytest.mark.embedded
class TestRecoveryCodes:
    def test_new_codes_replace_the_old(self, alice: Person) -> None:
        app = add(alice)

        response = send(alice, "recovery-codes", CONFIRMED)

        new = response.json()["recovery_codes"]
        assert len(set(new) - set(app.recovery_codes)) == 10
        assert response.headers["Cache-Control"] == "no-store"
        assert answer(login().json()["challenge"], app.recovery_codes[0], "recovery_code").status_code == 400
        assert answer(login().json()["challenge"], new[0], "recovery_code").status_code == 200
        assert factors(alice)["recovery_codes"] == 9

    def test_without_a_factor_there_are_none(self, alice: Person) -> None:
        assert send(alice, "recovery-codes", CONFIRMED).status_code == 409
        assert not RecoveryCode.objects.exists()


@pytest.mark.embedded
class TestLoss:
    """An operator removes the factors of somebody who has lost them all."""

    def test_command_removes_the_factors(self, alice: Person) -> None:
        enrol(alice.user)

        call_command("removefactors", "ALICE", stdout=(told := StringIO()))

        assert told.getvalue() == "alice has no second factor any more, and signs in with the password alone\n"
        assert login().status_code == 200
        assert factors(alice) == {"factors": [], "recovery_codes": 0}
        entry = AuditEntry.objects.get(action="user.factors_remove")
        assert (entry.actor_label, entry.before) == (
            "manage.py removefactors",
            {"methods": ["totp", "recovery_code"]},
        )

    def test_command_tells_what_is_wrong(self, alice: Person) -> None:
        with pytest.raises(CommandError, match="There is no user 'nobody'"):
            call_command("removefactors", "nobody")
        with pytest.raises(CommandError, match="This user has no second factor"):
            call_command("removefactors", "alice")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("totp/remove", "The authenticator app of your account was removed"), ("recovery-codes", "New recovery codes")],
)
def test_changes_are_told_by_mail(alice_with_email: Person, mailbox: Mailbox, path: str, sentence: str) -> None:
    add(alice_with_email)
    assert send_due() == 1
    assert all("An authenticator app was added to your account" in part for part in parts(mailbox.mails[0]))

    send(alice_with_email, path, CONFIRMED)

    assert send_due() == 1
    assert mailbox.subjects == ["Your second factors were changed"] * 2
    assert all(sentence in part for part in parts(mailbox.mails[1]))
    assert set(mailbox.recipients) == {"alice@example.com"}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_mails_name_each_change(alice: Person, language: str) -> None:
    with translation.override(language):
        sentences = {factors_changed(alice.user, change).paragraphs[0] for change in FactorChange}
        of_the_version_before = factors_changed(alice.user, "").paragraphs[0]

    assert len(sentences | {of_the_version_before}) == len(FactorChange) + 1


def test_secrets_are_stored_as_digests_or_sealed(alice: Person) -> None:
    app = add(alice)
    challenge = login().json()["challenge"]

    stored = str([*TotpFactor.objects.values(), *RecoveryCode.objects.values()])

    for secret in (app.secret, challenge, *app.recovery_codes, *(code.replace("-", "") for code in app.recovery_codes)):
        assert secret not in stored
        assert secret not in str(list(AuditEntry.objects.values()))


def test_imported_person_adds_a_factor(alice: Person, settings: Any) -> None:
    """Their password is hashed as in the system before, and hashed anew at the first use."""
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.hashers.FormerPasswordHasher"]
    former = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    User.objects.filter(pk=alice.user.pk).update(password=former_password(former))

    app = add(alice)

    assert answer(login().json()["challenge"], app.code(later=1)).status_code == 200


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_app_is_confirmed_once(self) -> None:
        alice = register("alice")
        app = begin(alice)
        confirm = partial(send, alice, "totp/confirm", {"code": app.code()})

        responses = at_once(*[confirm] * 3)

        assert Counter(response.status_code for response in responses) == {200: 1, 409: 2}
        assert RecoveryCode.objects.count() == 10

    def test_new_recovery_codes_are_of_one_request(self) -> None:
        alice = register("alice")
        enrol(alice.user)

        responses = at_once(*[partial(send, alice, "recovery-codes", CONFIRMED)] * 3)

        assert Counter(response.status_code for response in responses) == {200: 3}
        assert RecoveryCode.objects.count() == 10

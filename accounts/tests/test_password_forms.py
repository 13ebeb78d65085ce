"""Passwords in either Unicode form: "é" is one character on one keyboard and two on another."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher, make_password

from accounts import services
from accounts.bulk_import import former_password
from accounts.models import User
from accounts.tests.test_former_passwords import hashed
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
COMPOSED = "crème brûlée"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
FORMS = pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED], ids=["NFC", "NFD"])
LOGIN, PASSWORD = "/api/v1/auth/login", "/api/v1/auth/password"


def sign_in(password: str, username: str = "alice") -> int:
    response = SurfaceClient().send("POST", LOGIN, {"username": username, "password": password})
    status: int = response.status_code
    return status


@FORMS
def test_registered_password_is_the_same_in_both_forms(public: SurfaceClient, typed: str) -> None:
    public.send("POST", "/api/v1/auth/register", {"username": "alice", "password": typed})

    assert [sign_in(form) for form in (COMPOSED, DECOMPOSED, "creme brulee")] == [200, 200, 400]


@FORMS
def test_changed_password_is_the_same_in_both_forms(alice: Person, typed: str) -> None:
    body = {"old_password": "password123", "new_password": typed}
    assert alice.client.send("POST", PASSWORD, body).status_code == 204

    assert [sign_in(form) for form in (COMPOSED, DECOMPOSED)] == [200, 200]


@FORMS
def test_password_that_an_operator_sets_is_the_same_in_both_forms(alice: Person, typed: str) -> None:
    services.set_password(actor=OPERATOR, user=alice.user, password=typed)

    assert [sign_in(form) for form in (COMPOSED, DECOMPOSED)] == [200, 200]


@pytest.mark.parametrize(
    "encoded",
    [make_password(DECOMPOSED, hasher=MD5PasswordHasher()), former_password(hashed(DECOMPOSED))],
    ids=["hashed here", "imported"],
)
def test_hash_of_a_decomposed_password_is_good_and_replaced_at_the_sign_in(
    alice: Person, encoded: str, settings: Any
) -> None:
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "accounts.hashers.FormerPasswordHasher"]
    User.objects.filter(pk=alice.user.pk).update(password=encoded)

    assert [sign_in(form) for form in ("creme brulee", DECOMPOSED, COMPOSED)] == [400, 200, 200]


def test_length_counts_characters_as_people_see_them(public: SurfaceClient) -> None:
    body = {"username": "alice", "password": unicodedata.normalize("NFD", "éééé")}

    assert public.send("POST", "/api/v1/auth/register", body).status_code == 400


@pytest.mark.parametrize(("password", "hashes"), [("wrong password", 1), (DECOMPOSED, 2)])
def test_unknown_name_takes_as_many_hashes_as_a_wrong_password(
    alice: Person, monkeypatch: pytest.MonkeyPatch, password: str, hashes: int
) -> None:
    """Otherwise the time would tell which names exist."""
    made: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(hasher: MD5PasswordHasher, password: str, salt: str) -> str:
        made.append(password)
        return encode(hasher, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    counts = []
    for username in ("alice", "nobody"):
        made.clear()
        assert sign_in(password, username) == 400
        counts.append(len(made))

    assert counts == [hashes, hashes]

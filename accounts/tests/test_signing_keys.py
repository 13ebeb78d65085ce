"""Changes of the key that signs tokens, with those signed before (MAIM_SECRET_KEY_FALLBACKS)."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from accounts.tests.test_sessions import is_signed_in, refresh, sign_in
from tests.support.people import Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

NEW_KEY = "a new secret key, which is as long as they ought to be"


def change_the_key(settings: Any, fallbacks: list[str]) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, fallbacks


def key_id(token: str) -> Any:
    return jwt.get_unverified_header(token)["kid"]


def without_key_id(token: str, key: str) -> str:
    """Return a token as versions before key ids signed it."""
    return jwt.encode(jwt.decode(token, options={"verify_signature": False}), key, "HS256")


def test_tokens_of_a_former_key_are_good(alice: Person, settings: Any) -> None:
    tokens = sign_in()

    change_the_key(settings, [settings.SECRET_KEY])

    assert is_signed_in(tokens)
    assert refresh(tokens).status_code == 200


def test_new_tokens_are_signed_with_the_new_key(alice: Person, settings: Any) -> None:
    tokens = sign_in()
    change_the_key(settings, [settings.SECRET_KEY])

    fresh = refresh(tokens).json()
    settings.SECRET_KEY_FALLBACKS = []

    assert is_signed_in(fresh)
    assert key_id(fresh["access_token"]) == key_id(fresh["refresh_token"]) != key_id(tokens["access_token"])


def test_tokens_of_a_key_that_was_removed_are_refused(alice: Person, settings: Any) -> None:
    tokens = sign_in()

    change_the_key(settings, [])

    assert not is_signed_in(tokens)
    assert refresh(tokens).status_code == 401


def test_token_without_a_key_id_is_of_the_oldest_key(alice: Person, settings: Any) -> None:
    oldest = settings.SECRET_KEY
    access = without_key_id(sign_in()["access_token"], oldest)

    change_the_key(settings, ["another former key, which is as long as they ought to be", oldest])

    assert is_signed_in({"access_token": access})


def test_token_signed_with_another_key_is_refused(alice: Person) -> None:
    access = without_key_id(sign_in()["access_token"], NEW_KEY)

    assert not is_signed_in({"access_token": access})


def test_key_id_does_not_tell_the_key(alice: Person, settings: Any) -> None:
    shown = key_id(sign_in()["access_token"])

    assert len(shown) == 16
    assert shown not in settings.SECRET_KEY


@pytest.mark.parametrize(
    "header", [{"kid": 5}, {"kid": ["a"]}, {"kid": {}}, {"kid": "x" * 4000}, {"alg": "none"}, [], 5]
)
def test_odd_header_is_401(alice: Person, header: Any) -> None:
    _, claims, signature = sign_in()["access_token"].split(".")
    if isinstance(header, dict):
        header = {"typ": "JWT", "alg": "HS256", **header}
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")

    assert not is_signed_in({"access_token": f"{encoded}.{claims}.{signature}"})

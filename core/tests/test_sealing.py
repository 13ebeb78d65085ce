"""Secrets that have to be read again: sealed under the newest key, readable under any that is configured."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.test.utils import override_settings

from core import sealing

pytestmark = pytest.mark.embedded

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def keys(*given: str) -> override_settings:
    """These Fernet keys, newest first."""
    return override_settings(ENCRYPTION_KEYS=given)


@pytest.mark.parametrize("text", ["", "a secret", "小明 🤖", "x" * 100_000])
def test_what_is_sealed_can_be_read_again(text: str) -> None:
    sealed = sealing.seal(text)

    assert sealing.unseal(sealed) == text
    assert sealed.isascii()
    assert not text or text not in sealed


def test_the_same_is_never_sealed_alike() -> None:
    assert sealing.seal("a secret") != sealing.seal("a secret")


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    with keys(OLD):
        old = sealing.seal("a secret")
    with keys(NEW, OLD):
        assert sealing.unseal(old) == "a secret"
        new = sealing.seal("a secret")
    with keys(NEW):
        assert sealing.unseal(new) == "a secret"


def test_without_its_key_it_cannot_be_read() -> None:
    with keys(OLD):
        sealed = sealing.seal("a secret")

    with keys(NEW), pytest.raises(sealing.Unsealable) as refusal:
        sealing.unseal(sealed)

    assert sealed not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "a secret in clear", "gAAAAA", "小明"])
def test_what_was_never_sealed_cannot_be_read(text: str) -> None:
    with pytest.raises(sealing.Unsealable) as refusal:
        sealing.unseal(text)

    assert not text or text not in str(refusal.value)


def test_what_was_tampered_with_cannot_be_read() -> None:
    sealed = sealing.seal("a secret")
    middle = len(sealed) // 2
    other = "A" if sealed[middle] != "A" else "B"

    with pytest.raises(sealing.Unsealable):
        sealing.unseal(sealed[:middle] + other + sealed[middle + 1 :])

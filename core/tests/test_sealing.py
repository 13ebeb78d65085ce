"""Sealed secrets: under the newest key, readable under every configured one."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.test.utils import override_settings

from core import sealing

pytestmark = pytest.mark.embedded

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def keys(*given: str) -> override_settings:
    """Configure these Fernet keys, newest first."""
    return override_settings(ENCRYPTION_KEYS=given)


@pytest.mark.parametrize("text", ["", "a secret", "小明 🤖", "x" * 100_000])
def test_sealed_text_can_be_unsealed(text: str) -> None:
    sealed = sealing.seal(text)

    assert sealing.unseal(sealed) == text
    assert sealed.isascii()
    assert not text or text not in sealed


def test_same_text_is_sealed_differently_each_time() -> None:
    assert sealing.seal("a secret") != sealing.seal("a secret")


def test_older_key_unseals_and_newest_key_seals() -> None:
    with keys(OLD):
        old = sealing.seal("a secret")
    with keys(NEW, OLD):
        assert sealing.unseal(old) == "a secret"
        new = sealing.seal("a secret")
    with keys(NEW):
        assert sealing.unseal(new) == "a secret"


def test_missing_key_raises_unsealable() -> None:
    with keys(OLD):
        sealed = sealing.seal("a secret")

    with keys(NEW), pytest.raises(sealing.Unsealable) as refusal:
        sealing.unseal(sealed)

    assert sealed not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "a secret in clear", "gAAAAA", "小明"])
def test_unsealed_text_raises_unsealable(text: str) -> None:
    with pytest.raises(sealing.Unsealable) as refusal:
        sealing.unseal(text)

    assert not text or text not in str(refusal.value)


def test_tampered_text_raises_unsealable() -> None:
    sealed = sealing.seal("a secret")
    middle = len(sealed) // 2
    other = "A" if sealed[middle] != "A" else "B"

    with pytest.raises(sealing.Unsealable):
        sealing.unseal(sealed[:middle] + other + sealed[middle + 1 :])

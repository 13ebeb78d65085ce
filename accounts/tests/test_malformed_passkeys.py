"""Credentials that no browser sends."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from functools import cache
from typing import Any, NamedTuple

import pytest
from fido2 import cbor
from fido2.utils import websafe_decode, websafe_encode
from hypothesis import given
from hypothesis import strategies as st

from accounts import webauthn
from accounts.models import Passkey, User
from tests.support.client import SurfaceClient
from tests.support.examples import examples
from tests.support.passkeys import (
    ask,
    ask_alone,
    begin,
    confirm,
    is_refused,
)
from tests.support.people import Person
from tests.support.security_keys import SecurityKey

pytestmark = pytest.mark.embedded

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=80).map(websafe_encode),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
cbor_values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.binary(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-5, 5) | st.text(max_size=3), inner),
    max_leaves=5,
)


@st.composite
def broken(draw: st.DrawFn, credential: dict[str, Any]) -> Any:
    """Draw a credential of which one part is other JSON, or has a byte changed, or CBOR of another form."""
    place = draw(st.sampled_from(["", *credential, *(f"response.{name}" for name in credential["response"])]))
    outer, _dot, inner = place.rpartition(".")
    if not place:
        return draw(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
    former = (credential[outer] if outer else credential)[inner]
    value = draw(json_values | _changed_bytes(former) | _changed_cbor(former))
    return {**credential, outer: {**credential[outer], inner: value}} if outer else {**credential, inner: value}


def _changed_bytes(former: Any) -> st.SearchStrategy[str]:
    data = websafe_decode(former) if isinstance(former, str) else b"text"
    place, byte = st.integers(0, len(data) - 1), st.binary(max_size=2)
    return st.builds(lambda place, byte: websafe_encode(data[:place] + byte + data[place + 1 :]), place, byte)


def _changed_cbor(former: Any) -> st.SearchStrategy[str]:
    """Return encodings of other values, and of an attestation object with other authenticator data."""
    data = SecurityKey().authenticator_data("localhost", 0x40) + bytes(16) + b"\x00\x20" + bytes(32)
    keys = cbor_values.map(cbor.encode).map(lambda key: {"fmt": "none", "attStmt": {}, "authData": data + key})
    return (cbor_values | keys).map(cbor.encode).map(websafe_encode)


class Genuine(NamedTuple):
    """A passkey, and what a browser sent to add and to use it."""

    passkey: Passkey
    made: dict[str, Any]
    got: dict[str, Any]


@cache
def genuine_passkey() -> Genuine:
    """Return the same in all examples, because a key and its signatures are random."""
    key, alice = SecurityKey(), User(username="alice")
    made = key.create(webauthn.creation_options(alice, "challenge", []))
    passkey = Passkey(user=alice, **asdict(webauthn.register("challenge", made)))
    return Genuine(passkey, made, key.get(webauthn.request_options("challenge", [passkey])))


@examples(30)
@given(st.data())
def test_malformed_credentials_are_refused(data: st.DataObject) -> None:
    """Nothing but WrongPasskey is raised, and what is accepted can be asked for again."""
    genuine, made, got = genuine_passkey()
    webauthn.verify("challenge", got, genuine)

    with suppress(webauthn.WrongPasskey):
        accepted = webauthn.register("challenge", data.draw(broken(made)))
        passkey = Passkey(user=genuine.user, **asdict(accepted))
        webauthn.request_options("challenge", [passkey])
        webauthn.verify("challenge", got, passkey)
    with suppress(webauthn.WrongPasskey):
        webauthn.credential_digest(data.draw(broken(got)))
        webauthn.verify("challenge", data.draw(broken(got)), genuine)


def test_long_credential_is_refused(alice: Person, key: SecurityKey) -> None:
    """A longer one would take long to parse."""
    begun = begin(alice)
    made = SecurityKey().create(begun["options"])

    assert is_refused(confirm(alice, begun, {**made, "more": "x" * webauthn.MAX_CREDENTIAL}))
    assert confirm(alice, begun, made).status_code == 200


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"id": 5},
        {"id": "é"},
        {"id": "AAAA", "rawId": "AAAA", "response": None},
        {"id": "A" * 20_000},
        {"id": "AAAA", "rawId": "AAAA", "response": {"clientDataJSON": "AAAA", "attestationObject": "gYGB" * 3000}},
    ],
    ids=repr,
)
def test_malformed_credential_is_a_bad_request(alice: Person, key: SecurityKey, credential: Any) -> None:
    second = {"challenge": ask()["challenge"], "method": "passkey", "credential": credential}
    alone = {"challenge": ask_alone()["challenge"], "credential": credential}

    assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/mfa", second))
    assert is_refused(SurfaceClient().send("POST", "/api/v1/auth/passkey", alone))
    assert is_refused(confirm(alice, begin(alice), credential))

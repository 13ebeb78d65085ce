"""Passkeys (W3C Web Authentication, Level 3): the options that browsers get, and the checks of what they answer.

Each passkey is discoverable and verifies its user, by a PIN or a finger, so that it counts as both factors.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import Passkey, User
from core.errors import Conflict, Invalid

log = logging.getLogger("maim.auth")

Credential = Mapping[str, Any]
Options = dict[str, Any]

# An honest credential has 1 to 8 KiB. Parsing takes time that grows with the square of the length.
MAX_CREDENTIAL = 16 * 1024
# The longest id of a credential that a relying party must accept (section 4, "Credential ID").
_MAX_ID = 1023
# ES256, EdDSA and RS256, which section 5.4 recommends. Every authenticator has one of them.
_ALGORITHMS = (-7, -8, -257)
_TRANSPORTS = frozenset({"ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"})
_VERIFIED = UserVerificationRequirement.REQUIRED


class NoPasskeysHere(Conflict):
    """An installation without an address that passkeys can belong to."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Passkeys belong to a host name: set MAIM_PUBLIC_URL to an https:// address with one, "
                "or to http://localhost"
            )
        )


class WrongPasskey(Invalid):
    """A credential that is malformed, of another passkey, place or challenge, or not verified by its user."""

    def __init__(self) -> None:
        super().__init__({"credential": [_("The passkey was not accepted")]})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPasskey:
    """A credential that was registered."""

    credential_digest: str
    credential_data: bytes
    sign_count: int
    transports: list[str]
    backed_up: bool
    aaguid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A use of a passkey."""

    sign_count: int
    backed_up: bool


def is_available() -> bool:
    """Return whether there is an address that passkeys can belong to: a host name, and TLS but on localhost."""
    url = urlsplit(settings.PUBLIC_URL or "")
    host = url.hostname
    if not host or _is_ip_address(host):
        return False
    return url.scheme == "https" or host == "localhost" or host.endswith(".localhost")


def creation_options(user: User, challenge: str, existing: Iterable[Passkey]) -> Options:
    """Return the options of `navigator.credentials.create`. Raise NoPasskeysHere."""
    entity = PublicKeyCredentialUserEntity(id=user.pk.encode(), name=user.username, display_name=user.username)
    made, _state = _server().register_begin(
        entity,
        [_descriptor(passkey) for passkey in existing],
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=_VERIFIED,
        challenge=_signed_part(challenge),
    )
    return _plain(made.public_key)


def request_options(challenge: str, allowed: Iterable[Passkey] = ()) -> Options:
    """Return the options of `navigator.credentials.get`, for any passkey if none is named. Raise NoPasskeysHere."""
    made, _state = _server().authenticate_begin(
        [_descriptor(passkey) for passkey in allowed],
        user_verification=_VERIFIED,
        challenge=_signed_part(challenge),
    )
    return _plain(made.public_key)


def register(challenge: str, credential: Credential) -> NewPasskey:
    """Return the passkey that answers a challenge (section 7.1). Raise WrongPasskey and NoPasskeysHere.

    Nobody asks which make an authenticator is of, so its attestation is not read.
    """
    server = _server()
    with _refusing(credential):
        answer = RegistrationResponse.from_dict(credential)
        data = server.register_complete(_state(challenge), answer)
        _check_origin_of_frame(answer.response.client_data)
        return _new_passkey(data, credential["response"].get("transports"))


def verify(challenge: str, credential: Credential, passkey: Passkey) -> Assertion:
    """Return the use of a passkey that answers a challenge (section 7.2). Raise WrongPasskey and NoPasskeysHere.

    A sign count that did not grow is that of a copy (section 6.1.1). Passkeys that are kept in several places have
    none, which they show as 0.
    """
    server, stored = _server(), _credential_data(passkey)
    with _refusing(credential):
        answer = AuthenticationResponse.from_dict(credential)
        server.authenticate_complete(_state(challenge), [stored], answer)
        _check_origin_of_frame(answer.response.client_data)
        _check_owner(answer.response.user_handle, passkey)
        data = answer.response.authenticator_data
        _check_sign_count(data.counter, passkey)
        return Assertion(sign_count=data.counter, backed_up=data.is_backed_up())


def credential_digest(credential: Credential) -> str:
    """Return the digest of a credential's id, by which its passkey is found. Raise WrongPasskey."""
    with _refusing(credential):
        return _digest(websafe_decode(credential["id"]))


def _server() -> Fido2Server:
    if not is_available():
        raise NoPasskeysHere
    domain = settings.PASSKEY_DOMAIN or urlsplit(settings.PUBLIC_URL or "").hostname or ""
    server = Fido2Server(
        PublicKeyCredentialRpEntity(id=domain, name="maim"), verify_origin=_origins(domain).__contains__
    )
    server.allowed_algorithms = [
        PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=number) for number in _ALGORITHMS
    ]
    return server


def _origins(domain: str) -> set[str]:
    """Return the origins whose pages may use the passkeys of a domain: ours, and those of consoles in it."""
    known = {settings.PUBLIC_URL or "", *settings.CORS_ALLOWED_ORIGINS}
    return {origin for origin in known if f".{urlsplit(origin).hostname}".endswith(f".{domain}")}


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _signed_part(challenge: str) -> bytes:
    """Return the digest of a challenge, which the authenticator signs in its place: challenges differ in length."""
    return hashlib.sha256(challenge.encode()).digest()


def _state(challenge: str) -> dict[str, Any]:
    return {"challenge": websafe_encode(_signed_part(challenge)), "user_verification": _VERIFIED}


def _credential_data(passkey: Passkey) -> AttestedCredentialData:
    return AttestedCredentialData(bytes(passkey.credential_data))


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor.from_dict(
        {
            "type": PublicKeyCredentialType.PUBLIC_KEY,
            "id": _credential_data(passkey).credential_id,
            "transports": passkey.transports,
        }
    )


def _plain(options: Any) -> Options:
    """Return options as plain JSON."""
    plain: Options = json.loads(json.dumps(options, default=dict))
    return plain


def _new_passkey(data: AuthenticatorData, transports: Iterable[str] | None) -> NewPasskey:
    made = data.credential_data
    if made is None or made.public_key.ALGORITHM not in _ALGORITHMS:
        raise ValueError("a key of an algorithm that was not offered")
    if len(made.credential_id) > _MAX_ID:
        raise ValueError("an id that is too long")
    return NewPasskey(
        credential_digest=_digest(made.credential_id),
        credential_data=bytes(made),
        sign_count=data.counter,
        transports=sorted(_TRANSPORTS.intersection(transports or ())),
        backed_up=data.is_backed_up(),
        aaguid=str(made.aaguid),
    )


def _check_origin_of_frame(client_data: CollectedClientData) -> None:
    if client_data.cross_origin:
        raise ValueError("used in a frame of another origin")


def _check_owner(user_handle: bytes | None, passkey: Passkey) -> None:
    if user_handle is not None and user_handle != passkey.user_id.encode():
        raise ValueError("the passkey of another user")


def _check_sign_count(sign_count: int, passkey: Passkey) -> None:
    if (sign_count or passkey.sign_count) and sign_count <= passkey.sign_count:
        log.warning("refused passkey %s, whose sign count did not grow: it may be a copy", passkey.pk)
        raise ValueError("the sign count did not grow")


def _digest(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


@contextmanager
def _refusing(credential: Credential) -> Iterator[None]:
    """Raise WrongPasskey for whatever is wrong with a credential.

    The parsers of fido2 let all of Python's errors through, which they meet in input that no browser sends.
    """
    try:
        if len(json.dumps(credential)) > MAX_CREDENTIAL:
            raise ValueError("a credential that is too long")
        yield
    except Exception as error:
        log.info("refused a passkey: %.200r", error)
        raise WrongPasskey from error

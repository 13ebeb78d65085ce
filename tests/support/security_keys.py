"""A security key in software: what a browser and an authenticator do with a passkey (WebAuthn, ES256)."""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

ORIGIN = "http://localhost"
PRESENT, VERIFIED, BACKED_UP, ATTESTED = 0x01, 0x04, 0x18, 0x40


@dataclass(kw_only=True)
class SecurityKey:
    """A key with one passkey. What a test sets here it does wrong, or otherwise than most keys do."""

    origin: str = ORIGIN
    rp_id: str | None = None  # in place of that in the options
    counter: int = 0  # how often it was used; 0 stays 0, as with passkeys that are kept in several places
    is_verified: bool = True  # by a PIN or a finger
    is_framed: bool = False  # in a page of another origin
    user_handle: str = ""
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    private_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: Any, **changed: Any) -> dict[str, Any]:
        """Return what `navigator.credentials.create` does, as JSON. `changed` are other values of the response."""
        self.user_handle = options["user"]["id"]
        from_key: Any = ES256.from_cryptography_key  # which has no types
        public_key = cbor.encode(from_key(self.private_key.public_key()))
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + public_key
        data = self.authenticator_data(options["rp"]["id"], ATTESTED) + attested
        return self._credential(
            clientDataJSON=websafe_encode(self._client_data("webauthn.create", options)),
            attestationObject=websafe_encode(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
            transports=["internal", "hybrid"],
            **changed,
        )

    def get(self, options: Any, **changed: Any) -> dict[str, Any]:
        """Return what `navigator.credentials.get` does, as JSON. `changed` are other values of the response."""
        self.counter += bool(self.counter)
        client_data, data = self._client_data("webauthn.get", options), self.authenticator_data(options["rpId"])
        signature = self.private_key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        values = {
            "clientDataJSON": websafe_encode(client_data),
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(signature),
            "userHandle": self.user_handle,
        }
        return self._credential(**{**values, **changed})

    def authenticator_data(self, rp_id: str, flags: int = 0) -> bytes:
        flags |= PRESENT | BACKED_UP | (VERIFIED if self.is_verified else 0)
        digest = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return digest + struct.pack(">BI", flags, self.counter)

    def _client_data(self, kind: str, options: Any) -> bytes:
        values = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": self.is_framed}
        return json.dumps(values).encode()

    def _credential(self, **response: Any) -> dict[str, Any]:
        identifier = websafe_encode(self.credential_id)
        return {
            "id": identifier,
            "rawId": identifier,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": response,
        }

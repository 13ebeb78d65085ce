"""The format of API keys (docs/contract.md section 5).

`mmc_` and the standard base64 of `{tenant_id}_{agent_id}_{random}_{version}`.

- Version v1, of the old system: 16 hex digits of random, no checksum. Its first revisions had UUIDs for ids, and
  random parts of other lengths. Only the HMAC tells such a key from an invented one.
- Version v2, the current one: 34 hex digits of random and 8 of CRC-32 over everything before them. The payload is
  84 bytes, so the key has no padding and always has 116 characters. The checksum is no secret: with it, mistyped and
  invented keys are rejected without a query, and scanners tell a key from noise.

A key in clear is called its secret, because the key itself is a row that has one secret after another.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import zlib
from dataclasses import dataclass

from core import scrubbing

PREFIX = scrubbing.PREFIX
_MAX_LENGTH = 200
_PAYLOAD = re.compile(
    r"(?P<tenant_id>tenant_[0-9a-f]{12})_(?P<agent_id>agent_[0-9a-f]{12})_"
    r"(?:(?P<v1>[0-9a-f]{16})_v1|(?P<v2>[0-9a-f]{34}(?P<checksum>[0-9a-f]{8}))_v2)"
)
_UUID = "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_UUID_PAYLOAD = re.compile(rf"(?P<tenant_id>{_UUID})_(?P<agent_id>{_UUID})_(?P<random>[0-9A-Za-z-]{{8,64}})_v1")
_MASKED = re.compile(rf"(?:{re.escape(PREFIX)})?(?:…|\.{{3}}|\*+)(?P<hint>[0-9A-Za-z-]{{4}})")


class MalformedKey(ValueError):
    """The text is not an API key of any known version. The message never repeats it."""


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The parts of a secret. They say nothing about its validity."""

    tenant_id: str
    agent_id: str
    random: str
    version: str

    @property
    def hint(self) -> str:
        """The last four characters of the random part, by which people tell masked keys apart."""
        return self.random[-4:]


def generate(tenant_id: str, agent_id: str) -> str:
    """Return a new secret of the current version, with 136 random bits."""
    unchecked = f"{tenant_id}_{agent_id}_{secrets.token_hex(17)}"
    payload = f"{unchecked}{_checksum(unchecked)}_v2"
    return PREFIX + base64.b64encode(payload.encode()).decode()


def parse(secret: str) -> ParsedKey:
    """Return the parts of a secret, without a query.

    Raise MalformedKey if it does not decode exactly, e.g. for trailing characters, blanks, another alphabet or a wrong
    checksum.
    """
    if not secret.startswith(PREFIX) or len(secret) > _MAX_LENGTH:
        raise MalformedKey(f"a key starts with {PREFIX} and has at most {_MAX_LENGTH} characters")
    encoded = secret[len(PREFIX) :]
    try:
        raw = base64.b64decode(encoded, validate=True)
        payload = raw.decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise MalformedKey("what follows the prefix is not base64 of a key") from error
    # b64decode ignores the unused bits of the last character, but two texts must not be the same key.
    if base64.b64encode(raw).decode() != encoded:
        raise MalformedKey("what follows the prefix is not exact base64")
    match = _PAYLOAD.fullmatch(payload)
    if match is None:
        return _parse_uuid_payload(payload)
    if match["v2"] and match["checksum"] != _checksum(payload[: match.start("checksum")]):
        raise MalformedKey("the checksum is wrong; the key was mistyped or cut")
    return ParsedKey(
        tenant_id=match["tenant_id"],
        agent_id=match["agent_id"],
        random=match["v1"] or match["v2"],
        version="v1" if match["v1"] else "v2",
    )


def _parse_uuid_payload(payload: str) -> ParsedKey:
    match = _UUID_PAYLOAD.fullmatch(payload)
    if match is None:
        raise MalformedKey("the parts of the key are not those of any version")
    return ParsedKey(match["tenant_id"], match["agent_id"], match["random"], "v1")


def is_well_formed(secret: str) -> bool:
    try:
        parse(secret)
    except MalformedKey:
        return False
    return True


def masked(hint: str) -> str:
    """Return the text that stands for a key wherever its secret must not be shown."""
    return f"{PREFIX}…{hint}"


def hint_in(text: str) -> str | None:
    """Return the hint in a masked key, which people may also type as `mmc_...94bb` or `…94bb`; None in other texts."""
    match = _MASKED.fullmatch(text.strip())
    return match["hint"] if match else None


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"

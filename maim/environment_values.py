"""Parsers and checks of the values of environment variables. They raise ValueError, whose text has no secrets."""

from __future__ import annotations

import base64
import ipaddress
import re
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from pydantic import SecretStr

from core.setting_types import AuthRate, parse_bind

MIN_SECRET_LENGTH = 32
FERNET_KEY_BYTES = 32


def parse_origin(text: str) -> str:
    """Return an origin such as `https://console.example.com`, normalised. Raise ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"{text!r} is no origin; write it as https://console.example.com")
    if parts.query or parts.fragment or parts.username:
        raise ValueError(f"{text!r} is no origin; write it as https://console.example.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_key_peppers(text: str) -> dict[int, str]:
    """Return `2:…,1:…` as {2: …, 1: …}, newest first. Raise ValueError."""
    found: dict[int, str] = {}
    for part in text.split(","):
        number, colon, pepper = part.strip().partition(":")
        if not colon or not number.isdecimal():
            raise ValueError("must read 2:PEPPER,1:PEPPER with the newest first")
        if int(number) in found:
            raise ValueError(f"number {number} is given twice")
        if len(pepper) < MIN_SECRET_LENGTH:
            raise ValueError(f"pepper {number} is shorter than {MIN_SECRET_LENGTH} characters")
        found[int(number)] = pepper
    if list(found) != sorted(found, reverse=True):
        raise ValueError("must be ordered newest (highest number) first")
    return found


def parse_encryption_keys(text: str) -> tuple[str, ...]:
    """Return the Fernet keys, newest first. Raise ValueError."""
    keys = tuple(part.strip() for part in text.split(","))
    for number, key in enumerate(keys, 1):
        try:
            is_good = len(base64.urlsafe_b64decode(key)) == FERNET_KEY_BYTES
        except ValueError:  # whose text may hold a part of the key
            is_good = False
        if not is_good:
            raise ValueError(
                f"key {number} is no Fernet key, which is 32 bytes in URL-safe base64; make one with: "
                "openssl rand -base64 32 | tr '+/' '-_'"
            )
    return keys


def parse_secret_keys(text: str) -> list[str]:
    """Return comma-separated secret keys. Raise ValueError."""
    keys = [part.strip() for part in text.split(",")]
    for number, key in enumerate(keys, 1):
        if len(key) < MIN_SECRET_LENGTH:
            raise ValueError(f"key {number} is shorter than {MIN_SECRET_LENGTH} characters")
    return keys


def parse_auth_rate(text: str) -> AuthRate | None:
    """Parse `10,60` or `off`. Raise ValueError."""
    if text == "off":
        return None
    match = re.fullmatch(r"(\d{1,6}),(\d{1,6})", text.replace(" ", ""))
    if not match or not int(match[1]) or not int(match[2]):
        raise ValueError("must be two numbers, per account and per address, such as 10,60; or off")
    return AuthRate(int(match[1]), int(match[2]))


def check_bind(text: str) -> str:
    parse_bind(text)
    return text


def check_auth_rate(text: str) -> str:
    parse_auth_rate(text)
    return text


def check_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
        raise ValueError(f"{text!r} is no host name")
    return text.lower()


def check_network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def check_time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError of a directory, such as `Asia`
        raise ValueError(f"{text!r} is no time zone; write it as Asia/Shanghai or UTC") from error
    return text


def check_secret_name(text: str) -> str:
    if not re.fullmatch(r"[\w*-]+", text) or len(text.replace("*", "")) < 2:
        raise ValueError(f"{text!r} is no pattern of a name; write it as license_number or *_pin")
    return text


def check_database_url(text: str) -> str:
    scheme = urlsplit(text).scheme
    if scheme not in ("sqlite", "mysql"):
        raise ValueError("must start with sqlite:// or mysql:// (MariaDB too)")
    try:
        dj_database_url.parse(text)
    except ValueError:  # whose text may hold a part of the password
        raise ValueError("must be a URL; write special characters in its password as %40 and the like") from None
    return text


def check_redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose text may hold a part of the password
        is_good = False
    if not is_good:
        raise ValueError("must be a redis:// or rediss:// URL; write special characters in its password as %40")
    return text


def check_secret_key(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
        raise ValueError(f"must have at least {MIN_SECRET_LENGTH} characters")
    return secret


def check_secret_keys(secret: SecretStr) -> SecretStr:
    parse_secret_keys(secret.get_secret_value())
    return secret


def check_key_peppers(secret: SecretStr) -> SecretStr:
    parse_key_peppers(secret.get_secret_value())
    return secret


def check_encryption_keys(secret: SecretStr) -> SecretStr:
    parse_encryption_keys(secret.get_secret_value())
    return secret

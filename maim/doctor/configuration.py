"""Checks of the configuration: variables, settings that do not go together, and secrets that are easy to guess."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage

from maim.doctor.findings import Finding, Level

# Checks of Django's that other checks here stand for: they know more.
_COVERED = frozenset({"maim.W001", "maim.W003"})
# Random secrets of 32 characters have more, hexadecimal ones too.
_MIN_DISTINCT = 8


def check_variables() -> Iterator[Finding]:
    """Look for variables that look like settings and are none."""
    unknown = settings.ENV.unknown_variables()
    for sentence in unknown:
        yield Finding("variables", Level.WARNING, sentence, "Correct its name, or remove it: it has no effect")
    if not unknown:
        yield Finding("variables", Level.OK, "Every MAIM_ variable is a setting")


def check_settings() -> Iterator[Finding]:
    """Look for settings that do not go together, or are not for production."""
    found = list(_odd_settings())
    yield from found or [Finding("settings", Level.OK, "They go together")]


def _odd_settings() -> Iterator[Finding]:
    if settings.BEHIND_TLS and not settings.TRUSTED_PROXIES:
        yield Finding(
            "settings",
            Level.WARNING,
            "MAIM_PUBLIC_URL is https, and MAIM_TRUSTED_PROXIES is not set: everybody has the proxy's address",
            "Set MAIM_TRUSTED_PROXIES to the network of the proxy that ends TLS",
        )
    if settings.AUTH_RATE is None:
        yield Finding(
            "settings",
            Level.PROBLEM,
            "MAIM_AUTH_RATE is off: passwords can be guessed without end",
            "Remove it; it is for load tests",
        )
    if settings.PUBLIC_URL and not settings.MAIL_IS_SET_UP:
        yield Finding(
            "settings",
            Level.WARNING,
            "MAIM_EMAIL_URL is not set: nobody gets a mail, and links to set a password are written to files",
            "Set it to a mail server",
        )


def check_secrets() -> Iterator[Finding]:
    """Look for secrets that are easy to guess, or used for two things."""
    found = list(_weak_secrets())
    yield from found or [Finding("secrets", Level.OK, "They are long, not patterns, and each for one thing")]


def _weak_secrets() -> Iterator[Finding]:
    names_of: dict[str, str] = {}
    for name, secret in _secrets():
        if len(set(secret)) < _MIN_DISTINCT:
            yield Finding(
                "secrets",
                Level.PROBLEM,
                f"{name} has fewer than {_MIN_DISTINCT} different characters, so that it can be guessed",
                "Replace it by a random one (openssl rand -base64 48): docs/operations.md#rotating-secrets",
            )
        if names_of.setdefault(secret, name) != name:
            yield Finding(
                "secrets",
                Level.WARNING,
                f"{name} has the same value as {names_of[secret]}: who learns one learns both",
                "Replace one of them: docs/operations.md#rotating-secrets",
            )


def _secrets() -> Iterator[tuple[str, str]]:
    """Yield each secret with the name of its setting."""
    yield "MAIM_SECRET_KEY", settings.SECRET_KEY
    for number, pepper in settings.KEY_PEPPERS.items():
        yield f"pepper {number} of MAIM_KEY_PEPPERS", pepper
    for number, key in enumerate(settings.ENCRYPTION_KEYS, 1):
        yield f"key {number} of MAIM_ENCRYPTION_KEYS", key


def check_system() -> Iterator[Finding]:
    """Run the system checks of Django and maim, as `manage.py check --deploy` does."""
    found = [message for message in checks.run_checks(include_deployment_checks=True) if _counts(message)]
    for message in found:
        yield of_message("system checks", message)
    if not found:
        yield Finding("system checks", Level.OK, "Nothing is wrong")


def of_message(check: str, message: CheckMessage) -> Finding:
    """Return the finding of one of Django's checks."""
    level = Level.PROBLEM if message.level >= checks.ERROR else Level.WARNING
    return Finding(check, level, f"{message.msg} ({message.id})", str(message.hint or ""))


def _counts(message: CheckMessage) -> bool:
    return message.level >= checks.WARNING and not message.is_silenced() and message.id not in _COVERED

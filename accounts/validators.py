"""Validation of usernames, e-mail addresses and passwords. Each function returns errors by field, or none."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator, validate_email
from django.utils.encoding import punycode
from django.utils.translation import gettext_lazy as _

from accounts.hashers import normalize_password
from core.naming import folded_length_error
from core.text import fold, fold_name, name_error

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 1024  # the time of a hash grows with the length


def username_errors(username: str) -> dict[str, list[Any]]:
    if not username.strip():
        return {"username": [_("The username must not be empty")]}
    if error := name_error(username):
        return {"username": [error]}
    if username != username.strip() or not username.isprintable():
        return {"username": [_("The username may hold printable characters only")]}
    if len(username) > 100 or len(fold(username)) > 300:
        return {"username": [_("The username may have at most 100 characters")]}
    # The name of a person's own tenant is made from the username.
    if error := folded_length_error(fold_name(username), 300):
        return {"username": [error]}
    return {}


def email_errors(email: str | None) -> dict[str, list[Any]]:
    if not email:
        return {}
    if invisible := name_error(email):
        return {"email": [invisible]}
    try:
        validate_email(email)
        punycode(email.rpartition("@")[2])  # as its domain is written in a mail
    except ValidationError as error:
        return {"email": list(error.messages)}
    except UnicodeError:
        return {"email": [EmailValidator.message]}
    return {"email": [_("The e-mail address is too long")]} if len(email) > 254 else {}


def password_errors(password: str, username: str, *, field: str) -> dict[str, list[Any]]:
    if len(normalize_password(password)) < MIN_PASSWORD_LENGTH:
        return {field: [_("The password must have at least 8 characters")]}
    if len(password) > MAX_PASSWORD_LENGTH:
        return {field: [_("The password may have at most 1024 characters")]}
    if fold(password) == fold(username):
        return {field: [_("The password must not be the username")]}
    return {}

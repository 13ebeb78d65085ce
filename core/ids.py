"""Identifiers: a readable prefix and 12 random hex digits (docs/contract.md section 6)."""

from __future__ import annotations

import secrets


def new_id(prefix: str) -> str:
    """Return a new id such as `agent_3f0c9a71b2de`. It has 48 random bits; the primary key rules out duplicates."""
    return f"{prefix}_{secrets.token_hex(6)}"


def user_id() -> str:
    return new_id("user")


def invitation_id() -> str:
    return new_id("invitation")


def session_id() -> str:
    return new_id("session")


def identity_id() -> str:
    return new_id("identity")


def tenant_id() -> str:
    return new_id("tenant")


def agent_id() -> str:
    return new_id("agent")


def template_id() -> str:
    return new_id("template")


def key_id() -> str:
    return new_id("key")


def personal_token_id() -> str:
    return new_id("token")


def passkey_id() -> str:
    return new_id("passkey")


def deleted_object_id() -> str:
    return new_id("deleted")


def operation_id() -> str:
    return new_id("operation")

"""Imported users: faults in the old data, and names and addresses that are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import User
from legacy.tests.clients import can_sign_in
from legacy.tests.import_command import import_from
from legacy.tests.old_databases import HASHED, OldDatabase
from tests.support.people import register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


def test_later_of_two_usernames_that_differ_by_case_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_2", "ALICE", created_at="2026-02-02 00:00:00")
    old.user("user_1", "alice", created_at="2026-01-01 00:00:00")

    run = import_from(old, tmp_path)

    assert set(User.objects.values_list("id", "username")) == {("user_1", "alice"), ("user_2", "ALICE (user_2)")}
    assert run.reasons("users") == ["renamed"]
    assert can_sign_in("ALICE (user_2)")


def test_user_whose_name_is_taken_in_maim_is_renamed(old: OldDatabase, tmp_path: Path) -> None:
    existing_user = register("alice").user
    old.tenant()
    old.user("user_1", "Alice", email="alice@example.com")
    User.objects.filter(pk=existing_user.pk).update(email="ALICE@example.com", email_folded="alice@example.com")

    run = import_from(old, tmp_path)

    assert User.objects.get(pk="user_1").username == "Alice (user_1)"
    assert User.objects.get(pk="user_1").email is None
    assert run.reasons("users", "user_1") == ["renamed", "bad e-mail"]
    assert User.objects.get(pk=existing_user.pk).username == "alice"


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("", "user_1"),
        ("  ", "user_1"),
        ("x" * 150, "x" * 100),
        ("a\x07b", "ab"),
        ("\u202eeman\u3164", "eman"),
        ("\u3164\u200b", "user_1"),
        ("a\u3000b", "user_1"),
        (" bob ", "bob"),
    ],
    ids=["empty", "blank", "long", "control", "direction", "invisible", "unprintable", "blanks around it"],
)
def test_invalid_username_is_replaced(name: str, becomes: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", name)

    run = import_from(old, tmp_path)

    assert User.objects.get().username == becomes
    assert run.reasons("users") == ([] if becomes == "bob" else ["renamed"])
    assert can_sign_in(becomes)


def test_usernames_that_differ_by_width_are_kept(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "ａlice")
    old.user("user_2", "alice")

    import_from(old, tmp_path)

    assert dict(User.objects.values_list("id", "username")) == {"user_1": "ａlice", "user_2": "alice"}


@pytest.mark.parametrize("email", ["not-an-email", "a@b", "x" * 300 + "@example.com", "a@exa\u3164mple.com"])
def test_invalid_email_is_left_out(email: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", email=email)

    run = import_from(old, tmp_path)

    assert User.objects.get().email is None
    assert run.reasons("users") == ["bad e-mail"]


def test_earlier_of_two_users_keeps_a_shared_email(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "bob", email="a@example.com", created_at="2026-02-02 00:00:00")
    old.user("user_2", "alice", email="A@example.com", created_at="2026-01-01 00:00:00")

    import_from(old, tmp_path)

    assert set(User.objects.values_list("id", "email")) == {("user_1", None), ("user_2", "A@example.com")}


@pytest.mark.parametrize("hashed", ["", "plain", "$2b$31$" + HASHED[7:], "$1$salt$md5"])
def test_user_without_a_bcrypt_hash_cannot_sign_in(hashed: str, old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.user("user_1", "alice", hashed_password=hashed)

    run = import_from(old, tmp_path)

    assert run.reasons("users") == ["bad password hash"]
    assert not can_sign_in("alice")

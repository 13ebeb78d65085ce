"""Imported passwords, which stay valid and are hashed anew at the first sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bcrypt
import pytest
from django.conf import settings as shipped

from accounts import hashers
from accounts.bulk_import import former_password, is_former
from accounts.hashers import FormerPasswordHasher
from accounts.models import User
from core.errors import Unavailable
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
PASSWORD = "correct horse"
SHIPPED_HASHERS = shipped.PASSWORD_HASHERS
PREFIXES = ("$2a$", "$2b$", "$2y$")
DIGITS = f"{'a' * 21}u{'b' * 31}"  # of a salt and a hash
# 72 bytes are 24 of these characters; the last of 25 is the first to be cut.
CHINESE = "密" * 40
# The 72nd byte is the second of the three of a character.
ACROSS_THE_CUT = "a" + "密" * 40


@pytest.fixture(autouse=True)
def _hashed_as_shipped(_quick_and_unthrottled: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real algorithms, with the lowest cost."""
    settings.PASSWORD_HASHERS = SHIPPED_HASHERS
    for name, least in (("time_cost", 1), ("memory_cost", 64), ("parallelism", 1)):
        monkeypatch.setattr(hashers.BoundedArgon2PasswordHasher, name, least)


def hashed(password: str, prefix: str = "$2b$", *, cost: int = 4) -> str:
    """Return a hash like the former system, which truncated passwords at 72 bytes."""
    salt = prefix.encode() + bcrypt.gensalt(cost)[4:]
    return bcrypt.hashpw(password.encode()[:72], salt).decode()


def imported_alice(password: str = PASSWORD, prefix: str = "$2b$", **fields: Any) -> User:
    """Alice with an imported password."""
    stored = former_password(hashed(password, prefix))
    assert stored is not None
    user = User(password=stored, **fields)
    user.set_username("alice")
    user.save(force_insert=True)
    return user


def login(public: SurfaceClient, password: str, username: str = "alice") -> Any:
    return public.send("POST", "/api/v1/auth/login", {"username": username, "password": password})


def stored(user: User) -> str:
    password: str = User.objects.values_list("password", flat=True).get(pk=user.pk)
    return password


@contextmanager
def full_hash_queue() -> Iterator[None]:
    """A queue with all slots taken."""
    for _ in range(hashers.ADMITTED):
        assert hashers._admitted.acquire(blocking=False)
    try:
        yield
    finally:
        for _ in range(hashers.ADMITTED):
            hashers._admitted.release()


class TestSignIn:
    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_same_password_is_valid(self, public: SurfaceClient, prefix: str) -> None:
        imported_alice(prefix=prefix)

        response = login(public, PASSWORD)

        assert response.status_code == 200, response.content
        token = response.json()["access_token"]
        assert SurfaceClient(token=token).get("/api/v1/auth/me").json()["username"] == "alice"

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_other_password_is_refused(self, public: SurfaceClient, prefix: str) -> None:
        user = imported_alice(prefix=prefix)
        before = stored(user)

        answers = [login(public, wrong) for wrong in ("correct hors", "correct horse ", "Correct horse", hashed("x"))]

        assert {answer.status_code for answer in answers} == {400}
        assert {answer.json()["detail"] for answer in answers} == {"Incorrect username or password"}
        assert stored(user) == before

    def test_sign_in_upgrades_the_hash(self, public: SurfaceClient) -> None:
        user = imported_alice()
        assert is_former(stored(user))

        assert login(public, PASSWORD).status_code == 200

        assert stored(user).startswith("argon2$argon2id$")
        assert not is_former(stored(user))
        assert login(public, PASSWORD).status_code == 200
        assert login(public, "wrong horse").status_code == 400

    def test_inactive_user_gets_the_error_of_a_wrong_password(self, public: SurfaceClient) -> None:
        imported_alice(is_active=False)

        right, wrong = login(public, PASSWORD), login(public, "wrong horse")

        assert (right.status_code, right.content) == (400, wrong.content)

    def test_attempts_are_throttled(self, public: SurfaceClient, settings: Any) -> None:
        settings.AUTH_RATE = AuthRate(2, 100)
        user = imported_alice()
        user.set_username(f"alice of {user.id}")  # a count of its own, whatever ran before
        user.save()

        statuses = [login(public, password, user.username).status_code for password in ("wrong 1", "wrong 2", PASSWORD)]

        assert statuses == [400, 400, 429]


class TestLongPasswords:
    @pytest.mark.parametrize("password", ["x" * 72, "x" * 73, "x" * 500, CHINESE, ACROSS_THE_CUT])
    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_long_password_is_valid(self, public: SurfaceClient, prefix: str, password: str) -> None:
        imported_alice(password, prefix)

        assert login(public, password).status_code == 200

    @pytest.mark.parametrize(
        ("password", "other"),
        [
            ("x" * 100, "x" * 72),
            ("x" * 100, "x" * 72 + "anything"),
            (CHINESE, "密" * 24),
            (CHINESE, "密" * 24 + "anything"),
            (ACROSS_THE_CUT, ACROSS_THE_CUT + "anything"),
            (ACROSS_THE_CUT, "a" + "密" * 23 + "寜"),  # another in its third byte, which is the 73rd
        ],
    )
    def test_bytes_after_the_72nd_count_after_the_first_sign_in(
        self, public: SurfaceClient, password: str, other: str
    ) -> None:
        imported_alice(password)

        assert login(public, other).status_code == 200

        assert login(public, other).status_code == 200
        assert login(public, password).status_code == 400

    @pytest.mark.parametrize(
        ("password", "other"),
        [
            ("x" * 100, "x" * 71),
            ("x" * 100, "x" * 71 + "y" + "x" * 28),
            (CHINESE, "密" * 23 + "蜜" + "密" * 16),
            (ACROSS_THE_CUT, "a" + "密" * 23 + "宆" + "密" * 16),  # another in its second byte, which is the 72nd
        ],
    )
    def test_bytes_before_the_72nd_count(self, public: SurfaceClient, password: str, other: str) -> None:
        imported_alice(password)

        assert login(public, other).status_code == 400


class TestHashSlots:
    @pytest.mark.parametrize("password", [PASSWORD, "wrong horse"])
    def test_sign_in_is_503_while_the_queue_is_full(self, public: SurfaceClient, password: str) -> None:
        user = imported_alice()
        before = stored(user)

        with full_hash_queue():
            response = login(public, password)

        assert response.status_code == 503
        assert response.json()["code"] == "SYS_002"
        assert int(response["Retry-After"]) > 0
        assert stored(user) == before
        assert login(public, PASSWORD).status_code == 200

    def test_each_check_takes_a_slot(self) -> None:
        encoded = FormerPasswordHasher().encode(PASSWORD, bcrypt.gensalt(4))

        with full_hash_queue(), pytest.raises(Unavailable):
            FormerPasswordHasher().verify(PASSWORD, encoded)

    def test_each_check_gives_its_slot_back(self) -> None:
        hasher = FormerPasswordHasher()
        encoded = hasher.encode(PASSWORD, bcrypt.gensalt(4))

        for _ in range(hashers.ADMITTED + 1):
            assert hasher.verify(PASSWORD, encoded)
            with pytest.raises(ValueError, match="salt"):
                hasher.encode(PASSWORD, "no salt")

        assert hasher.verify(PASSWORD, encoded)


class TestImportedHashes:
    @pytest.mark.parametrize("prefix", PREFIXES)
    @pytest.mark.parametrize("cost", ["04", "10", "12", "15"])
    def test_bcrypt_hash_is_accepted(self, prefix: str, cost: str) -> None:
        text = f"{prefix}{cost}${DIGITS}"

        assert former_password(text) == f"bcrypt${text}"

    @pytest.mark.parametrize("cost", ["16", "20", "31"])
    def test_too_costly_hash_is_refused(self, cost: str) -> None:
        assert former_password(f"$2b${cost}${DIGITS}") is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            PASSWORD,
            "!unusable",
            "$2b$",
            f"$2b$12${DIGITS[:-1]}",
            f"$2b$12${DIGITS}b",
            f"$2b$12${DIGITS}\n",
            f" $2b$12${DIGITS}",
            f"$2b$12${DIGITS[:-1]}!",
            f"$2b$12${DIGITS[:-1]}密",
            f"$2b$12${'a' * 22}{'b' * 31}",  # bcrypt cannot hash with this salt
            f"$2x$12${DIGITS}",
            f"$2$12${DIGITS}",
            f"$2b$03${DIGITS}",
            f"$2b$32${DIGITS}",
            f"$2b$1২${DIGITS}",
            f"$2b$5${DIGITS}",
            f"bcrypt$$2b$12${DIGITS}",
            "$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$aGFzaA",
            "5f4dcc3b5aa765d61d8327deb882cf99",
        ],
    )
    def test_other_text_is_refused(self, text: str) -> None:
        assert former_password(text) is None

    def test_only_imported_hashes_are_recognised(self) -> None:
        user = User()
        user.set_password(PASSWORD)
        assert not is_former(user.password)
        user.set_unusable_password()
        assert not is_former(user.password)
        assert is_former(str(former_password(hashed(PASSWORD))))

"""POST /auth/login, and access with its token (docs/contract.md section 7)."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

import pytest

from accounts.models import User
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.django_db
EIGHT_DAYS = 8 * 24 * 3600


def login(
    public: SurfaceClient,
    username: Any = "alice",
    password: Any = PASSWORD,
    *,
    address: str = "127.0.0.1",
    **extra: Any,
) -> Any:
    body = {"username": username, "password": password, **extra}
    return public.send("POST", "/api/v1/auth/login", body, REMOTE_ADDR=address)


def is_signed_in(token: str) -> bool:
    response = SurfaceClient(token=token).get("/api/v1/auth/me")
    assert response.status_code in (200, 401)
    return bool(response.status_code == 200)


@pytest.mark.embedded
def test_user_signs_in_with_json(alice: Person, public: SurfaceClient) -> None:
    response = login(public)

    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["access_token", "token_type", "refresh_token", "expires_in"]
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == EIGHT_DAYS
    assert is_signed_in(body["access_token"])
    assert response["Cache-Control"] == "no-store"


@pytest.mark.embedded
def test_user_signs_in_with_oauth2_password_form(alice: Person, public: SurfaceClient) -> None:
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD, "scope": "", "client_id": "x"}

    response = public.generic(
        "POST", "/api/v1/auth/login", urlencode(form).encode(), "application/x-www-form-urlencoded"
    )

    assert response.status_code == 200
    assert is_signed_in(response.json()["access_token"])


def part(name: str, content: bytes, *headers: str) -> bytes:
    """Return a field of a multipart form, between boundaries of `x`."""
    head = "\r\n".join((f'Content-Disposition: form-data; name="{name}"', *headers))
    return b"--x\r\n" + head.encode("latin-1") + b"\r\n\r\n" + content + b"\r\n"


FORM_DATA = part("username", b"alice") + part("password", PASSWORD.encode())


@pytest.mark.embedded
@pytest.mark.parametrize(
    "file", [b"", part('username"; filename="any.txt', b"charlie")], ids=["alone", "beside a file"]
)
def test_user_signs_in_with_form_data(alice: Person, public: SurfaceClient, file: bytes) -> None:
    response = public.generic(
        "POST", "/api/v1/auth/login", file + FORM_DATA + b"--x--\r\n", "multipart/form-data; boundary=x"
    )

    assert response.status_code == 200
    assert is_signed_in(response.json()["access_token"])


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (FORM_DATA, "multipart/form-data"),
        (FORM_DATA, "multipart/form-data; boundary="),
        (FORM_DATA, "multipart/form-data; boundary=another"),
        (FORM_DATA, f"multipart/form-data; boundary={'x' * 300}"),
        (b"no form at all", "multipart/form-data; boundary=x"),
        (part("username", b"alice"), "multipart/form-data; boundary=x"),
        (part("username", b"\xff\x00") + part("password", b"\x00"), "multipart/form-data; boundary=x"),
        (part("username", b"a") * 2000 + FORM_DATA, "multipart/form-data; boundary=x"),
        (part("password", b"!", "Content-Transfer-Encoding: base64"), "multipart/form-data; boundary=x"),
        (part("username", b"a", "X-Any: a; b*=no-such''%ff"), "multipart/form-data; boundary=x"),
        (part('username"; filename="alice.txt', b"alice") + part("password", b"x"), "multipart/form-data; boundary=x"),
    ],
)
def test_malformed_form_data_is_400(alice: Person, public: SurfaceClient, body: bytes, media_type: str) -> None:
    response = public.generic("POST", "/api/v1/auth/login", body, media_type)

    assert response.status_code == 400, response.content
    assert response.json()["code"] == "VALIDATION_ERROR"


def test_username_is_accepted_in_any_case(alice: Person, public: SurfaceClient) -> None:
    assert login(public, "ALICE").status_code == 200


@pytest.mark.embedded
def test_wrong_name_wrong_password_and_inactive_user_get_the_same_error(
    alice: Person, charlie: Person, public: SurfaceClient
) -> None:
    User.objects.filter(pk=charlie.user.pk).update(is_active=False)

    answers = [
        login(public, "nobody"),
        login(public, "alice", "password124"),
        login(public, "alice", PASSWORD + " "),
        login(public, "charlie"),
    ]

    assert {response.status_code for response in answers} == {400}
    assert len({response.content for response in answers}) == 1
    body = answers[0].json()
    assert body["detail"] == "Incorrect username or password"
    assert body["code"] == "VALIDATION_ERROR"


@pytest.mark.embedded
@pytest.mark.parametrize(
    "body", [{}, {"username": "alice"}, {"password": PASSWORD}, {"username": 5, "password": PASSWORD}, []]
)
def test_incomplete_sign_in_is_400(alice: Person, public: SurfaceClient, body: Any) -> None:
    response = public.send("POST", "/api/v1/auth/login", body)

    assert response.status_code == 400
    assert response.json()["errors"]


def test_too_many_attempts_on_an_account_are_429(alice: Person, public: SurfaceClient, settings: Any) -> None:
    settings.AUTH_RATE = AuthRate(3, 100)
    name = f"guess at {alice.user.id}"  # a count of its own, whatever ran before

    statuses = [login(public, name).status_code for _ in range(4)]
    response = login(public, name)

    assert statuses == [400, 400, 400, 429]
    assert response.json()["code"] == "RATE_LIMITED"
    assert 1 <= int(response["Retry-After"]) <= 60
    assert login(public).status_code == 200, "another account is not affected"


def test_addresses_of_one_ipv6_network_share_their_attempts(public: SurfaceClient, settings: Any) -> None:
    settings.AUTH_RATE = AuthRate(100, 3)
    network = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"  # a count of its own, whatever ran before

    statuses = [login(public, f"guess {host}", address=f"{network}::{host}").status_code for host in range(1, 5)]

    assert statuses == [400, 400, 400, 429]
    assert login(public, "guess", address=f"{network}:1::1").status_code == 429, "the same /64"
    assert login(public, "guess", address=f"2001:db9:{network[9:]}::1").status_code == 400, "another network"
    settings.AUTH_IPV6_PREFIX = 128
    assert login(public, "guess", address=f"{network}::1").status_code == 400, "each address for itself"


@pytest.mark.embedded
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer garbage",
        "Bearer a.b.c",
        "Bearer eyJhbGciOiJub25lIn0.eyJzaWQiOiJ4In0.",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 5000,
        "Basic YWxpY2U6cGFzc3dvcmQxMjM=",
        "Token abc",
    ],
)
def test_missing_or_invalid_token_is_401(alice: Person, header: str | None) -> None:
    extra = {} if header is None else {"HTTP_AUTHORIZATION": header}

    response = SurfaceClient().send("GET", "/api/v1/auth/me", **extra)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json() == {"detail": "Sign in first", "code": "AUTHENTICATION_REQUIRED"}


@pytest.mark.embedded
def test_scheme_is_accepted_in_any_case(alice: Person) -> None:
    response = SurfaceClient().get("/api/v1/auth/me", HTTP_AUTHORIZATION=f"bearer {alice.token}")

    assert response.status_code == 200


@pytest.mark.embedded
def test_changed_token_is_401(alice: Person) -> None:
    """Every character of the signature counts, except for unused bits at the end of base64."""
    head, _, signature = alice.token.rpartition(".")
    for number in range(0, len(signature) - 1, 7):
        other = "A" if signature[number] != "A" else "B"
        assert not is_signed_in(f"{head}.{signature[:number]}{other}{signature[number + 1 :]}")


@pytest.mark.embedded
def test_token_of_a_deactivated_user_is_401_at_once(alice: Person) -> None:
    assert is_signed_in(alice.token)

    User.objects.filter(pk=alice.user.pk).update(is_active=False)

    assert not is_signed_in(alice.token)


@pytest.mark.embedded
def test_token_of_a_deleted_user_is_401_at_once(alice: Person) -> None:
    alice.tenant.delete()

    alice.user.delete()

    assert not is_signed_in(alice.token)

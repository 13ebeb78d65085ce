"""POST /auth/register (docs/contract.md sections 6 and 7)."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from tenants.models import Membership, Tenant
from tests.support.client import SurfaceClient
from tests.support.people import Person

pytestmark = pytest.mark.django_db


def register(public: SurfaceClient, username: Any = "dora", password: Any = "password123", **fields: Any) -> Any:
    body = {"username": username, "password": password, **fields}
    return public.send("POST", "/api/v1/auth/register", body)


def refused(response: Any, field: str) -> str:
    """Return the message about a refused field, and check that nobody was registered."""
    assert response.status_code == 400, response.content
    body = response.json()
    assert set(body) == {"detail", "code", "errors"}
    assert body["code"] == "VALIDATION_ERROR"
    assert list(body["errors"]) == [field]
    sentence: str = body["errors"][field][0]
    assert sentence in body["detail"]
    return sentence


def test_registration_returns_200(public: SurfaceClient) -> None:
    response = register(public, email="dora@example.com")

    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["id", "username", "email", "is_active"]
    assert body["id"].startswith("user_")
    assert body == {"id": body["id"], "username": "dora", "email": "dora@example.com", "is_active": True}


def test_registration_also_makes_the_personal_tenant(public: SurfaceClient) -> None:
    user_id = register(public, email="dora@example.com").json()["id"]

    tenant = Tenant.objects.get()
    assert tenant.tenant_name == "dora's Personal Tenant"
    assert (tenant.tenant_type, tenant.owner_id, tenant.status) == ("personal", user_id, "active")
    assert tenant.contact_email == "dora@example.com"
    assert list(Membership.objects.values_list("user_id", "role")) == [(user_id, "owner")]


@pytest.mark.parametrize("email", [{}, {"email": None}, {"email": ""}])
def test_without_an_email_address_there_is_none(public: SurfaceClient, email: dict[str, Any]) -> None:
    assert register(public, **email).json()["email"] is None
    assert Tenant.objects.get().contact_email is None


@pytest.mark.embedded
def test_unknown_keys_are_ignored(public: SurfaceClient) -> None:
    response = register(public, is_staff=True, is_superuser=True, id="user_mine", is_active=False)

    assert response.status_code == 200
    user = User.objects.get()
    assert user.is_active
    assert not user.is_staff
    assert not user.is_superuser
    assert user.id != "user_mine"


@pytest.mark.parametrize("username", ["o'brien", "小明", "x", "a b", "🤖", "Ünï-cödé", "x" * 100, "小" * 100])
def test_printable_name_of_up_to_100_characters_is_accepted(public: SurfaceClient, username: str) -> None:
    assert register(public, username).json()["username"] == username
    assert Tenant.objects.get().tenant_name == f"{username}'s Personal Tenant"
    login = public.send("POST", "/api/v1/auth/login", {"username": username, "password": "password123"})
    assert login.status_code == 200


@pytest.mark.embedded
@pytest.mark.parametrize(
    "username",
    ["", "   ", "x" * 101, "a\nb", "a\tb", "a\x1bb", "a\x7fb", "a\u200bb", "a\u2028b", 5, True, None, ["x"], {}],
)
def test_invalid_names_are_refused(public: SurfaceClient, username: Any) -> None:
    refused(register(public, username), "username")
    assert not User.objects.exists()
    assert not Tenant.objects.exists()


@pytest.mark.parametrize("username", ["a\x00b", "a\ud800b"])
def test_text_that_cannot_be_stored_is_refused_with_its_body(public: SurfaceClient, username: str) -> None:
    refused(register(public, username), "body")


@pytest.mark.parametrize(
    ("first", "second"),
    [("dora", "dora"), ("dora", "DORA"), ("Straße", "STRASSE"), ("é", "e\u0301"), ("小明", "小明"), ("dora", " dora ")],
)
def test_a_name_is_taken_in_any_case_and_composition(public: SurfaceClient, first: str, second: str) -> None:
    assert register(public, first).status_code == 200

    refused(register(public, second), "username")
    assert User.objects.count() == 1
    assert Tenant.objects.count() == 1


@pytest.mark.parametrize(("first", "second"), [("bot 🤖", "bot 😀"), ("e", "é"), ("a", "а")])
def test_names_that_only_look_alike_are_different(public: SurfaceClient, first: str, second: str) -> None:
    assert register(public, first).status_code == 200
    assert register(public, second).status_code == 200


@pytest.mark.embedded
@pytest.mark.parametrize("password", ["password123", "12345678", "        ", "小" * 8, "x" * 1024, " password "])
def test_password_of_8_characters_is_accepted(public: SurfaceClient, password: str) -> None:
    assert register(public, "dora", password).status_code == 200
    login = public.send("POST", "/api/v1/auth/login", {"username": "dora", "password": password})
    assert login.status_code == 200


@pytest.mark.embedded
@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "dora dora", "DORA DORA", 12345678, None])
def test_a_weak_password_is_refused(public: SurfaceClient, password: Any) -> None:
    refused(register(public, "dora dora", password), "password")
    assert not User.objects.exists()


@pytest.mark.embedded
@pytest.mark.parametrize("email", ["dora", "dora@", "@example.com", "a b@example.com", "x" * 250 + "@e.org", 5, ["x"]])
def test_a_bad_email_address_is_refused(public: SurfaceClient, email: Any) -> None:
    refused(register(public, email=email), "email")
    assert not User.objects.exists()


def test_an_email_address_is_taken_in_any_case(public: SurfaceClient) -> None:
    assert register(public, "dora", email="Dora@Example.com").status_code == 200

    refused(register(public, "emil", email="dora@example.COM"), "email")
    assert User.objects.count() == 1
    assert Tenant.objects.count() == 1


def test_any_number_of_users_have_no_email_address(public: SurfaceClient) -> None:
    assert register(public, "dora").status_code == 200
    assert register(public, "emil").status_code == 200


@pytest.mark.embedded
def test_missing_fields_are_named(public: SurfaceClient) -> None:
    response = public.send("POST", "/api/v1/auth/register", {})

    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"username", "password"}


@pytest.mark.embedded
@pytest.mark.parametrize("body", [b"[]", b'"text"', b"5", b"null", b"true", b"", b"{", b"\xff{}"])
def test_a_body_that_is_no_object_is_refused(public: SurfaceClient, body: bytes) -> None:
    response = public.generic("POST", "/api/v1/auth/register", body, "application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "VALIDATION_ERROR"


@pytest.mark.embedded
def test_form_encoding_is_refused(public: SurfaceClient) -> None:
    response = public.post("/api/v1/auth/register", {"username": "dora", "password": "password123"})

    assert response.status_code == 415
    assert response.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.embedded
def test_registration_is_refused_when_closed(public: SurfaceClient, settings: Any) -> None:
    settings.REGISTRATION = "closed"

    response = register(public)

    assert response.status_code == 403
    assert response.json()["code"] == "FORBIDDEN"
    assert set(response.json()) == {"detail", "code"}
    assert not User.objects.exists()


@pytest.mark.embedded
def test_details_follow_accept_language(public: SurfaceClient) -> None:
    in_english = public.send("POST", "/api/v1/auth/register", {"username": "dora"})
    in_chinese = public.send("POST", "/api/v1/auth/register", {"username": "dora"}, HTTP_ACCEPT_LANGUAGE="zh-hans")
    in_english_again = public.send("POST", "/api/v1/auth/register", {"username": "dora"}, HTTP_ACCEPT_LANGUAGE="fr")

    assert in_english.json()["errors"] == {"password": ["This field is required."]}
    assert in_chinese.json()["errors"] == {"password": ["必填"]}
    assert in_english_again.json()["errors"] == in_english.json()["errors"]


def test_the_personal_tenants_name_cannot_be_taken_by_another(alice: Person, public: SurfaceClient) -> None:
    """Alice takes the name of the tenant that Dora will get; Dora can still register."""
    response = alice.client.send(
        "POST", "/api/v1/tenants", {"tenant_name": "dora's Personal Tenant", "tenant_type": "personal"}
    )
    assert response.status_code == 200

    assert register(public, "dora").status_code == 200

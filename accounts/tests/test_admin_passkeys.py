"""Passkeys in the operators' admin, without the browser's part, which tests/browser/passkeys.py has."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from accounts.models import Passkey
from tests.support.client import SurfaceClient, context_of
from tests.support.operators import Operator
from tests.support.passkeys import add_passkey
from tests.support.people import PASSWORD
from tests.support.security_keys import SecurityKey

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
LOGIN, STEP, FACTORS = "/admin/login/?next=/admin/", "/admin/second-factor/", "/admin/factors/"


def options_in(page: Any) -> Any:
    """Return the options that a page gives to its script."""
    match = re.search(r'<script id="passkey-options" type="application/json">(.*?)</script>', page.content.decode())
    assert match is not None
    return json.loads(match[1])


def value_in(page: Any, name: str) -> str:
    match = re.search(rf'name="{name}" value="([^"]*)"', page.content.decode())
    assert match is not None
    return html.unescape(match[1])


def add_in_admin(olivia: Operator, key: SecurityKey, **changed: Any) -> Any:
    begun = olivia.client.post(FACTORS, {"action": "begin_passkey", "password": PASSWORD})
    fields = {
        "action": "add_passkey",
        "name": "laptop",
        "challenge": value_in(begun, "challenge"),
        "credential": json.dumps(key.create(options_in(begun))),
    }
    return olivia.client.post(FACTORS, {**fields, **changed})


def enter_password() -> SurfaceClient:
    browser = SurfaceClient()
    assert browser.post(LOGIN, {"username": "olivia", "password": PASSWORD}).status_code == 302
    return browser


def use(browser: SurfaceClient, key: SecurityKey) -> Any:
    credential = json.dumps(key.get(options_in(browser.get(STEP))))
    return browser.post(STEP, {"credential": credential, "next": "/admin/"})


def test_operator_adds_a_passkey(olivia: Operator) -> None:
    page = add_in_admin(olivia, SecurityKey())

    assert "<pre" in page.content.decode(), "with the recovery codes"
    assert Passkey.objects.get().name == "laptop"
    assert olivia.audit_of("user.factor_add").object_id == olivia.user.pk


def test_passkey_opens_the_session(olivia: Operator) -> None:
    key = add_passkey(olivia.user)
    browser = enter_password()

    assert use(browser, key)["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200


def test_refused_passkey_is_a_form_error(olivia: Operator) -> None:
    key = add_passkey(olivia.user)
    key.is_verified = False
    browser = enter_password()

    assert "The passkey was not accepted" in use(browser, key).content.decode()
    assert browser.get("/admin/").status_code == 302


@pytest.mark.parametrize("credential", ["{", "[]", "5", "[" * 5000, '{"id": 1}', "null"])
def test_malformed_credential_is_a_form_error(olivia: Operator, credential: str) -> None:
    add_passkey(olivia.user)
    browser = enter_password()

    response = browser.post(STEP, {"credential": credential, "next": "/admin/"})

    assert response.status_code == 200
    assert context_of(response)["form"].errors
    assert add_in_admin(olivia, SecurityKey(), credential=credential).status_code == 200
    assert Passkey.objects.count() == 1


def test_required_factor_may_be_a_passkey(olivia: Operator, settings: Any) -> None:
    settings.ADMIN_REQUIRE_MFA = True
    assert olivia.client.get("/admin/").status_code == 302

    add_in_admin(olivia, SecurityKey())
    assert olivia.client.get("/admin/").status_code == 200

    fields = {"action": "remove_passkey", "password": PASSWORD, "passkey_id": Passkey.objects.get().id}
    olivia.client.post(FACTORS, fields)
    assert olivia.client.get("/admin/").status_code == 302


def test_another_factor_keeps_the_session(olivia: Operator, settings: Any) -> None:
    settings.ADMIN_REQUIRE_MFA = True
    add_in_admin(olivia, SecurityKey())
    add_in_admin(olivia, SecurityKey())

    fields = {"action": "remove_passkey", "password": PASSWORD, "passkey_id": Passkey.objects.all()[0].id}
    olivia.client.post(FACTORS, fields)

    assert Passkey.objects.count() == 1
    assert olivia.client.get("/admin/").status_code == 200


def test_operator_renames_a_passkey(olivia: Operator) -> None:
    add_passkey(olivia.user)
    shown = olivia.get(FACTORS)

    fields = {"action": "rename_passkey", "passkey_id": value_in(shown, "passkey_id"), "name": "手机 📱"}
    page = olivia.client.post(FACTORS, fields)

    assert "<bdi>手机 📱</bdi>" in page.content.decode()
    assert olivia.audit_of("user.factor_rename").after["name"] == "手机 📱"


def test_bad_name_of_a_passkey_is_a_form_error(olivia: Operator) -> None:
    add_passkey(olivia.user)
    passkey = Passkey.objects.get()

    page = olivia.client.post(
        FACTORS, {"action": "rename_passkey", "passkey_id": passkey.id, "name": "turned \u202e around"}
    )

    assert "errorlist" in page.content.decode()
    assert Passkey.objects.get().name == passkey.name


@pytest.mark.parametrize("change", [{"action": "rename_passkey", "name": "mine"}, {"action": "remove_passkey"}])
def test_passkey_of_somebody_else_cannot_be_changed(olivia: Operator, alice: Any, change: dict[str, str]) -> None:
    add_passkey(alice.user)
    passkey = Passkey.objects.get()

    page = olivia.client.post(FACTORS, {**change, "password": PASSWORD, "passkey_id": passkey.id})

    assert "You have no passkey with this id" in page.content.decode()
    assert Passkey.objects.get().name == passkey.name

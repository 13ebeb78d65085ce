"""Operators' sign-in to the admin by OpenID Connect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import override_settings

from accounts import services as accounts
from accounts.models import Identity, OidcFlow, TotpFactor, User
from accounts.operator_roles import OperatorRole
from core.admin_base import SIGNED_IN_AT
from tests.support.client import SurfaceClient, context_of
from tests.support.factors import Authenticator, enrol
from tests.support.oidc import Provider, provider_at_work
from tests.support.people import OPERATOR, PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

CALLBACK = "/admin/oidc/acme/callback"
EMAIL: dict[str, Any] = {"email": "olivia@example.com", "email_verified": True}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_at_work(role_claim="groups", operator_values=frozenset({"ops"})) as provider:
        yield provider


@pytest.fixture
def browser() -> SurfaceClient:
    return SurfaceClient()


def sign_in(browser: SurfaceClient, provider: Provider, *, target: str = "", **claims: Any) -> Any:
    """Follow the link, sign in at the provider, and come back."""
    started = browser.get("/admin/oidc/acme/start", {"next": target})
    assert started.status_code == 302, started.content
    return browser.get(CALLBACK, provider.sign_in(started["Location"], **claims))


def page_after(browser: SurfaceClient, response: Any) -> str:
    """Return the page that a response leads to."""
    assert response.status_code == 302, response.content
    return str(browser.get(response["Location"]).content.decode())


def may_enter(browser: SurfaceClient) -> bool:
    return bool(browser.get("/admin/").status_code == 200)


def test_login_page_has_a_button_for_each_provider(browser: SurfaceClient, provider: Provider) -> None:
    page = browser.get("/admin/login/?next=/admin/accounts/user/").content.decode()

    assert 'href="/admin/oidc/acme/start?next=/admin/accounts/user/"' in page
    assert "Sign in with ACME" in page
    assert 'name="password"' in page


def test_operator_by_claim_enters(browser: SurfaceClient, provider: Provider) -> None:
    response = sign_in(browser, provider, groups=["ops"])

    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert may_enter(browser)


def test_operator_with_a_second_factor_is_asked_for_it(browser: SurfaceClient, provider: Provider) -> None:
    sign_in(browser, provider, groups=["ops"])
    app = enrol(Identity.objects.get().user)
    browser = SurfaceClient()

    asked = sign_in(browser, provider, target="/admin/accounts/user/", groups=["ops"])

    assert asked["Location"].startswith("/admin/second-factor/?")
    assert not may_enter(browser), "the provider alone opens no session"
    entered = browser.post(asked["Location"], {"code": app.code()})
    assert (entered.status_code, entered["Location"]) == (302, "/admin/accounts/user/")
    assert may_enter(browser)


@override_settings(ADMIN_REQUIRE_MFA=True)
def test_operator_without_a_password_adds_the_factor_that_is_required(
    browser: SurfaceClient, provider: Provider
) -> None:
    sign_in(browser, provider, groups=["ops"])
    assert browser.get("/admin/", follow=True).redirect_chain[-1][0] == "/admin/factors/"

    begun = browser.post("/admin/factors/", {"action": "begin"})
    confirmed = browser.post(
        "/admin/factors/",
        {"action": "confirm", "code": Authenticator(context_of(begun)["enrolment"].secret, []).code()},
    )

    assert len(context_of(confirmed)["codes"].split()) == 10
    assert may_enter(browser)


@override_settings(ADMIN_REQUIRE_MFA=True)
def test_old_sign_in_confirms_no_new_factor(browser: SurfaceClient, provider: Provider) -> None:
    sign_in(browser, provider, groups=["ops"])
    make_old(browser)
    sign_in(SurfaceClient(), provider, groups=["ops"])  # elsewhere, which is another session

    refused = browser.post("/admin/factors/", {"action": "begin"})

    assert "enrolment" not in context_of(refused)
    assert not TotpFactor.objects.exists()


@override_settings(ADMIN_REQUIRE_MFA=True)
def test_operator_signs_in_again_and_comes_back_to_add_the_factor(browser: SurfaceClient, provider: Provider) -> None:
    sign_in(browser, provider, groups=["ops"])
    assert "/admin/oidc/" not in browser.get("/admin/factors/").content.decode()
    make_old(browser)
    page = browser.get("/admin/factors/").content.decode()
    assert 'href="/admin/oidc/acme/start?next=/admin/factors/"' in page

    back = sign_in(browser, provider, target="/admin/factors/", groups=["ops"])

    assert back["Location"] == "/admin/factors/"
    assert "enrolment" in context_of(browser.post(back["Location"], {"action": "begin"}))


def test_second_factor_confirms_anew_as_well(browser: SurfaceClient, provider: Provider) -> None:
    sign_in(browser, provider, groups=["ops"])
    app = enrol(Identity.objects.get().user)
    make_old(browser)

    asked = sign_in(browser, provider, target="/admin/factors/", groups=["ops"])
    assert context_of(browser.post("/admin/factors/", {"action": "renew"})).get("codes") is None
    browser.post(asked["Location"], {"code": app.code()})

    assert len(context_of(browser.post("/admin/factors/", {"action": "renew"}))["codes"].split()) == 10


def make_old(browser: SurfaceClient) -> None:
    """Let a session have begun eleven minutes ago."""
    session = browser.session
    session[SIGNED_IN_AT] -= 11 * 60
    session.save()


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/admin/accounts/user/", "/admin/accounts/user/"),
        ("https://evil.example/", "/admin/"),
        ("//evil.example/", "/admin/"),
        ("javascript:alert(1)", "/admin/"),
    ],
)
def test_sign_in_leads_to_pages_of_this_host_only(
    target: str, location: str, browser: SurfaceClient, provider: Provider
) -> None:
    assert sign_in(browser, provider, target=target, groups=["ops"])["Location"] == location


def test_nobody_else_enters(browser: SurfaceClient, provider: Provider) -> None:
    page = page_after(browser, sign_in(browser, provider, groups=[]))

    assert "may not use the admin" in page
    assert not may_enter(browser)


def test_withdrawn_role_ends_the_admin_for_other_sessions_too(browser: SurfaceClient, provider: Provider) -> None:
    sign_in(browser, provider, groups=["ops"])

    sign_in(SurfaceClient(), provider, groups=[])

    assert not may_enter(browser)


def test_callback_of_another_browser_is_refused(browser: SurfaceClient, provider: Provider) -> None:
    """Somebody who gets an operator to open their own callback does not have the operator's cookie (login CSRF)."""
    started = browser.get("/admin/oidc/acme/start")
    back = provider.sign_in(started["Location"], groups=["ops"])
    victim = SurfaceClient()

    assert "began elsewhere" in page_after(victim, victim.get(CALLBACK, back))
    assert not may_enter(victim)


def test_forged_cookie_is_refused(browser: SurfaceClient, provider: Provider) -> None:
    browser.cookies["maim_oidc"] = "forged"

    assert "began elsewhere" in page_after(browser, browser.get(CALLBACK, {"code": "c", "state": "s"}))


def test_cookie_is_for_the_sign_in_alone(browser: SurfaceClient, provider: Provider) -> None:
    with override_settings(SESSION_COOKIE_SECURE=True):
        cookie = browser.get("/admin/oidc/acme/start").cookies["maim_oidc"]

    assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == ("/admin/oidc/", "Lax", 600)
    assert cookie["httponly"]
    assert cookie["secure"]


def test_cookie_goes_with_the_sign_in(browser: SurfaceClient, provider: Provider) -> None:
    assert sign_in(browser, provider, groups=["ops"]).cookies["maim_oidc"]["max-age"] == 0


def test_refusal_at_the_provider_is_told(browser: SurfaceClient, provider: Provider) -> None:
    browser.get("/admin/oidc/acme/start")

    page = page_after(browser, browser.get(CALLBACK, {"error": "access_denied", "state": "s"}))

    assert "The provider did not sign you in" in page


def test_provider_that_is_away_is_told(browser: SurfaceClient, provider: Provider) -> None:
    provider.metadata = {}

    page = page_after(browser, browser.get("/admin/oidc/acme/start"))

    assert "ACME does not answer as it should" in page
    assert not OidcFlow.objects.exists()


def test_unknown_provider_is_told(browser: SurfaceClient, provider: Provider) -> None:
    assert "no such provider" in page_after(browser, browser.get("/admin/oidc/nobody/start"))


class TestLink:
    @pytest.fixture
    def olivia(self) -> User:
        return accounts.create_user(
            actor=OPERATOR,
            username="olivia",
            password=PASSWORD,
            email=EMAIL["email"],
            operator_role=OperatorRole.VIEWER,
        )

    def to_form(self, browser: SurfaceClient, provider: Provider) -> str:
        response = sign_in(browser, provider, groups=["ops"], **EMAIL)
        assert (response.status_code, response["Location"]) == (302, "/admin/oidc/link")
        return str(response["Location"])

    def test_password_of_the_account_links_it(self, olivia: User, browser: SurfaceClient, provider: Provider) -> None:
        form = self.to_form(browser, provider)
        assert 'type="password"' in browser.get(form).content.decode()
        assert not may_enter(browser)

        assert browser.post(form, {"password": PASSWORD})["Location"] == "/admin/"

        assert may_enter(browser)
        assert Identity.objects.get().user == olivia

    def test_wrong_password_is_a_form_error(self, olivia: User, browser: SurfaceClient, provider: Provider) -> None:
        response = browser.post(self.to_form(browser, provider), {"password": "a wrong one"})

        assert "The password is not correct" in response.content.decode()
        assert not may_enter(browser)

    def test_operator_deactivated_meanwhile_gets_a_form_error(
        self, olivia: User, browser: SurfaceClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = accounts.link_identity

        def link_and_deactivate(**options: Any) -> User:
            user = link(**options)
            User.objects.filter(pk=user.pk).update(is_active=False)
            return user

        monkeypatch.setattr(accounts, "link_identity", link_and_deactivate)

        response = browser.post(self.to_form(browser, provider), {"password": PASSWORD})

        assert response.status_code == 200
        assert "Incorrect username or password" in response.content.decode()
        assert not may_enter(browser)

    def test_form_without_a_challenge_links_nothing(self, olivia: User, browser: SurfaceClient) -> None:
        response = browser.post("/admin/oidc/link", {"password": PASSWORD})

        assert "start the sign-in again" in response.content.decode()


class TestWithoutPasswords:
    @pytest.fixture(autouse=True)
    def _passwords_off(self) -> Iterator[None]:
        with override_settings(PASSWORD_LOGIN=False):
            yield

    def test_login_page_has_no_form(self, browser: SurfaceClient, provider: Provider) -> None:
        page = browser.get("/admin/login/").content.decode()

        assert "Sign in with ACME" in page
        assert 'name="password"' not in page

    def test_password_is_refused_with_the_ways_to_sign_in(self, browser: SurfaceClient, provider: Provider) -> None:
        accounts.create_user(actor=OPERATOR, username="olivia", password=PASSWORD, operator_role=OperatorRole.ADMIN)

        response = browser.post("/admin/login/?next=/admin/", {"username": "olivia", "password": PASSWORD})

        assert "Passwords are switched off; sign in with: ACME" in response.content.decode()
        assert not may_enter(browser)

    def test_operator_enters_by_a_provider(self, browser: SurfaceClient, provider: Provider) -> None:
        sign_in(browser, provider, groups=["ops"])

        assert may_enter(browser)


def test_callback_is_under_the_public_url(browser: SurfaceClient, provider: Provider) -> None:
    with override_settings(PEOPLE_URL="https://maim.example.com"):
        location = browser.get("/admin/oidc/acme/start")["Location"]

    assert "redirect_uri=https%3A%2F%2Fmaim.example.com%2Fadmin%2Foidc%2Facme%2Fcallback" in urlsplit(location).query

"""Second factors in the operators' admin: the second step of the sign-in, one's own factors, and their loss."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session

from accounts import services
from accounts.admin_sign_in import CHALLENGE_COOKIE
from accounts.mail.sender import send_due
from accounts.models import RecoveryCode, SignInAddress, SignInChallenge, TotpFactor, User
from accounts.operator_roles import OperatorRole
from tests.support.client import SurfaceClient
from tests.support.factors import Authenticator, enrol
from tests.support.mail import Mailbox, parts
from tests.support.operators import Operator, form_of, sign_in, url
from tests.support.passkeys import add_passkey
from tests.support.people import OPERATOR, PASSWORD, Person, register

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
LOGIN, STEP, FACTORS = "/admin/login/?next=/admin/", "/admin/second-factor/", "/admin/factors/"


@pytest.fixture
def app(olivia: Operator) -> Authenticator:
    """Olivia's authenticator app, which she has added elsewhere."""
    return enrol(olivia.user)


def enter_password(username: str = "olivia", **options: Any) -> tuple[SurfaceClient, Any]:
    """Send the first page of the sign-in; return the browser and the response."""
    browser = SurfaceClient()
    return browser, browser.post(LOGIN, {"username": username, "password": PASSWORD}, **options)


def enter_code(browser: SurfaceClient, code: str) -> Any:
    return browser.post(STEP, {"code": code, "next": "/admin/"})


def is_signed_in(browser: SurfaceClient) -> bool:
    return bool(browser.get("/admin/").status_code == 200)


class TestSignIn:
    def test_password_alone_opens_no_session(self, app: Authenticator) -> None:
        sessions = Session.objects.count()

        browser, response = enter_password()

        assert (response.status_code, response["Location"]) == (302, f"{STEP}?next=%2Fadmin%2F")
        assert Session.objects.count() == sessions
        assert not is_signed_in(browser)
        assert browser.get(FACTORS).status_code == 302

    def test_challenge_is_in_a_cookie_for_this_page_alone(self, app: Authenticator, settings: Any) -> None:
        settings.SESSION_COOKIE_SECURE = True

        _browser, response = enter_password()

        cookie = response.cookies[CHALLENGE_COOKIE]
        assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == (STEP, "Strict", 300)
        assert cookie["httponly"]
        assert cookie["secure"]

    def test_code_opens_the_session(self, app: Authenticator) -> None:
        browser, _response = enter_password()
        page = browser.get(f"{STEP}?next=/admin/accounts/user/")
        assert form_of(page)["next"] == ["/admin/accounts/user/"]

        response = enter_code(browser, app.code())

        assert (response.status_code, response["Location"]) == (302, "/admin/")
        assert response.cookies[CHALLENGE_COOKIE].value == ""
        assert is_signed_in(browser)
        assert not SignInChallenge.objects.exists()

    def test_recovery_code_opens_the_session(self, app: Authenticator) -> None:
        browser, _response = enter_password()

        assert enter_code(browser, app.recovery_codes[0]).status_code == 302
        assert is_signed_in(browser)

    def test_wrong_code_is_a_form_error(self, app: Authenticator) -> None:
        browser, _response = enter_password()

        response = enter_code(browser, "000 000")

        assert "The code is not correct" in response.content.decode()
        assert not is_signed_in(browser)

    def test_page_without_a_challenge_leads_to_the_password(self, public: SurfaceClient) -> None:
        assert public.get(STEP)["Location"] == "/admin/login/"

    def test_challenge_that_was_used_is_a_form_error(self, app: Authenticator) -> None:
        browser, _response = enter_password()
        SignInChallenge.objects.all().delete()

        assert "begin again with your password" in enter_code(browser, app.code()).content.decode()

    def test_other_sites_are_no_next_page(self, app: Authenticator) -> None:
        browser, _response = enter_password()

        response = browser.post(STEP, {"code": app.code(), "next": "https://evil.example/"})

        assert response["Location"] == "/admin/"

    def test_challenge_of_somebody_else_than_an_operator_is_refused(self, alice: Person) -> None:
        enrol(alice.user)
        codes = enrol(register("bob").user)
        with pytest.raises(services.SecondFactorRequired) as raised:
            services.sign_in(actor=OPERATOR, user=User.objects.get(username="bob"))
        browser = SurfaceClient()
        browser.cookies[CHALLENGE_COOKIE] = raised.value.challenge

        assert enter_code(browser, codes.code()).status_code == 200
        assert SignInChallenge.objects.filter(user__username="bob").exists(), "good in the API still"

    def test_address_is_noted_after_the_second_factor(self, app: Authenticator, mailbox: Mailbox) -> None:
        browser, _response = enter_password()
        assert not SignInAddress.objects.exists()

        enter_code(browser, app.code())

        assert SignInAddress.objects.count() == 1


def act(client: SurfaceClient, action: str, **fields: str) -> str:
    """Send a form of one's own factors, and return the page."""
    response = client.post(FACTORS, {"action": action, **fields})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    return str(response.content.decode())


def add_app(client: SurfaceClient) -> Authenticator:
    page = act(client, "begin", password=PASSWORD)
    assert "<svg" in page
    secret = re.findall(r"<pre[^>]*>(\w{32})</pre>", page)[0]
    shown = act(client, "confirm", code=Authenticator(secret, []).code())
    return Authenticator(secret, re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", shown))


class TestOwnFactors:
    def test_every_page_links_to_them(self, olivia: Operator) -> None:
        assert f'href="{FACTORS}"' in olivia.get("/admin/").content.decode()

    def test_operator_adds_an_app(self, olivia: Operator) -> None:
        assert "You have no second factor" in olivia.get(FACTORS).content.decode()

        app = add_app(olivia.client)

        assert len(app.recovery_codes) == 10
        assert TotpFactor.objects.get().confirmed_at is not None
        assert "Left: 10." in olivia.get(FACTORS).content.decode()
        entry = olivia.audit_of("user.factor_add")
        assert entry.object_id == olivia.user.pk

    @pytest.mark.parametrize("action", ["begin", "renew", "remove"])
    def test_password_is_needed(self, olivia: Operator, action: str) -> None:
        if action != "begin":
            enrol(olivia.user)

        assert "The password is not correct" in act(olivia.client, action, password="a wrong one")

    def test_wrong_code_can_be_corrected(self, olivia: Operator) -> None:
        act(olivia.client, "begin", password=PASSWORD)

        page = act(olivia.client, "confirm", code="nonsense")

        assert "The code is not correct" in page
        assert '<input type="hidden" name="action" value="confirm">' in page

    def test_operator_renews_the_codes(self, olivia: Operator) -> None:
        app = add_app(olivia.client)

        page = act(olivia.client, "renew", password=PASSWORD)

        assert not [code for code in app.recovery_codes if code in page]
        assert RecoveryCode.objects.count() == 10

    def test_operator_removes_the_app(self, olivia: Operator) -> None:
        add_app(olivia.client)

        act(olivia.client, "remove", password=PASSWORD)

        assert not TotpFactor.objects.exists()
        assert is_signed_in(olivia.client)

    def test_unknown_action_changes_nothing(self, olivia: Operator) -> None:
        act(olivia.client, "nonsense", password=PASSWORD)

        assert not TotpFactor.objects.exists()

    def test_nobody_else_gets_there(self, alice: Person, public: SurfaceClient) -> None:
        public.force_login(alice.user)

        assert public.get(FACTORS)["Location"] == f"/admin/login/?next={FACTORS}"
        assert public.post(FACTORS, {"action": "begin", "password": PASSWORD}).status_code == 302


class TestRequired:
    """With MAIM_ADMIN_REQUIRE_MFA."""

    @pytest.fixture(autouse=True)
    def _required(self, settings: Any) -> None:
        settings.ADMIN_REQUIRE_MFA = True

    def test_operator_without_a_factor_is_led_to_the_page_that_adds_it(self, olivia: Operator) -> None:
        browser, response = enter_password()

        page = browser.get(response["Location"], follow=True)

        assert page.redirect_chain[-1] == (FACTORS, 302)
        assert "Operators need a second factor here" in page.content.decode()
        for path in ("/admin/", "/admin/accounts/user/", "/admin/password_change/"):
            assert browser.get(path).status_code == 302
        add = {"username": "mallory", "password": PASSWORD, "password_again": PASSWORD}
        assert browser.post("/admin/accounts/user/add/", add).status_code == 302
        assert not User.objects.filter(username="mallory").exists()

    def test_they_go_on_when_they_have_added_it(self, olivia: Operator) -> None:
        browser, _response = enter_password()

        add_app(browser)

        assert is_signed_in(browser)

    def test_they_may_sign_out(self, olivia: Operator) -> None:
        browser, _response = enter_password()

        assert browser.post("/admin/logout/").status_code == 200
        assert browser.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/admin/login/")

    def test_operator_with_a_factor_signs_in_as_usual(self, app: Authenticator) -> None:
        browser, _response = enter_password()
        enter_code(browser, app.code())

        assert is_signed_in(browser)

    def test_session_from_before_has_to_sign_in_again(self, olivia: Operator, app: Authenticator) -> None:
        """The factor was added elsewhere, so this session has not shown it."""
        assert not is_signed_in(olivia.client)
        assert olivia.client.get(FACTORS).status_code == 302
        assert olivia.client.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/admin/login/")

    def test_operator_who_removes_the_last_factor_has_to_add_another(self, olivia: Operator) -> None:
        browser, _response = enter_password()
        add_app(browser)

        act(browser, "remove", password=PASSWORD)

        assert browser.get("/admin/", follow=True).redirect_chain[-1] == (FACTORS, 302)

    def test_sign_in_after_a_loss_has_to_add_another(self, olivia: Operator) -> None:
        browser, _response = enter_password()
        add_app(browser)
        services.remove_factors(actor=OPERATOR, user=olivia.user)

        browser.post(LOGIN, {"username": "olivia", "password": PASSWORD})

        assert browser.get("/admin/", follow=True).redirect_chain[-1] == (FACTORS, 302)


class TestLoss:
    """An operator removes the factors of somebody who has lost them."""

    def page(self, person: Person) -> str:
        return url(person.user, "factors")

    def test_button_removes_them(self, olivia: Operator, alice_with_email: Person, mailbox: Mailbox) -> None:
        enrol(alice_with_email.user)
        user = olivia.get(url(alice_with_email.user, "change"))
        assert "authenticator app, recovery codes" in user.content.decode()
        assert self.page(alice_with_email) in user.content.decode()

        response = olivia.submit(self.page(alice_with_email))

        assert response.status_code == 302
        assert services.methods_of(alice_with_email.user) == []
        assert not RecoveryCode.objects.exists()
        entry = olivia.audit_of("user.factors_remove")
        assert entry.object_id == alice_with_email.user.pk
        assert send_due() == 1
        assert mailbox.recipients == ["alice@example.com"]
        assert "An operator removed all second factors" in parts(mailbox.mails[0])[0]

    def test_page_says_what_to_do_for_whoever_could_not_come_in_again(self, olivia: Operator, alice: Person) -> None:
        add_passkey(alice.user)
        User.objects.filter(pk=alice.user.pk).update(password=make_password(None))

        assert "set a password for them first" in olivia.submit(self.page(alice)).content.decode()
        assert "passkey" in services.methods_of(alice.user)

    def test_user_without_a_factor_is_an_error(self, olivia: Operator, alice: Person) -> None:
        assert "This user has no second factor" in olivia.submit(self.page(alice)).content.decode()

    def test_operators_who_may_only_read_may_not(self, alice: Person) -> None:
        enrol(alice.user)
        rita = sign_in("rita", role=OperatorRole.VIEWER)

        assert rita.client.post(self.page(alice)).status_code == 403
        assert services.methods_of(alice.user)

    def test_missing_user_is_404(self, olivia: Operator) -> None:
        assert olivia.client.get("/admin/accounts/user/nobody/factors/").status_code == 404

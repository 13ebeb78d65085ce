"""Sessions in the admin: how long they last, what ends them, and what the audit log tells of sign-ins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.utils import timezone

from accounts import services, throttle
from accounts.models import TokenSession, User
from accounts.operator_roles import OperatorRole
from core.models import AuditEntry
from core.setting_types import AuthRate
from tests.support.client import SurfaceClient
from tests.support.factors import enrol
from tests.support.operators import Operator, sign_in
from tests.support.people import OPERATOR, PASSWORD, Person

pytestmark = pytest.mark.django_db

LOGIN, FACTORS = "/admin/login/?next=/admin/", "/admin/factors/"
ELSEWHERE = "198.51.100.7"


@pytest.fixture(autouse=True)
def _counted_anew(settings: Any) -> Iterator[None]:
    """No attempts and failures of other tests, which are counted in memory here."""
    settings.REDIS_URL = None
    throttle._memory_limiter().storage.reset()
    yield
    throttle._memory_limiter().storage.reset()


def log_in(username: str, password: str = PASSWORD) -> tuple[SurfaceClient, Any]:
    browser = SurfaceClient()
    return browser, browser.generic(
        "POST",
        LOGIN,
        f"username={username}&password={password}",
        "application/x-www-form-urlencoded",
        REMOTE_ADDR=ELSEWHERE,
    )


def is_signed_in(browser: SurfaceClient) -> bool:
    return bool(browser.get("/admin/").status_code == 200)


def entries(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("id"))


class TestAge:
    def test_session_in_use_ends_at_its_age(self, olivia: Operator) -> None:
        began = timezone.now()
        for minutes in range(50, 12 * 60, 50):
            with time_machine.travel(began + timedelta(minutes=minutes), tick=False):
                assert is_signed_in(olivia.client), f"after {minutes} minutes"

        with time_machine.travel(began + timedelta(hours=12), tick=False):
            assert not is_signed_in(olivia.client)

        assert not Session.objects.exists(), "the session itself is gone"

    def test_unused_session_ends(self, olivia: Operator) -> None:
        with time_machine.travel(timezone.now() + timedelta(hours=1), tick=False):
            assert olivia.client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"

    def test_settings_say_how_long(self, olivia: Operator, settings: Any) -> None:
        settings.ADMIN_SESSION_AGE, settings.ADMIN_IDLE_TIME = timedelta(minutes=25), timedelta(minutes=10)
        browsers = [log_in("olivia")[0] for _number in range(2)]
        now = timezone.now()
        for minutes, signed_in in ((9, [True, True]), (18, [True]), (26, [False, False])):
            with time_machine.travel(now + timedelta(minutes=minutes), tick=False):
                assert [is_signed_in(browser) for browser in browsers[: len(signed_in)]] == signed_in

    def test_session_without_times_or_from_the_future_is_over(self, olivia: Operator) -> None:
        for times in ({}, {"signed_in_at": timezone.now().timestamp() + 3600, "used_at": timezone.now().timestamp()}):
            browser, _response = log_in("olivia")
            session = browser.session
            for name in ("signed_in_at", "used_at"):
                session.pop(name)
            session.update(times)
            session.save()

            assert not is_signed_in(browser)

    def test_use_is_recorded_once_a_minute(self, olivia: Operator) -> None:
        olivia.client.get("/admin/password_change/")
        writes = []
        for seconds in (30, 90, 120):
            with time_machine.travel(timezone.now() + timedelta(seconds=seconds), tick=False):
                before = Session.objects.get().session_data
                olivia.client.get("/admin/password_change/")
                writes.append(Session.objects.get().session_data != before)

        assert writes == [False, True, False]


class TestEnds:
    def test_sign_out_everywhere_else_keeps_this_session(self, olivia: Operator) -> None:
        other, _response = log_in("olivia")
        services.sign_in(actor=OPERATOR, user=olivia.user)

        page = olivia.client.post(FACTORS, {"action": "end_sessions"}).content.decode()

        assert "All other sessions are ended" in page
        assert is_signed_in(olivia.client)
        assert not is_signed_in(other)
        assert not TokenSession.objects.exists()
        assert olivia.audit_of("user.end_sessions").object_id == olivia.user.pk

    def test_sign_out_of_other_sessions_of_the_api_ends_those_in_the_admin(self, alice: Person) -> None:
        services.set_operator_role(actor=OPERATOR, user_id=alice.user.pk, role=OperatorRole.VIEWER)
        browser, _response = log_in("alice")

        assert alice.client.send("DELETE", "/api/v1/auth/sessions").status_code == 204

        assert not is_signed_in(browser)
        assert alice.client.get("/api/v1/auth/me").status_code == 200

    def test_new_password_and_another_role_end_them(self, olivia: Operator) -> None:
        for end in (
            lambda user: services.set_password(actor=OPERATOR, user=user, password=PASSWORD),
            lambda user: services.set_operator_role(actor=OPERATOR, user_id=user.pk, role=OperatorRole.ADMIN),
        ):
            sam = services.create_user(
                actor=OPERATOR, username="sam", password=PASSWORD, operator_role=OperatorRole.SUPPORT
            )
            browser, _response = log_in("sam")
            assert is_signed_in(browser)

            end(sam)

            assert not is_signed_in(browser)
            sam.delete()


class TestAuditLog:
    def test_sign_in_and_sign_out_are_told(self, olivia: Operator) -> None:
        AuditEntry.objects.all()._raw_delete("default")  # those of the fixture
        browser, _response = log_in("olivia")
        browser.post("/admin/logout/")

        (entry,) = entries("operator.sign_in")
        assert (entry.actor_kind, entry.actor_label, entry.address) == ("operator", "olivia", ELSEWHERE)
        assert (entry.object_id, entry.after) == (olivia.user.pk, {"method": "password"})
        (entry,) = entries("operator.sign_out")
        assert (entry.actor_label, entry.object_id) == ("olivia", olivia.user.pk)

    def test_sign_in_with_a_factor_is_told_when_it_is_complete(self, olivia: Operator) -> None:
        app = enrol(olivia.user)
        before = len(entries("operator.sign_in"))

        browser, _response = log_in("olivia")
        assert len(entries("operator.sign_in")) == before
        browser.post("/admin/second-factor/", {"code": "000000"})
        browser.post("/admin/second-factor/", {"code": app.code()})

        assert entries("operator.sign_in")[-1].after == {"method": "totp"}
        (entry,) = entries("operator.sign_in_failed")
        assert (entry.object_id, entry.after) == (olivia.user.pk, {"reason": "wrong_factor"})

    def test_failures_are_told_without_what_was_typed_as_a_name(self, olivia: Operator, alice: Person) -> None:
        log_in("olivia", "a wrong one")
        log_in("alice")
        log_in("my-secret-password")

        failures = entries("operator.sign_in_failed")
        assert [(entry.object_id, entry.after) for entry in failures] == [
            (olivia.user.pk, {"reason": "wrong_password"}),
            (alice.user.pk, {"reason": "no_operator"}),
            ("unknown", {"reason": "wrong_password"}),
        ]
        assert {(entry.actor_kind, entry.address) for entry in failures} == {("anonymous", ELSEWHERE)}
        assert "my-secret-password" not in str(list(AuditEntry.objects.values_list()))

    def test_throttled_attempt_is_told(self, olivia: Operator, settings: Any) -> None:
        settings.AUTH_RATE = AuthRate(1, 60)
        for _number in range(2):
            log_in("olivia", "a wrong one")

        assert [entry.after for entry in entries("operator.sign_in_failed")] == [
            {"reason": "wrong_password"},
            {"reason": "too_many_attempts"},
        ]

    def test_nobody_fills_the_log(self, olivia: Operator, alice: Person) -> None:
        for number in range(25):
            log_in(f"nobody-{number}", "a wrong one")
            log_in("olivia", "a wrong one")
        assert len(entries("operator.sign_in_failed")) == 20 + 10

        sign_in("oscar")
        log_in("oscar", "a wrong one")
        assert len(entries("operator.sign_in_failed")) == 20 + 10 + 1, "others' failures hide none of an operator"

        with time_machine.travel(timezone.now() + timedelta(hours=1, minutes=1)):
            log_in("olivia", "a wrong one")
        assert len(entries("operator.sign_in_failed")) == 20 + 10 + 2

    def test_failed_sign_in_to_the_api_is_not_told(self, alice: Person) -> None:
        body = {"username": "alice", "password": "a wrong one"}
        SurfaceClient().send("POST", "/api/v1/auth/login", body)

        assert entries("operator.sign_in_failed") == []


class TestRequiredFactor:
    """With MAIM_ADMIN_REQUIRE_MFA, whatever the role."""

    @pytest.mark.parametrize("role", OperatorRole)
    def test_role_counts_after_the_factor_only(self, db: None, settings: Any, role: OperatorRole) -> None:
        settings.ADMIN_REQUIRE_MFA = True
        user = services.create_user(actor=OPERATOR, username="sam", password=PASSWORD, operator_role=role)
        browser, _response = log_in("sam")
        app = enrol(user)
        assert browser.get("/admin/accounts/user/").status_code == 302
        assert browser.post("/admin/accounts/user/", {"action": "deactivate"}).status_code == 302

        browser, _response = log_in("sam")
        browser.post("/admin/second-factor/", {"code": app.code()})

        assert browser.get("/admin/accounts/user/").status_code == 200
        assert User.objects.get(pk=user.pk).operator_role == role

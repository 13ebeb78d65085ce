"""Notices about keys and quotas: once, in a list, and by mail to those who manage it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.test import override_settings
from time_machine import travel

from accounts.mail import outbox
from accounts.models import QueuedMail, User
from agents.models import Agent
from apikeys import notices, services
from apikeys.models import Notice
from apikeys.notices import QuotaLevel
from apikeys.tests.asking import report_leak
from apikeys.tests.worker import Data, Worker
from apikeys.verification.quota_notes import QuotaNotes
from tenants.models import Role
from tests.support.people import OPERATOR, Person, join, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2040, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _mail_is_set_up() -> Iterator[None]:
    with override_settings(MAIL_IS_SET_UP=True):
        yield


def confirm(person: Person) -> str:
    """Let a person have a confirmed address, and return it."""
    address = f"{person.user.username}@example.com"
    person.user.set_email(address)
    person.user.verified_email = address
    person.user.save()
    return address


def recipients(*kinds: str) -> list[str]:
    """Return the recipients of the mails about keys that wait."""
    rows = QueuedMail.objects.filter(kind__in=kinds or Notice.Kind.values).order_by("id")
    return [outbox.read(row).to for row in rows]


def listed(person: Person, tenant_of: Person, query: str = "") -> list[dict[str, Any]]:
    response = person.client.get(f"/api/v1/tenants/{tenant_of.tenant.id}/notices?{query}")
    assert response.status_code == 200, response.content
    items: list[dict[str, Any]] = response.json()["data"]["items"]
    return items


def told(person: Person) -> list[tuple[str, str]]:
    return [(notice["kind"], notice["subject"]) for notice in listed(person, person)]


class TestRecipients:
    def test_owner_and_admins_with_confirmed_addresses_get_mail(
        self, alice: Person, bob: Person, charlie: Person, agent: Agent
    ) -> None:
        join(bob, alice.tenant, Role.ADMIN)
        join(charlie, alice.tenant, Role.MEMBER)
        addresses = [confirm(alice), confirm(bob)]
        confirm(charlie)
        report_leak(make_key(agent).secret)

        assert sorted(recipients()) == addresses

    def test_unconfirmed_and_inactive_ones_get_none(self, alice: Person, bob: Person, agent: Agent) -> None:
        join(bob, alice.tenant, Role.ADMIN)
        confirm(alice)
        alice.user.set_email("another@example.com")
        alice.user.save()
        confirm(bob)
        User.objects.filter(pk=bob.user.pk).update(is_active=False)

        report_leak(make_key(agent).secret)

        assert recipients() == []
        assert len(told(alice)) == 1

    def test_whoever_switched_notices_off_is_told_of_leaks_alone(self, alice: Person, agent: Agent) -> None:
        address = confirm(alice)
        response = alice.client.send("PATCH", "/api/v1/auth/me", {"key_notices": False})
        assert response.json()["key_notices"] is False
        assert alice.client.get("/api/v1/auth/me").json()["key_notices"] is False

        notices.notify_quotas([QuotaLevel(alice.tenant.id, agent.id, "day-20400101", 10, 80)])
        report_leak(make_key(agent).secret)

        assert recipients() == [address]
        assert recipients("key_leaked") == [address]
        assert {kind for kind, _subject in told(alice)} == {"key_leaked", "quota_reached"}

    @override_settings(MAIL_IS_SET_UP=False)
    def test_without_a_mail_server_the_list_tells(self, alice: Person, agent: Agent) -> None:
        confirm(alice)
        issued = make_key(agent)
        report_leak(issued.secret)

        assert recipients() == []
        assert told(alice) == [("key_leaked", issued.key.id)]


class TestLeaks:
    def test_leak_is_told_once(self, alice: Person, agent: Agent) -> None:
        confirm(alice)
        issued = make_key(agent, "production")
        for _ in range(2):
            report_leak(issued.secret)

        (notice,) = listed(alice, alice)

        assert notice["details"] == {"key_name": "production", "api_key": f"mmc_…{issued.key.current_secret.hint}"}
        assert len(recipients()) == 1


class TestExpiries:
    def test_key_is_told_seven_days_and_one_day_before_its_end(self, alice: Person, agent: Agent) -> None:
        confirm(alice)
        with travel(NOON, tick=False) as traveller:
            key = make_key(agent, expires_at=NOON + timedelta(days=10)).key
            counts = []
            for hours in (0, 3 * 24 - 1, 1, 1, 6 * 24 - 2, 1, 1, 30):
                traveller.shift(timedelta(hours=hours))
                counts.append(notices.notify_expiries())

        assert counts == [0, 0, 1, 0, 0, 1, 0, 0]
        assert told(alice) == [("key_expires", key.id)] * 2
        assert len(recipients("key_expires")) == 2

    def test_key_that_ends_within_a_day_is_told_once(self, alice: Person, agent: Agent) -> None:
        with travel(NOON, tick=False):
            make_key(agent, expires_at=NOON + timedelta(hours=5))

            assert (notices.notify_expiries(), notices.notify_expiries()) == (1, 0)

    def test_disabled_and_ended_keys_are_not_told_and_another_date_is(self, alice: Person, agent: Agent) -> None:
        with travel(NOON, tick=False):
            disabled = make_key(agent, expires_at=NOON + timedelta(days=3)).key
            services.disable_key(actor=OPERATOR, key=disabled)
            make_key(agent, expires_at=NOON - timedelta(hours=1))
            assert notices.notify_expiries() == 0

            key = make_key(agent, expires_at=NOON + timedelta(days=3)).key
            assert notices.notify_expiries() == 1
            services.update_key(actor=OPERATOR, key=key, changes={"expires_at": NOON + timedelta(days=4)})
            assert notices.notify_expiries() == 1


class TestQuotas:
    def test_quota_is_told_at_80_and_100_percent(self, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        confirm(alice)
        worker, data = Worker(monkeypatch), Data(alice)
        secret = data.another(name="production", quota={"limit": 5, "period": "day"})
        worker.renew()
        levels = []
        for _ in range(7):
            worker.engine.verify(secret, use=True)
            worker.engine._counter.write()
            levels.append([notice["details"]["percent"] for notice in listed(alice, alice)])

        assert levels == [[], [], [], [80], [100, 80], [100, 80], [100, 80]]
        assert listed(alice, alice)[0]["details"] == {"name": "production", "limit": 5, "percent": 100}
        assert len(recipients("quota_reached")) == 2

    def test_two_workers_tell_once(self, alice: Person, agent: Agent) -> None:
        level = QuotaLevel(alice.tenant.id, agent.id, "month-20400101", 10, 80)
        for _ in range(2):
            notices.notify_quotas([level])
        notices.notify_quotas([level._replace(period="month-20400201"), level._replace(limit=20)])

        assert len(told(alice)) == 3, "another period and another limit are told anew"

    def test_constraint_decides_between_workers_at_the_same_moment(
        self, alice: Person, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        confirm(alice)
        create = Notice.unscoped.create

        def told_by_another_first(**fields: Any) -> Notice:
            create(**fields)
            raise IntegrityError

        monkeypatch.setattr(Notice.unscoped, "create", told_by_another_first)
        notices.notify_quotas([QuotaLevel(alice.tenant.id, agent.id, "all", 10, 80)])

        assert recipients() == []

    def test_worker_notes_a_level_once(self) -> None:
        notes = QuotaNotes()
        level = QuotaLevel("tenant_x", "key_x", "all", 10, 80)

        notes.note([level, level])
        taken = notes.take()
        notes.note([level])

        assert (taken, notes.take()) == ([level], [])
        notes.put_back([level])
        assert notes.take() == [level]


class TestList:
    def test_members_read_it_and_strangers_do_not(self, alice: Person, bob: Person, charlie: Person) -> None:
        join(bob, alice.tenant)
        notices.notify_quotas([QuotaLevel(alice.tenant.id, alice.tenant.id, "all", 10, 80)])

        assert [notice["details"]["name"] for notice in listed(bob, alice)] == [alice.tenant.tenant_name]
        assert listed(bob, alice, "kind=key_leaked") == []
        assert charlie.client.get(f"/api/v1/tenants/{alice.tenant.id}/notices").status_code == 404

    def test_old_ones_are_swept_except_of_quotas_that_never_refill(self, alice: Person) -> None:
        tenant_id = alice.tenant.id
        with travel(NOON, tick=False) as traveller:
            notices.notify_quotas(
                [QuotaLevel(tenant_id, tenant_id, period, 10, 80) for period in ("all", "day-20400101")]
            )
            traveller.shift(timedelta(days=91))

            assert (notices.sweep(), notices.sweep()) == (1, 0)
            notices.notify_quotas([QuotaLevel(tenant_id, tenant_id, "all", 10, 80)])

        assert len(told(alice)) == 1

"""The data of `manage.py demo`, which holds together like real data does."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from django.db.models import Count, Sum

from accounts.models import User
from agent_config import system
from agent_config.schema import DEFAULT
from agent_config.updates import lint_config
from agents.models import Agent, ConfigVersion
from agents.services import active_agents
from apikeys import notices, verification
from apikeys.models import ApiKey, DailyUse, HourCount, KeySecret, MinuteCount, Notice, Refusal, UsageLogEntry
from apikeys.recount import find_drift
from core.audit_chain.verification import verify
from core.commands.exit_codes import ExitCode
from core.http.surfaces import PUBLIC
from core.models import AuditEntry
from tenants.models import Membership, Role, Tenant
from tests.support.client import SurfaceClient
from tests.support.commands import Outcome, run

KEYS, LOCAL = 600, ip_address("127.0.0.1")


@pytest.fixture(scope="module")
def outcome(module_transaction: None) -> Outcome:
    """The output of the command that filled the database of this module."""
    return run("demo", "--keys", str(KEYS), "--yes", "--json")


@pytest.fixture
def document(outcome: Outcome, db: None) -> dict[str, Any]:
    found: dict[str, Any] = outcome.document
    return found


def test_there_is_as_much_as_was_asked_for(document: dict[str, Any]) -> None:
    samples = len(document["api_keys"]) - 1  # one of them has two secrets
    assert document["keys"] == KEYS
    assert ApiKey.unscoped.count() == KEYS + samples
    assert Agent.unscoped.count() == document["agents"] + 1
    assert Tenant.objects.count() == document["tenants"] + 1
    assert document["rows_per_second"] > 0
    assert document["plain_rows_per_second"] > 0


def test_tenants_have_a_long_tail(document: dict[str, Any]) -> None:
    sizes = sorted(Counter(ApiKey.unscoped.values_list("tenant_id", flat=True)).values())

    assert sizes[-1] > 4 * sizes[len(sizes) // 2]


def test_kept_totals_are_those_of_the_rows(document: dict[str, Any]) -> None:
    assert find_drift() == Counter()


def test_audit_log_is_in_order_and_verifies(document: dict[str, Any]) -> None:
    report = verify()

    assert (report.findings, report.tail) == ([], 0)
    assert report.entries > KEYS
    times = list(AuditEntry.objects.order_by("id").values_list("at", flat=True))
    assert all(before <= after for before, after in pairwise(times))


def test_every_object_and_every_change_of_it_has_its_entry(document: dict[str, Any]) -> None:
    actions = Counter(AuditEntry.objects.values_list("action", flat=True))

    assert actions["key.create"] == ApiKey.unscoped.count()
    assert actions["agent.create"] == Agent.unscoped.count()
    assert actions["tenant.create"] == Tenant.objects.count()
    assert actions["user.create"] == User.objects.count()
    assert actions["membership.set"] == Membership.objects.exclude(role=Role.OWNER).count()
    assert actions["key.report_leak"] == KeySecret.objects.filter(leaked_at__isnull=False).count()
    assert actions["key.rotate"] == KeySecret.objects.count() - ApiKey.unscoped.count()
    assert ConfigVersion.unscoped.count() == Agent.unscoped.aggregate(number=Sum("config_version"))["number"]


def test_people_sign_in_with_the_passwords_that_are_shown(document: dict[str, Any]) -> None:
    operator, alice = document["sign_in"]

    signed_in = SurfaceClient(PUBLIC).post(
        "/api/v1/auth/login", {"username": alice["username"], "password": alice["password"]}
    )
    assert signed_in.status_code == 200
    assert User.objects.get(username="operator", is_superuser=True).check_password(operator["password"])


def test_shown_keys_have_the_verdicts_that_are_shown(document: dict[str, Any]) -> None:
    shown = {each["kind"]: each for each in document["api_keys"]}
    for kind, each in shown.items():
        assert verification.verify(each["api_key"], LOCAL).code == each["verdict"], kind
    assert len(shown) == 11
    assert sum(each["verdict"] == "VALID" for each in shown.values()) == 8


def test_keys_are_of_every_kind(document: dict[str, Any]) -> None:
    keys = ApiKey.unscoped.all()

    for kind in (
        keys.filter(status="disabled"),
        keys.filter(expires_at__isnull=False),
        keys.filter(rate_limit__isnull=False),
        keys.filter(quota__isnull=False),
        keys.exclude(allowed_networks="[]"),
        keys.filter(usage_count=0),
        keys.filter(usage_count__gt=100),
        keys.filter(secrets__leaked_at__isnull=False),
        keys.annotate(number=Count("secrets")).filter(number__gt=1),
    ):
        assert kind.exists(), kind.query
    assert set(Membership.objects.values_list("role", flat=True)) == set(Role)


def test_uses_add_up(document: dict[str, Any]) -> None:
    def sums(subjects: Any) -> Counter[Any]:
        rows = DailyUse.unscoped.filter(subject__in=subjects).values_list("tenant_id", "day").annotate(Sum("uses"))
        return Counter({(tenant, day): number for tenant, day, number in rows})

    keys = ApiKey.unscoped.values("pk")
    of_keys = sums(keys)
    assert of_keys == sums(Agent.unscoped.values("pk")) == sums(Tenant.objects.values("pk"))
    assert of_keys.total() == keys.aggregate(number=Sum("usage_count"))["number"]
    hours = Counter[Any]()
    for model in (HourCount, MinuteCount):
        for tenant, start, number in model.unscoped.filter(outcome="VALID").values_list("tenant_id", "start", "number"):
            hours[tenant, start.date()] += number
    latest = max(day for _tenant, day in of_keys)
    for (tenant, day), number in of_keys.items():
        if (latest - day).days < 29:
            assert hours[tenant, day] == number
    everybody = sum(number for (tenant, _day), number in hours.items() if tenant)
    assert everybody == sum(number for (tenant, _day), number in hours.items() if not tenant), "of the installation"


def test_no_key_was_used_when_it_was_not_good(document: dict[str, Any]) -> None:
    for key in ApiKey.unscoped.exclude(last_used_at=None):
        assert key.last_used_at is not None
        assert key.last_used_at >= key.created_at
        assert key.expires_at is None or key.last_used_at <= key.expires_at
        assert key.status != "disabled" or key.last_used_at <= key.updated_at


def test_configs_are_valid(document: dict[str, Any]) -> None:
    below = [system.defaults(DEFAULT).layer]

    assert [
        lint_config(agent.config, below) for agent in Agent.unscoped.all() if lint_config(agent.config, below)
    ] == []


def test_logs_have_entries(document: dict[str, Any]) -> None:
    assert active_agents().count() > document["agents"] // 4
    assert Refusal.unscoped.exists()
    assert UsageLogEntry.objects.count() == KEYS // 5
    assert Notice.unscoped.filter(kind=Notice.Kind.KEY_LEAKED).exists()


def test_what_was_told_of_expiries_is_not_told_again(document: dict[str, Any]) -> None:
    told = Notice.unscoped.filter(kind=Notice.Kind.KEY_EXPIRES).count()
    assert told > 0

    samples = 1  # the key that expires in a week came after the history
    assert notices.notify_expiries() == samples


def test_filled_database_is_not_filled_again(document: dict[str, Any]) -> None:
    again = run("demo", "--yes")

    assert (again.status, "not empty" in again.err) == (ExitCode.REFUSED, True)

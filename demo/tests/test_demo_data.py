"""The data of `manage.py demo`, which holds together like real data does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from django.db.models import Count, Sum
from django.utils import timezone

from accounts.models import User
from agent_config import system
from agent_config.schema import DEFAULT
from agent_config.updates import lint_config
from agents.models import Agent, ConfigVersion
from agents.services import active_agents
from apikeys import notices, verification
from apikeys.models import (
    ApiKey,
    DailyRefusals,
    DailyUse,
    FiveMinuteCount,
    HourCount,
    KeySecret,
    MinuteCount,
    Notice,
    Refusal,
    UsageLogEntry,
    VerificationTime,
)
from apikeys.outcomes import INSTALLATION
from apikeys.recount import find_drift
from apikeys.statistics import Span
from apikeys.verification import MALFORMED, UNKNOWN, VALID
from core.audit_chain.verification import verify
from core.commands.exit_codes import ExitCode
from core.http.surfaces import PUBLIC
from core.models import AuditEntry
from dashboard import figures
from dashboard.gauges import GaugeName
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
    def by_day(subjects: Any) -> Counter[Any]:
        rows = DailyUse.unscoped.filter(subject__in=subjects).values_list("tenant_id", "day").annotate(Sum("uses"))
        return Counter({(tenant, day): number for tenant, day, number in rows})

    keys = ApiKey.unscoped.values("pk")
    of_keys = by_day(keys)
    assert of_keys == by_day(Agent.unscoped.values("pk")) == by_day(Tenant.objects.values("pk"))
    assert of_keys.total() == keys.aggregate(number=Sum("usage_count"))["number"]
    of_days = Counter[Any]()
    for (_tenant, day), number in of_keys.items():
        of_days[INSTALLATION, day] += number
    assert of_days == by_day([INSTALLATION])


def test_verifications_add_up(document: dict[str, Any]) -> None:
    """Given that minutes, hours, five minutes and days count the same: each is the sum of the shorter ones."""
    today = DailyUse.unscoped.latest("day").day
    recently, monthly = today - timedelta(days=1), today - timedelta(days=28)

    minutes, hours = sums_of(MinuteCount.unscoped, "tenant_id"), sums_of(HourCount.unscoped, "tenant_id")
    assert minutes
    assert minutes == Counter({key: number for key, number in hours.items() if key[1] >= recently})
    tenants = {key: number for key, number in hours.items() if key[0]}
    assert installation_of(hours) >= installation_of(tenants), "which has keys that nobody knows besides"
    assert {outcome for _day, outcome in installation_of(hours) - installation_of(tenants)} == {UNKNOWN, MALFORMED}

    days = Counter({(each.subject, each.day, VALID): each.uses for each in DailyUse.unscoped.filter(day__gte=monthly)})
    days += Counter({(each.subject, each.day, each.outcome): each.number for each in DailyRefusals.objects.all()})
    assert Counter({key: number for key, number in hours.items() if key[1] >= monthly}) == Counter(
        {key: number for key, number in days.items() if key[1] >= monthly and key[0] in {"", *tenant_ids()}}
    )
    of_agents_and_keys = sums_of(FiveMinuteCount.objects, "subject")
    assert of_agents_and_keys
    for (subject, day, outcome), number in of_agents_and_keys.items():
        if day == today:
            assert number == days[subject, day, outcome]


def test_five_minutes_of_keys_are_those_of_their_agents(document: dict[str, Any]) -> None:
    agents = dict(ApiKey.unscoped.values_list("pk", "agent_id"))
    of_agents, of_keys = Counter[Any](), Counter[Any]()
    for subject, start, outcome, number in FiveMinuteCount.objects.values_list("subject", "start", "outcome", "number"):
        if subject in agents:
            of_keys[agents[subject], start, outcome] += number
        else:
            of_agents[subject, start, outcome] += number

    assert of_keys == of_agents != Counter()


def test_as_many_durations_are_counted_as_verifications(document: dict[str, Any]) -> None:
    everything = HourCount.unscoped.filter(tenant=INSTALLATION)
    recently = timezone.now() - timedelta(hours=20)

    # By the minute there is little in the evening, and may be nothing at night.
    for rows, length, fewest in ((everything, 60, 15), (MinuteCount.unscoped.filter(tenant=INSTALLATION), 1, 0)):
        taken = dict(
            VerificationTime.objects.filter(minutes=length).values_list("start").annotate(number=Sum("number"))
        )
        counted = dict(rows.filter(start__gte=recently).values_list("start").annotate(number=Sum("number")))
        shared = taken.keys() & counted.keys()
        assert len(shared) >= fewest
        assert {start: taken[start] for start in shared} == {start: counted[start] for start in shared}
    days = VerificationTime.objects.filter(minutes=1440)
    assert days.aggregate(number=Sum("number"))["number"] == sum(
        (
            DailyUse.unscoped.filter(subject=INSTALLATION).aggregate(number=Sum("uses"))["number"],
            DailyRefusals.objects.filter(subject=INSTALLATION).aggregate(number=Sum("number"))["number"],
        )
    )


@pytest.mark.parametrize("span", Span)
def test_dashboard_has_something_to_show(document: dict[str, Any], span: Span) -> None:
    """In an hour of the night a small installation may have texts that are no key, and nothing else."""
    found = figures.overview(span)

    numbers = [sum(number or 0 for number in several) for _label, several in found.verifications.rows]
    (median, slowest) = found.durations.lines
    least = 1 if span == Span.HOUR else len(numbers) // 3
    assert len(found.verifications.lines) > 1
    assert sum(map(bool, numbers)) >= least
    assert [number is not None for number in median.numbers] == [bool(number) for number in numbers]
    assert [number is not None for number in slowest.numbers] == [bool(number) for number in numbers]
    called = MinuteCount.unscoped.exclude(tenant=INSTALLATION).filter(outcome=VALID, start__gte=found.rankings.since)
    assert len(found.rankings.busiest) == min(10, called.values("tenant").distinct().count())
    assert found.gauges.keys() == set(GaugeName)
    zero = {name for name, measured in found.gauges.items() if not measured.number}
    assert zero <= {GaugeName.FAILED_OPERATIONS, GaugeName.CALLED_SUSPENDED_TENANTS}


def sums_of(rows: Any, subject: str) -> Counter[Any]:
    """Return the numbers of verifications by subject, day and outcome."""
    sums = Counter[Any]()
    for of, start, outcome, number in rows.values_list(subject, "start", "outcome", "number"):
        sums[of, start.date(), outcome] += number
    return sums


def installation_of(sums: Mapping[Any, int]) -> Counter[Any]:
    """Return the sums of the installation, or of all tenants if only these are there, by day and outcome."""
    everything = [each for each in sums.items() if not each[0][0]]
    added = Counter[Any]()
    for (_subject, day, outcome), number in everything or sums.items():
        added[day, outcome] += number
    return added


def tenant_ids() -> set[str]:
    return set(Tenant.objects.values_list("pk", flat=True))


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

"""Every list of both surfaces and of the admin, with its filters, orders and searches, and what it costs to read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db import connection
from time_machine import travel

from agents.models import Agent
from apikeys import attention, rankings, statistics
from apikeys.models import ApiKey
from apikeys.statistics import EVERYTHING, Span, Subject
from core import servers
from core.audit_history import last_changes, last_changes_in
from dashboard import figures, gauges
from tenants.models import Tenant
from tests.support.large_tables import AGENT, TENANT, USER

KEY_FILTERS = ("status=active", "status=disabled", "status=expired", "expires_within_days=30", "never_used=true",
               "unused_since=2020-01-01T00:00:00Z")  # fmt: skip


class List(NamedTuple):
    """A list: its surface, path and query, and the number of rows that it shows at most."""

    surface: str  # "public", "internal", "admin" or "command", whose path and query are its name and arguments
    path: str
    query: str = ""
    size: int = 20

    def __str__(self) -> str:
        return f"{self.surface} {self.path}?{self.query}"


def _lists(surface: str, path: str, size: int, *queries: str, fixed: str = "") -> list[List]:
    return [List(surface, path, "&".join(filter(None, (fixed, query))), size) for query in queries]


def _ago(seconds: int) -> str:
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


_AFTER = "after=agent_5", "after=key_5"
_KEYS_OF_TENANT = ("", "page=50", f"agent_id={AGENT}", _AFTER[1], f"status=disabled&{_AFTER[1]}", *KEY_FILTERS)

LISTS = [
    *_lists("internal", "/api/v2/tenants", 20, "", "page=20", "after=tenant_5"),
    *_lists("internal", "/api/v2/agents", 20, "", "page=20", "status=archived", "status=inactive", _AFTER[0],
            f"status=archived&{_AFTER[0]}", fixed=f"tenant_id={TENANT}"),
    *_lists("internal", "/api/v2/api-keys", 20, *_KEYS_OF_TENANT, fixed=f"tenant_id={TENANT}"),
    *_lists("internal", "/api/v2/templates", 20, "", "page=20", "tenant_id=tenant_5", "after=template_5"),
    *_lists("internal", f"/api/v2/agents/{AGENT}/config/versions", 20, "", "page=20", "after=50000"),
    *_lists("internal", "/api/v2/agent-activity", 100, "after=", f"after=&tenant_id={TENANT}"),
    *_lists("internal", "/api/v2/config-changes", 100, "after=0"),
    *_lists("internal", "/api/v1/plugins/settings", 100, "", f"agent_id={AGENT}", "after=",
            fixed=f"tenant_id={TENANT}"),
    *_lists("public", "/api/v1/tenants", 20, "", "after=tenant_5"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/audit", 100, "", "before=50000", "before=500", "after=50000",
            "action=key.update", "action=key.none&after=", f"actor_id={USER}", f"actor_id={USER}&action=key.update",
            "object_id=key_77", f"actor_id={USER}&from={_ago(6000)}&to={_ago(3000)}", "format=jsonl"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/agent-activity", 100, "", "after=agent_5", "agent_id=agent_77",
            "format=jsonl"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/usage-log", 100, "", "before=500", "after=500", "agent_id=agent_77",
            f"from={_ago(9000)}&to={_ago(8000)}", f"agent_id=agent_77&from={_ago(9000)}&to={_ago(8000)}",
            "format=jsonl"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/refusals", 100, "", "before=500", "after=500", "request_id=request_77",
            "code=AUTH_002", "api_key_id=key_77", f"from={_ago(9000)}&to={_ago(8000)}", "code=AUTH_002&before=500",
            "format=jsonl"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/notices", 100, "", "before=500", "after=500", "kind=key_expires",
            f"from={_ago(9000)}&to={_ago(8000)}", "format=jsonl"),
    *_lists("public", f"/api/v1/tenants/{TENANT}/invitations", 20, "", "page=20", "after=invitation_of_5"),
    *_lists("public", "/api/v1/agents", 100, "", "skip=300", "sort=created_at", "sort=name", "sort=-name",
            "status=archived", "status=inactive", "status=inactive&sort=name", f"tenant_id={TENANT}", _AFTER[0],
            f"status=archived&{_AFTER[0]}"),
    *_lists("public", f"/api/v1/agents/{AGENT}/api_keys", 100, "", "skip=300", _AFTER[1], *KEY_FILTERS),
    *_lists("public", "/api/v1/api-keys", 20, *_KEYS_OF_TENANT, fixed=f"tenant_id={TENANT}"),
    *_lists("public", "/api/v1/search", 60, "q=bot 77", f"q=mmc_…00ff&tenant_id={TENANT}"),
    *_lists("public", "/api/v1/templates", 100, "", f"tenant_id={TENANT}", "after=template_5"),
    *_lists("public", f"/api/v1/agents/{AGENT}/config/versions", 100, "", "skip=300", "after=50000"),
    *_lists("public", "/api/v1/plugins/settings", 100, f"tenant_id={TENANT}", f"agent_id={AGENT}",
            f"tenant_id={TENANT}&after="),
    *_lists("public", "/api/v1/auth/me", 1, ""),
    *_lists("public", "/api/v1/auth/sessions", 100, "", "after=session_5"),
    *_lists("public", "/api/v1/auth/identities", 100, "", "after=identity_5"),
    *_lists("public", "/api/v1/auth/tokens", 100, "", "after=token_5"),
    *_lists("admin", "accounts/personaltoken", 100, "", "q=token_77", f"q={TENANT}", f"q={USER}", "q=nobody"),
    *_lists("admin", "accounts/user", 100, "", "o=6", "is_staff__exact=1", "is_active__exact=0",
            "is_superuser__exact=1", "q=person 77", "q=nobody"),
    *_lists("admin", "accounts/invitation", 100, "", "q=invitation_77", "q=nobody"),
    *_lists("admin", "accounts/queuedmail", 100, "", "kind=reset", "q=77"),
    *_lists("admin", "tenants/tenant", 100, "", "status__exact=suspended", "tenant_type__exact=personal", "q=tenant 77",
            "q=nobody", f"q={TENANT}"),
    *_lists("admin", "tenants/tenantinvitation", 100, "", "q=invitation_of_7", "q=nobody", f"q={TENANT}"),
    *_lists("admin", "agents/agent", 100, "", "o=6", "status__exact=archived", "q=bot 77", "q=nobody", f"q={TENANT}"),
    *_lists("admin", "agents/configversion", 100, "", f"q={AGENT}", "q=nobody"),
    *_lists("admin", "agents/template", 100, "", "q=template", "q=nobody", "q=tenant_5"),
    *_lists("admin", "apikeys/apikey", 100, "", "status=active", "status=disabled", "status=expired",
            "expires_within_days=7", "expires_within_days=90", "unused=never", "unused=30", "leaked=current",
            "leaked=any", "q=key 77", "q=nobody",
            f"q={TENANT}", f"q={AGENT}", "q=mmc_…00ff"),
    *_lists("admin", "apikeys/usagelogentry", 100, "", "created_at__gte=2026-01-01T00:00:00Z", f"q={TENANT}", "q=u77",
            "q=chat", "q=nobody"),
    # Commands show the first two pages.
    *_lists("command", "tenants", 200, "list", "list --status suspended", "list --type personal",
            "list --name 'tenant 7'", f"list --member {USER}"),
    *_lists("command", "users", 200, "list", "list --inactive", "list --operators", "list --name 'person 7'",
            f"list --tenant {TENANT}"),
    *_lists("command", "agents", 200, "list", "list --status archived", "list --name 'bot 7'",
            f"list --tenant {TENANT}", f"list --tenant {TENANT} --status archived"),
    *_lists("command", "keys", 200, "list", "list --status disabled", "list --status active",
            f"list --tenant {TENANT}", f"list --tenant {TENANT} --status disabled", f"list --agent {AGENT}"),
    *_lists("command", "keys", 20, "show 'key 77'"),
    *_lists("command", "audit", 200, "list", "list --action key.update", "list --object key_77", "list --kind operator",
            f"list --user {USER}", f"list --tenant {TENANT}", f"list --tenant {TENANT} --action key.update",
            f"list --tenant {TENANT} --since {_ago(6000)} --until {_ago(3000)}"),
    *_lists("admin", "agents/pluginsetting", 100, "", f"q={TENANT}", f"q={AGENT}"),
    *_lists("admin", "agents/agentactivity", 100, "", f"q={AGENT}"),
    *_lists("admin", "common/deletedobject", 100, "", "q=deleted_77", f"q={TENANT}", "q=nobody"),
    *_lists("admin", "operations/bulkoperation", 100, "", "state__exact=done", "failed_within_days=7",
            "q=operation_77"),
    *_lists("admin", "common/auditentry", 100, "", "actor_kind=operator", "action=key.update",
            "at__gte=2026-01-01T00:00:00Z", f"q={TENANT}", f"q={USER}", "q=key_77", "q=person 77",
            "q=key 77", "q=nobody"),
]  # fmt: skip


def figures_of_pages() -> dict[str, tuple[Callable[[], Any], int]]:
    """Return each figure of the dashboard and of pages, with the number of rows that it shows."""
    tenant, agent = Tenant.objects.get(pk=TENANT), Agent.unscoped.get(pk=AGENT)
    key = ApiKey.unscoped.filter(agent=agent).order_by("created_at", "id")[0]
    lists: dict[str, tuple[Callable[[], Any], int]] = {
        "rankings": (rankings.rank, 20),
        "expiring keys": (attention.expiring_keys, 10),
        "expiring keys of a tenant": (lambda: attention.expiring_keys(TENANT), 10),
        "never used keys": (partial(_in_a_week, attention.never_used_keys), 10),
        "never used keys of a tenant": (partial(_in_a_week, attention.never_used_keys, TENANT), 10),
        "leaked secrets": (attention.leaked_secrets, 10),
        "alive agents of a tenant": (lambda: figures.alive_agents(tenant), 10),
        "last changes of an agent": (lambda: last_changes(AGENT), 10),
        "last changes in a tenant": (lambda: last_changes_in(TENANT), 10),
        "gauges": (gauges.read, len(gauges.GaugeName)),
        "servers": (servers.running, 1),
    }
    subjects = {"all": EVERYTHING, TENANT: Subject.tenant(TENANT), AGENT: Subject.of(agent), key.id: Subject.of(key)}
    series = {
        f"verifications of {name}, {span.value}": (partial(statistics.verifications, subject, span), 2 * periods)
        for name, subject in subjects.items()
        for span, periods in ((Span.HOUR, 60 if subject.has_minutes else 12), (Span.DAY, 24), (Span.MONTH, 30))
    }
    times = {
        f"durations, {span.value}": (partial(figures.verification_times, span), periods)
        for span, periods in ((Span.HOUR, 60), (Span.DAY, 24), (Span.MONTH, 30))
    }
    return {**lists, **series, **times}


def _in_a_week(figure: Callable[..., Any], *arguments: Any) -> None:
    """Read a figure when all keys are old enough to be in it."""
    with travel(datetime.now(UTC) + attention.UNUSED_FOR + timedelta(hours=1)):
        assert figure(*arguments).rows


class Cost(NamedTuple):
    """The rows of tables and indexes that a list has read, and its statements with the seconds that each took."""

    reads: int
    statements: list[tuple[str, Any, float]]

    @property
    def seconds(self) -> float:
        return sum(seconds for _sql, _params, seconds in self.statements)

    def full_scans(self) -> list[str]:
        """Return the tables of more than 1,000 rows that MariaDB reads without an index."""
        scans = []
        with connection.cursor() as cursor:
            for sql, params, _seconds in self.statements:
                if not sql.lstrip().startswith("SELECT"):
                    continue
                cursor.execute(f"EXPLAIN {sql}", params)
                scans += [table for _, _, table, kind, *_, rows, _extra in cursor.fetchall()
                          if kind == "ALL" and int(rows) > 1000]  # fmt: skip
        return scans


def cost_of(read: Callable[[], Any]) -> Cost:
    """Call `read` and return what it took of MariaDB."""
    statements: list[tuple[str, Any, float]] = []

    def timed(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, *rest)
        finally:
            statements.append((sql, params, time.perf_counter() - began))

    before = _rows_read()
    with connection.execute_wrapper(timed):
        read()
    return Cost(_rows_read() - before, statements)


def _rows_read() -> int:
    """Return how many rows this connection has read of tables and indexes, temporary ones included."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(number) for name, number in cursor.fetchall() if name != "Handler_read_retry")

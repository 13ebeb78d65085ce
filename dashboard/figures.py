"""Everything that the dashboard and the pages of tenants, agents and keys show, in few queries over few rows."""

from __future__ import annotations

from typing import NamedTuple

from agents.models import Agent, AgentActivity
from agents.services import active_agents
from apikeys import attention, durations, rankings, statistics
from apikeys.models import ApiKey, KeySecret
from apikeys.periods import DAY, HOUR, MINUTE
from apikeys.rankings import Rankings
from apikeys.statistics import EVERYTHING, Span, Subject
from core import servers
from core.audit_history import last_changes, last_changes_in
from core.gauges import Measured
from core.http import dependencies
from core.listing import Sample, sample_of
from core.models import AuditEntry, RunningServer
from dashboard import charts, gauges
from dashboard.charts import Chart
from tenants.models import Tenant

# The page does not wait longer for a dependency that hangs.
HEALTH_SECONDS = 0.4
ALIVE_SHOWN = 10
_PERIODS = {Span.HOUR: (MINUTE, 60), Span.DAY: (HOUR, 24), Span.MONTH: (DAY, statistics.DAYS_SHOWN)}


class KeysToLookAt(NamedTuple):
    """Keys that expire soon, keys that were never used, and secrets that leaked."""

    expiring: Sample[ApiKey]
    never_used: Sample[ApiKey]
    leaked: Sample[KeySecret]

    @staticmethod
    def of(tenant_id: str | None = None) -> KeysToLookAt:
        """Return those of a tenant, or of all tenants."""
        return KeysToLookAt(
            expiring=attention.expiring_keys(tenant_id),
            never_used=attention.never_used_keys(tenant_id),
            leaked=attention.leaked_secrets(tenant_id),
        )


class Overview(NamedTuple):
    """The figures of the dashboard."""

    verifications: Chart
    durations: Chart
    rankings: Rankings
    gauges: dict[str, Measured]
    keys: KeysToLookAt
    servers: list[RunningServer]
    health: dict[str, bool]


class TenantFigures(NamedTuple):
    """The figures on a tenant's page."""

    verifications: Chart
    keys: KeysToLookAt
    alive: Sample[AgentActivity]
    changes: list[AuditEntry]


class AgentFigures(NamedTuple):
    """The figures on an agent's page. `alive` is its heartbeat, if it has not expired."""

    verifications: Chart
    alive: AgentActivity | None
    changes: list[AuditEntry]


class KeyFigures(NamedTuple):
    """The figures on a key's page."""

    verifications: Chart
    changes: list[AuditEntry]


def verifications(subject: Subject, span: Span) -> Chart:
    """Return the verifications of a subject that the operator may read."""
    return charts.of_verifications(span, statistics.verifications(subject, span))


def verification_times(span: Span) -> Chart:
    """Return how long verifications took."""
    length, periods = _PERIODS[span]
    return charts.of_durations(span, length, durations.read(length, periods))


def overview(span: Span) -> Overview:
    """Return the figures of the dashboard."""
    return Overview(
        verifications=verifications(EVERYTHING, span),
        durations=verification_times(span),
        rankings=rankings.rank(),
        gauges=gauges.read(),
        keys=KeysToLookAt.of(),
        servers=servers.running(),
        health=dependencies.check_all(HEALTH_SECONDS),
    )


def of_tenant(tenant: Tenant, span: Span) -> TenantFigures:
    """Return the figures on a tenant's page."""
    return TenantFigures(
        verifications=verifications(Subject.tenant(tenant.id), span),
        keys=KeysToLookAt.of(tenant.id),
        alive=alive_agents(tenant),
        changes=last_changes_in(tenant.id),
    )


def alive_agents(tenant: Tenant) -> Sample[AgentActivity]:
    """Return the heartbeats of a tenant that have not expired, in the order of ids, which an index has."""
    return sample_of(active_agents(tenant.id).select_related("agent").order_by("agent_id"), ALIVE_SHOWN)


def of_agent(agent: Agent, span: Span) -> AgentFigures:
    """Return the figures on an agent's page."""
    return AgentFigures(
        verifications=verifications(Subject.of(agent), span),
        alive=active_agents(agent.tenant_id).filter(pk=agent.pk).first(),
        changes=last_changes(agent.id),
    )


def of_key(key: ApiKey, span: Span) -> KeyFigures:
    """Return the figures on a key's page."""
    return KeyFigures(verifications=verifications(Subject.of(key), span), changes=last_changes(key.id))

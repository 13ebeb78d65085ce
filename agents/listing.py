"""A person's agents, which consoles poll: the list, and one of them.

The SQL is compiled once for each set of filters, and the rows do not become models, because either would take several
times as long as the query itself. A long list is read tenant by tenant and by the ids of its rows, because MariaDB
would sort all agents of several tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any

import orjson
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery, Sum

from agent_config.schema import ConfigWarning
from agents.access import agents_for, get_agent
from agents.config_warnings import StoredConfig, get_listed_warnings, parsed_later
from agents.effective_config import STATE_FIELDS, ConfigState
from agents.errors import AgentNotFound
from agents.models import Agent
from core.actor import Actor, ActorKind
from core.counts import Kind
from core.listing import NEAR
from core.models import RowCount
from core.prepared import prepared_sql
from core.text import fold_name
from tenants.access import open_memberships
from tenants.models import Membership
from tenants.roles import Access

NEWEST_FIRST = "-created_at"
SORT_COLUMNS = {"created_at": ("created_at", "id"), "name": ("name_folded", "id"), "id": ("id",)}
# Their values come after the person's or the tenant's id in the parameters of the SQL, in this order.
_FILTERS = {
    "q": "name_folded__contains",
    "status": "status",
    "tenant_id": "tenant_id",
    "after": "id__gt",
    "id": "id",
}
_PERSON = Actor(kind=ActorKind.USER, id="")


@dataclass(slots=True)
class ListedAgent:
    """The fields of an agent that a client sees, with the model's names and values; the config is not parsed."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    config: str
    template_id: str | None
    status: str
    tags: Any
    created_at: datetime
    updated_at: datetime
    rate_limit: Any
    quota: Any
    config_schema: str | None
    revision: int
    state: ConfigState
    config_warnings: Sequence[ConfigWarning] | None = None

    @property
    def stored_config(self) -> StoredConfig:
        """The config, for finding the warnings about it."""
        return StoredConfig(self.state, self.revision, parsed_later(self.config))


_COLUMNS = tuple(field.name for field in fields(ListedAgent))[:-2]


class AgentList:
    """The agents of all of a person's tenants that match the filters.

    `filters` may have `q` (a part of the name), `status`, `tenant_id` and `after` (only agents with greater ids).
    `sort` is a key of SORT_COLUMNS, with a `-` before it for descending.
    """

    def __init__(self, actor: Actor, *, sort: str, filters: Mapping[str, str]) -> None:
        if actor.kind != ActorKind.USER:
            raise ValueError(f"only people have a list of agents, not {actor.kind}")
        if actor.only_tenant_id is not None:
            is_open = filters.get("tenant_id") in (None, actor.only_tenant_id)
            filters = {**filters, "tenant_id": actor.only_tenant_id if is_open else ""}
        self._actor, self._sort, self._filters = actor, sort, filters
        self._names = tuple(name for name in _FILTERS if name in filters)
        self._values = [_value(name, filters[name]) for name in self._names]

    def __getitem__(self, part: slice) -> Sequence[ListedAgent]:
        """Return a slice of the agents, with the warnings about their configs."""
        agents = self._read(part)
        for agent, warnings in zip(agents, get_listed_warnings([each.stored_config for each in agents]), strict=True):
            agent.config_warnings = warnings
        return agents

    def after(self, cursor: str) -> AgentList:
        """Return the agents whose ids are greater than this one, ordered by id."""
        return AgentList(self._actor, sort="id", filters={**self._filters, "after": cursor})

    def count(self) -> int:
        """Return the number of agents. Only those with a part of a name are counted one by one."""
        if "q" not in self._filters:
            return sum(self._totals.values())
        ids = _select_keys(self._names, "id", in_one=False)
        counted = f"SELECT COUNT(*) FROM ({ids}) AS matching"  # noqa: S608  # of the ORM's own text
        number: int = _fetch(counted, [self._actor.id, *self._values])[0][0]
        return number

    @cached_property
    def _totals(self) -> dict[str, int]:
        """The number of agents in each of the person's tenants, not regarding `q`."""
        status, tenant_id = self._filters.get("status"), self._filters.get("tenant_id")
        values = [Kind.AGENTS, "", status, self._actor.id, tenant_id]
        sql = _select_totals(has_status=status is not None, has_tenant=tenant_id is not None)
        return {
            tenant: int(number or 0) for tenant, number in _fetch(sql, [value for value in values if value is not None])
        }

    def _read(self, part: slice) -> list[ListedAgent]:
        limits = [part.stop - part.start, part.start]
        if len(self._totals) == 1 and part.start < NEAR:
            sql, first = _select_rows(self._names, self._sort, in_one=True), next(iter(self._totals))
        elif len(self._totals) == 1 or len(self._totals) * part.stop < sum(self._totals.values()):
            return self._read_by_ids(part)
        else:  # a short list, or most of a long one
            sql, first = _select_rows(self._names, self._sort, in_one=False), self._actor.id or ""
        return [_convert(row) for row in _fetch(f"{sql} LIMIT %s OFFSET %s", [first, *self._values, *limits])]

    def _read_by_ids(self, part: slice) -> list[ListedAgent]:
        """Return a slice of what all tenants have in it at most, of which only ids and the sort column are read."""
        sql = f"{_select_keys(self._names, self._sort, in_one=True)} LIMIT %s OFFSET %s"
        first = part.start if len(self._totals) == 1 else 0
        limits = [part.stop - first, first]
        keys = chain.from_iterable(_fetch(sql, [tenant, *self._values, *limits]) for tenant in self._totals)
        merged = sorted(keys, reverse=self._sort.startswith("-"))[part.start - first : part.stop - first]
        ids = [key[-1] for key in merged]
        if not ids:
            return []
        found = {row[0]: row for row in _fetch(_select_by_ids(len(self._totals), len(ids)), [*self._totals, *ids])}
        return [_convert(found[agent_id]) for agent_id in ids if agent_id in found]


def get_listed_agent(actor: Actor, agent_id: str) -> ListedAgent:
    """Return one of a person's agents, without warnings, in one query. Raise as `agents.access.get_agent`."""
    found = _fetch(_select_rows(("id",), "id", in_one=False), [actor.id, agent_id])
    # MariaDB ignores blanks at the end, and the prepared SQL does not pass through `ExactCharField`.
    if actor.kind != ActorKind.USER or not found or found[0][0] != agent_id:
        get_agent(actor, agent_id, Access.READ)  # which may say why the agent is not listed
        raise AgentNotFound
    agent = _convert(found[0])
    if not actor.may_enter(agent.tenant_id):
        raise AgentNotFound
    return agent


def _fetch(sql: str, values: Sequence[Any]) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows: Sequence[Any] = cursor.fetchall()
        return rows


@prepared_sql
def _select_rows(names: tuple[str, ...], sort: str, *, in_one: bool) -> QuerySet[Agent, Any]:
    return _matching(names, in_one).order_by(*_order(sort, in_one)).values_list(*_COLUMNS, *STATE_FIELDS)


@prepared_sql
def _select_keys(names: tuple[str, ...], sort: str, *, in_one: bool) -> QuerySet[Agent, Any]:
    """Select the columns that the list is sorted by, of which the last is the id."""
    columns = SORT_COLUMNS[sort.removeprefix("-")]
    return _matching(names, in_one).order_by(*_order(sort, in_one)).values_list(*columns)


@prepared_sql
def _select_by_ids(tenants: int, number: int) -> QuerySet[Agent, Any]:
    rows = Agent.objects.in_tenants([str(each) for each in range(tenants)])
    return rows.filter(pk__in=[str(each) for each in range(number)]).order_by().values_list(*_COLUMNS, *STATE_FIELDS)


@prepared_sql
def _select_totals(*, has_status: bool, has_tenant: bool) -> QuerySet[Membership, Any]:
    """Select the tenants of a person, each with the number of its agents."""
    counted = RowCount.objects.filter(tenant_id=OuterRef("tenant_id")).filter(kind="").filter(agent_id="")
    counted = counted.filter(status="") if has_status else counted
    number = counted.order_by().values("kind").annotate(total=Sum("number")).values("total")
    rows = open_memberships("")
    rows = rows.filter(tenant_id="") if has_tenant else rows
    return rows.order_by().annotate(agents=Subquery(number)).values_list("tenant_id", "agents")


def _matching(names: tuple[str, ...], in_one: bool) -> QuerySet[Agent]:
    """Return the agents in one tenant, or in all of a person's, that match the filters."""
    rows = Agent.objects.in_tenants([""]) if in_one else agents_for(_PERSON)
    for name in names:
        rows = rows.filter(**{_FILTERS[name]: ""})
    return rows


def _order(sort: str, in_one: bool) -> Sequence[str]:
    """Return the columns to sort by. In one tenant the name is unique, and MariaDB sees no order by id behind it."""
    if in_one and sort.removeprefix("-") == "name":
        return [sort.replace("name", "name_folded")]
    sign = "-" if sort.startswith("-") else ""
    return [f"{sign}{column}" for column in SORT_COLUMNS[sort.removeprefix("-")]]


def _value(name: str, sent: str) -> str:
    """Return a filter's value as a parameter of the SQL. A text without a visible character is part of no name."""
    if name != "q":
        return sent
    part = fold_name(sent)
    return f"%{connection.ops.prep_for_like_query(part)}%" if part else ""


def _convert(row: Sequence[Any]) -> ListedAgent:
    """Parse the JSON columns but the config, and add the time zone that the database does not store."""
    columns = [*row[: len(_COLUMNS)], ConfigState(*row[len(_COLUMNS) :])]
    agent = ListedAgent(*columns)
    agent.tags = orjson.loads(agent.tags)
    agent.created_at = agent.created_at.replace(tzinfo=UTC)
    agent.updated_at = agent.updated_at.replace(tzinfo=UTC)
    agent.rate_limit = _limit(agent.rate_limit)
    agent.quota = _limit(agent.quota)
    return agent


def _limit(stored: str | None) -> Any:
    return None if stored is None else orjson.loads(stored)

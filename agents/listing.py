"""The list of a person's agents, which consoles read very often.

The ORM compiles the query once for each set of filters, and no model instances are made of the rows, because either
takes several times as long as the database does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import orjson
from django.db import connection
from django.db.models import QuerySet

from agent_config.schema import ConfigWarning
from agents.access import agents_for
from agents.config_warnings import StoredConfig, get_listed_warnings
from agents.effective_config import STATE_FIELDS, ConfigState
from agents.models import Agent
from core.actor import Actor, ActorKind
from core.text import fold_name

NEWEST_FIRST = "-created_at"
SORT_COLUMNS = {"created_at": ("created_at", "id"), "name": ("name_folded", "id"), "id": ("id",)}
# Their values are the query's parameters after the person's id, in this order.
_FILTERS = {"q": "name_folded__contains", "status": "status", "tenant_id": "tenant_id", "after": "id__gt"}
_PERSON = Actor(kind=ActorKind.USER, id="")


class ListedAgent(NamedTuple):
    """The fields of an agent that a list shows, named as in the model."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    config: Any
    template_id: str | None
    status: str
    tags: Any
    created_at: datetime
    updated_at: datetime
    rate_limit: Any
    quota: Any
    revision: int
    config_warnings: Sequence[ConfigWarning] | None = None


_COLUMNS = ListedAgent._fields[:-1]


class AgentList:
    """The agents of all tenants of a person that match the filters.

    `filters` may have `q`, a part of the name, `status` and `tenant_id`, and `after`, an id that the agents' ids must
    be greater than. `sort` is a key of SORT_COLUMNS, with a leading `-` for descending order. Nothing is cached: each
    access is a query.
    """

    def __init__(self, actor: Actor, *, sort: str, filters: Mapping[str, str]) -> None:
        if actor.kind != ActorKind.USER:
            raise ValueError(f"only people have a list of agents, not {actor.kind}")
        self._actor, self._filters = actor, filters
        self._names = tuple(name for name in _FILTERS if name in filters)
        self._values = [actor.id, *(_value(name, filters[name]) for name in self._names)]
        self._sort = sort

    def __getitem__(self, part: slice) -> Sequence[ListedAgent]:
        """Return a slice of the agents, with the warnings about their configs."""
        values = [*self._values, part.stop - part.start, part.start]
        with connection.cursor() as cursor:
            cursor.execute(_slice_sql(self._names, self._sort), values)
            found = cursor.fetchall()
        agents = [_converted(ListedAgent(*row[: len(_COLUMNS)])) for row in found]
        states = [ConfigState(*row[len(_COLUMNS) :]) for row in found]
        warnings = get_listed_warnings(
            [StoredConfig(state, agent.revision, agent.config) for state, agent in zip(states, agents, strict=True)]
        )
        return [agent._replace(config_warnings=each) for agent, each in zip(agents, warnings, strict=True)]

    def after(self, cursor: str) -> AgentList:
        """Return the agents whose ids are greater than this one, ordered by id."""
        return AgentList(self._actor, sort="id", filters={**self._filters, "after": cursor})

    def count(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(_count_sql(self._names), self._values)
            number: int = cursor.fetchone()[0]
            return number


@cache
def _slice_sql(names: tuple[str, ...], sort: str) -> str:
    sign = "-" if sort.startswith("-") else ""
    order = (f"{sign}{column}" for column in SORT_COLUMNS[sort.removeprefix("-")])
    return f"{_sql(_matching(names).order_by(*order).values_list(*_COLUMNS, *STATE_FIELDS))} LIMIT %s OFFSET %s"


@cache
def _count_sql(names: tuple[str, ...]) -> str:
    return f"SELECT COUNT(*) FROM ({_sql(_matching(names).order_by().values_list('pk'))}) AS matching"  # noqa: S608  # of the ORM's own text


def _matching(names: tuple[str, ...]) -> QuerySet[Agent]:
    rows = agents_for(_PERSON)
    for name in names:
        rows = rows.filter(**{_FILTERS[name]: ""})
    return rows


def _sql(rows: QuerySet[Any, Any]) -> str:
    """Return the SQL of a query, to be executed with other parameters."""
    return rows.query.sql_with_params()[0]


def _value(name: str, sent: str) -> str:
    """Return a filter's value as a query parameter."""
    return f"%{connection.ops.prep_for_like_query(fold_name(sent))}%" if name == "q" else sent


def _converted(row: ListedAgent) -> ListedAgent:
    """Return a row with its JSON parsed and its times in UTC."""
    return row._replace(
        config=orjson.loads(row.config),
        tags=orjson.loads(row.tags),
        created_at=row.created_at.replace(tzinfo=UTC),
        updated_at=row.updated_at.replace(tzinfo=UTC),
        rate_limit=_limit(row.rate_limit),
        quota=_limit(row.quota),
    )


def _limit(stored: str | None) -> Any:
    return None if stored is None else orjson.loads(stored)

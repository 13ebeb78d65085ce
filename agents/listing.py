"""A person's agents, which consoles poll: the list, and one of them.

The SQL is compiled once for each set of filters, and the rows do not become models, because either would take several
times as long as the query itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import QuerySet

from agent_config.schema import ConfigWarning
from agents.access import agents_for
from agents.config_warnings import StoredConfig, get_listed_warnings, parsed_later
from agents.effective_config import STATE_FIELDS, ConfigState
from agents.errors import AgentNotFound
from agents.models import Agent
from core.actor import Actor, ActorKind
from core.prepared import prepared_sql
from core.text import fold_name

NEWEST_FIRST = "-created_at"
SORT_COLUMNS = {"created_at": ("created_at", "id"), "name": ("name_folded", "id"), "id": ("id",)}
# Their values come after the person's id in the parameters of the SQL, in this order.
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

    `filters` may have `q` (a part of the name), `status`, `tenant_id`, `after` (only agents with greater ids) and `id`.
    `sort` is a key of SORT_COLUMNS, with a `-` before it for descending. Each method costs one query.
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
        agents = self.read(part)
        for agent, warnings in zip(agents, get_listed_warnings([each.stored_config for each in agents]), strict=True):
            agent.config_warnings = warnings
        return agents

    def read(self, part: slice) -> Sequence[ListedAgent]:
        """Return a slice of the agents, without warnings."""
        values = [*self._values, part.stop - part.start, part.start]
        with connection.cursor() as cursor:
            cursor.execute(f"{_select_rows(self._names, self._sort)} LIMIT %s OFFSET %s", values)
            return [_convert(row) for row in cursor.fetchall()]

    def after(self, cursor: str) -> AgentList:
        """Return the agents whose ids are greater than this one, ordered by id."""
        return AgentList(self._actor, sort="id", filters={**self._filters, "after": cursor})

    def count(self) -> int:
        """Return the number of agents."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM ({_select_ids(self._names)}) AS matching", self._values)  # noqa: S608  # of the ORM's own text
            number: int = cursor.fetchone()[0]
            return number


def get_listed_agent(actor: Actor, agent_id: str) -> ListedAgent:
    """Return one of a person's agents, without warnings, in one query. Raise AgentNotFound."""
    agents = AgentList(actor, sort="id", filters={"id": agent_id}).read(slice(0, 1))
    # MariaDB ignores blanks at the end, and the prepared SQL does not pass through `ExactCharField`.
    if not agents or agents[0].id != agent_id:
        raise AgentNotFound
    return agents[0]


@prepared_sql
def _select_rows(names: tuple[str, ...], sort: str) -> QuerySet[Agent, Any]:
    sign = "-" if sort.startswith("-") else ""
    order = (f"{sign}{column}" for column in SORT_COLUMNS[sort.removeprefix("-")])
    return _matching(names).order_by(*order).values_list(*_COLUMNS, *STATE_FIELDS)


@prepared_sql
def _select_ids(names: tuple[str, ...]) -> QuerySet[Agent, Any]:
    return _matching(names).order_by().values_list("pk")


def _matching(names: tuple[str, ...]) -> QuerySet[Agent]:
    rows = agents_for(_PERSON)
    for name in names:
        rows = rows.filter(**{_FILTERS[name]: ""})
    return rows


def _value(name: str, sent: str) -> str:
    """Return a filter's value as a parameter of the SQL."""
    return f"%{connection.ops.prep_for_like_query(fold_name(sent))}%" if name == "q" else sent


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

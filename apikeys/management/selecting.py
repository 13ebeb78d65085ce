"""What an operator means: tenants, agents and keys, by their ids or by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db.models import Model, Q

from agents.access import agents_for
from agents.models import Agent
from apikeys.access import keys_for
from apikeys.management.exits import not_found
from apikeys.management.tables import table
from apikeys.models import ApiKey
from maim.common.actor import Actor
from maim.common.text import fold
from tenants.access import tenants_for
from tenants.models import Tenant

MAX_CANDIDATES = 20

M = TypeVar("M", bound=Model)


class Selection:
    """Finds what is meant. An id is never taken for a name, and an ambiguous name is never guessed at.

    What is not found, or found more than once, is a CommandError of its own exit status.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def tenant(self, text: str) -> Tenant:
        """A tenant, by its id or name."""
        rows = tenants_for(self._actor)
        found = rows.filter(pk=text) or rows.filter(name_folded=fold(text))
        return _only(found, "tenant", text, ["ID", "NAME", "STATUS"], lambda row: [row.id, row, row.status])

    def agent(self, text: str, tenant: Tenant | None = None) -> Agent:
        """An agent, by its id, its name, or TENANT/AGENT."""
        rows = agents_for(self._actor).select_related("tenant")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        found = rows.filter(pk=text) or rows.filter(_is_called(text))
        return _only(found, "agent", text, ["ID", "NAME", "TENANT"], lambda row: [row.id, row, _with_id(row.tenant)])

    def key(self, text: str, tenant: Tenant | None = None, agent: Agent | None = None) -> ApiKey:
        """A key, by its id or name."""
        rows = keys_for(self._actor).select_related("tenant", "agent")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        if agent is not None:
            rows = rows.filter(agent=agent)
        found = rows.filter(pk=text) or rows.filter(name_folded=fold(text))
        return _only(
            found,
            "key",
            text,
            ["ID", "NAME", "AGENT", "TENANT"],
            lambda row: [row.id, row, _with_id(row.agent), _with_id(row.tenant)],
        )


def _is_called(text: str) -> Q:
    """The agents that a text may name; either name may have a slash in it."""
    called = Q(name_folded=fold(text))
    for place, char in enumerate(text):
        if char == "/":
            tenant, name = text[:place], text[place + 1 :]
            named = Q(tenant_id=tenant) | Q(tenant__name_folded=fold(tenant))
            called |= named & Q(name_folded=fold(name))
    return called


def _with_id(row: Any) -> str:
    return f"{row} ({row.pk})"


def _only(found: Iterable[M], kind: str, text: str, header: list[str], shown: Callable[[Any], list[Any]]) -> M:
    candidates = list(found)
    if not candidates:
        raise not_found(f"There is no {kind} {text!r}")
    if len(candidates) > 1:
        rows = [shown(row) for row in candidates[:MAX_CANDIDATES]]
        more = f"\nand {len(candidates) - MAX_CANDIDATES} more" if len(candidates) > MAX_CANDIDATES else ""
        raise not_found(f"{text!r} names {len(candidates)} {kind}s; take the id:\n\n{table(header, rows)}{more}")
    return candidates[0]

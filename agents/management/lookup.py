"""Lookup of tenants and agents by id or name, for management commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.db.models import Model, Q

from agents.access import agents_for
from agents.models import Agent
from core.actor import Actor
from core.commands.exit_codes import ExitCode
from core.commands.formatting import format_table
from core.naming import is_called
from tenants.access import tenants_for
from tenants.models import Tenant

MAX_CANDIDATES = 20

M = TypeVar("M", bound=Model)


class Lookup:
    """Lookup of rows that an operator names. An id wins over a name, and an ambiguous name is an error.

    What is not found, or found more than once, raises CommandError with the exit status NOT_FOUND.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def tenant(self, text: str) -> Tenant:
        """Return the tenant with this id or name. Raise CommandError."""
        rows = tenants_for(self._actor)
        found = rows.filter(pk=text) or rows.filter(is_called(text))
        return self._get_only(found, "tenant", text, ["ID", "NAME", "STATUS"], lambda row: [row.id, row, row.status])

    def agent(self, text: str, tenant: Tenant | None = None) -> Agent:
        """Return the agent with this id or name, or named TENANT/AGENT. Raise CommandError."""
        rows = agents_for(self._actor).select_related("tenant")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        found = rows.filter(pk=text) or rows.filter(_is_called(text))
        header = ["ID", "NAME", "TENANT"]
        return self._get_only(found, "agent", text, header, lambda row: [row.id, row, name_and_id(row.tenant)])

    def _get_only(
        self, found: Iterable[M], kind: str, text: str, header: list[str], shown: Callable[[Any], list[Any]]
    ) -> M:
        candidates = list(found)
        if not candidates:
            raise self._not_found(f"There is no {kind} {text!r}")
        if len(candidates) > 1:
            rows = [shown(row) for row in candidates[:MAX_CANDIDATES]]
            more = f"\nand {len(candidates) - MAX_CANDIDATES} more" if len(candidates) > MAX_CANDIDATES else ""
            sentence = f"{text!r} names {len(candidates)} {kind}s; take the id:"
            raise self._not_found(f"{sentence}\n\n{format_table(header, rows)}{more}")
        return candidates[0]

    def _not_found(self, sentence: str) -> CommandError:
        """Return the error for a row that is not found, or ambiguous."""
        return CommandError(sentence, returncode=ExitCode.NOT_FOUND)


def name_and_id(row: Any) -> str:
    """Return a row's name with its id, which is never ambiguous."""
    return f"{row} ({row.pk})"


def _is_called(text: str) -> Q:
    """Return the condition for agents that a text may name; either name may contain a slash."""
    called = is_called(text)
    for place, char in enumerate(text):
        if char == "/":
            tenant, name = text[:place], text[place + 1 :]
            named = Q(tenant_id=tenant) | is_called(tenant, "tenant__")
            called |= named & is_called(name)
    return called

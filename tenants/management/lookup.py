"""Lookup of tenants and users by id, name or e-mail address, for management commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from accounts.models import User
from core.actor import Actor
from core.commands.exit_codes import ExitCode
from core.commands.formatting import format_table
from core.naming import is_called
from core.text import fold
from tenants.access import tenants_for
from tenants.models import Tenant

MAX_CANDIDATES = 20

M = TypeVar("M", bound=Model)


class TenantLookup:
    """Lookup of rows that an operator names. An id wins over a name, and an ambiguous name is an error.

    What is not found, or found more than once, raises CommandError with the exit status NOT_FOUND.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def tenant(self, text: str) -> Tenant:
        """Return the tenant with this id or name, or whose owner has this e-mail address. Raise CommandError."""
        found = self._tenants(text)
        return self._get_only(found, "tenant", text, ["ID", "NAME", "STATUS"], lambda row: [row.id, row, row.status])

    def user(self, text: str) -> User:
        """Return the user with this id, name or e-mail address. Raise CommandError."""
        found = self._users(text)
        return self._get_only(found, "user", text, ["ID", "NAME", "E-MAIL"], lambda row: [row.id, row, row.email])

    def tenant_id(self, text: str) -> str:
        """Return the id of a tenant, also of one that was deleted. Raise CommandError for an unknown name."""
        is_gone = text.startswith("tenant_") and not self._tenants(text)
        return text if is_gone else self.tenant(text).id

    def user_id(self, text: str) -> str:
        """Return the id of a user, also of one that was deleted. Raise CommandError for an unknown name."""
        is_gone = text.startswith("user_") and not self._users(text)
        return text if is_gone else self.user(text).id

    def _tenants(self, text: str) -> QuerySet[Tenant]:
        rows = tenants_for(self._actor)
        found = rows.filter(pk=text) or rows.filter(is_called(text))
        return rows.filter(owner__email_folded=fold(text)) if not found and "@" in text else found

    @staticmethod
    def _users(text: str) -> QuerySet[User]:
        rows = User.objects.order_by("pk")
        return rows.filter(pk=text) or rows.filter(username_folded=fold(text)) or rows.filter(email_folded=fold(text))

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

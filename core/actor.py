"""The actor of a change: an argument of every access check and service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext_lazy as _


class ActorKind(StrEnum):
    """The way a request came in, which decides what it may access."""

    ANONYMOUS = "anonymous"  # the public surface before sign-in: registration, login
    USER = "user"  # a signed-in person on the public surface
    INTERNAL = "internal"  # the private port, which is trusted (docs/contract.md section 1)
    OPERATOR = "operator"  # Django admin
    COMMAND = "command"  # manage.py


KIND_NAMES = {
    ActorKind.ANONYMOUS: _("anonymous"),
    ActorKind.USER: _("user"),
    ActorKind.INTERNAL: _("internal API"),
    ActorKind.OPERATOR: _("operator"),
    ActorKind.COMMAND: _("command"),
}


class TokenScope(StrEnum):
    """The scope of a personal access token. Writing includes reading."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """The rights of a personal access token: its scope, in one tenant or in all of its owner's."""

    id: str
    scope: TokenScope
    tenant_id: str | None = None

    def allows(self, scope: TokenScope) -> bool:
        """Return whether the token may be used for what needs this scope."""
        return scope == TokenScope.READ or self.scope == TokenScope.WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The actor of a change. `id` is set for people; `label` is the name of a person or a command.

    `session_id` is the session whose token a person sent; `token` is the personal access token that they sent instead.
    `signed_in_at` is when an operator began the admin's session. `language` is the one that a client asked for.
    """

    kind: ActorKind
    id: str | None = None
    label: str = ""
    request_id: str = ""
    address: str = ""
    session_id: str | None = None
    signed_in_at: datetime | None = None
    token: TokenGrant | None = None
    language: str = ""

    @property
    def is_trusted(self) -> bool:
        """True if the actor may access every tenant."""
        return self.kind in (ActorKind.INTERNAL, ActorKind.OPERATOR, ActorKind.COMMAND)

    @property
    def only_tenant_id(self) -> str | None:
        """The tenant to which the actor's token is restricted, if it is."""
        return None if self.token is None else self.token.tenant_id

    def may_enter(self, tenant_id: str) -> bool:
        """Return whether the actor's token, if there is one, is good for this tenant."""
        return self.only_tenant_id in (None, tenant_id)


def display_name(kind: str, label: str) -> str:
    """Return the name of a stored actor for its reader: the label, or the kind in the reader's language."""
    return label or str(KIND_NAMES[ActorKind(kind)])


def command_actor(name: str) -> Actor:
    """Return the actor of a management command."""
    return Actor(kind=ActorKind.COMMAND, label=f"manage.py {name}")

"""Who is doing something: the one argument that access gates and audit rows are about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """How a request came in, which decides what it may touch."""

    ANONYMOUS = "anonymous"  # the public surface before sign-in: registration, login
    USER = "user"  # a signed-in person on the public surface
    INTERNAL = "internal"  # the private port: trusted as a whole (docs/contract.md section 1)
    OPERATOR = "operator"  # Django admin
    COMMAND = "command"  # manage.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The cause of a change. `id` is set for people, `label` is what an operator reads in the audit log."""

    kind: ActorKind
    id: str | None = None
    label: str = ""
    request_id: str = ""
    address: str = ""

    @property
    def is_trusted(self) -> bool:
        """Whether every tenant is open to this actor."""
        return self.kind in (ActorKind.INTERNAL, ActorKind.OPERATOR, ActorKind.COMMAND)


def command_actor(name: str) -> Actor:
    """The actor of a management command."""
    return Actor(kind=ActorKind.COMMAND, label=f"manage.py {name}")

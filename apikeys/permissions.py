"""Permissions that a key has, and expressions of those that a caller requires.

A permission is a name such as `chat` or `config.read`. One of a key's may end in `.*`, which grants every name that
starts with the part before the `*`. A requirement is one name, or an expression of names, `and`, `or` and parentheses,
in which `and` binds tighter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from django.utils.translation import gettext_lazy as _

from core.errors import Invalid, Text

# Parentheses and the two operators belong to expressions.
NAME = re.compile(r"(?!(?:and|or)$)[^\s()\x00-\x1f\x7f]{1,64}")
MAX_EXPRESSION_LENGTH = 500
MAX_DEPTH = 8

_TOKENS = re.compile(r"[()]|[^\s()]+")


class BadExpression(Invalid):
    """The required permission is not a valid expression. This is an error of the caller, not a missing permission."""

    def __init__(self, sentence: Text) -> None:
        super().__init__({"required_permission": [sentence]})


def is_idle_wildcard(name: str) -> bool:
    """Return whether a permission has a `*` that stands for nothing, because only a `.*` at its end does."""
    stem = name.removesuffix(".*")
    return "*" in stem or not stem


class Grants:
    """The permissions of a key, prepared for quick lookup."""

    __slots__ = ("_names", "_prefixes")

    def __init__(self, permissions: Iterable[str]) -> None:
        self._names = frozenset(permissions)
        self._prefixes = tuple(name[:-1] for name in self._names if name.endswith(".*"))

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and name.startswith(self._prefixes))

    def satisfy(self, requirement: Requirement) -> bool:
        """Return whether these permissions satisfy a requirement."""
        if isinstance(requirement, str):
            return requirement in self
        combine = all if requirement.every else any
        return combine(self.satisfy(part) for part in requirement.parts)


@dataclass(frozen=True, slots=True)
class Combination:
    """Requirements of which all, or any one, must be satisfied."""

    every: bool
    parts: tuple[Requirement, ...]


Requirement = str | Combination


@lru_cache(maxsize=1024)
def parse(expression: str) -> Requirement:
    """Return the requirement that an expression states. Raise BadExpression if it is not valid."""
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise BadExpression(_("An expression may have at most 500 characters"))
    parser = _Parser(_TOKENS.findall(expression))
    requirement = parser.alternatives(0)
    parser.expect_end()
    return requirement


def parse_optional(expression: str | None) -> Requirement | None:
    """Return the requirement that an expression states, or None if it is blank. Raise BadExpression as `parse` does."""
    return None if expression is None or not expression.strip() else parse(expression)


class _Parser:
    """A recursive descent parser: alternatives of conjunctions of names or parentheses."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def alternatives(self, depth: int) -> Requirement:
        return self._joined("or", depth)

    def expect_end(self) -> None:
        if self._next is not None:
            raise self._unexpected()

    @property
    def _next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _joined(self, operator: str, depth: int) -> Requirement:
        parts = [self._operand(operator, depth)]
        while self._next == operator:
            self._position += 1
            parts.append(self._operand(operator, depth))
        return parts[0] if len(parts) == 1 else Combination(operator == "and", tuple(parts))

    def _operand(self, operator: str, depth: int) -> Requirement:
        return self._joined("and", depth) if operator == "or" else self._name_or_group(depth)

    def _name_or_group(self, depth: int) -> Requirement:
        token = self._next
        if token == "(":  # noqa: S105  # a parenthesis, no password
            if depth == MAX_DEPTH:
                raise BadExpression(_("Parentheses may be nested at most 8 deep"))
            self._position += 1
            inner = self.alternatives(depth + 1)
            if self._next != ")":
                raise BadExpression(_("A parenthesis is not closed"))
            self._position += 1
            return inner
        if token is None or not NAME.fullmatch(token):
            raise self._unexpected()
        self._position += 1
        return token

    def _unexpected(self) -> BadExpression:
        if self._next is None:
            return BadExpression(_("The expression ends where a permission should stand"))
        return BadExpression(
            _("Part %(number)d of the expression is not expected there: %(part)s")
            % {"number": self._position + 1, "part": self._next[:64]}
        )

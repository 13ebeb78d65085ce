"""The file as it was validated, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import ListSerializer

from core.text import fold, fold_name
from provisioning.serializers import FileDeclaration, child_of
from provisioning.variables import Substitution
from provisioning.yaml_file import Document, InvalidFile, Place, Problem, load

_LISTS = ("members", "agents", "keys")


@dataclass(frozen=True)
class DeclaredKey:
    """A key, and the fields that the file names."""

    place: Place
    name: str
    changes: dict[str, Any]


@dataclass(frozen=True)
class DeclaredAgent:
    """An agent, and the fields that the file names. `keys` is None if it says nothing about them."""

    place: Place
    name: str
    changes: dict[str, Any]
    keys: list[DeclaredKey] | None


@dataclass(frozen=True)
class DeclaredMember:
    """A person, by username or e-mail address, and their role."""

    place: Place
    user: str
    role: str


@dataclass(frozen=True)
class DeclaredTenant:
    """A tenant, and the fields that the file names. A list is None if it says nothing about it."""

    place: Place
    id: str | None
    name: str
    owner: str | None
    changes: dict[str, Any]
    members: list[DeclaredMember] | None
    agents: list[DeclaredAgent] | None


@dataclass(frozen=True)
class Declaration:
    """The tenants of a file."""

    tenants: list[DeclaredTenant]
    document: Document
    substitution: Substitution

    def problem(self, place: Place, sentence: object) -> Problem:
        """Return a problem at a place, which quotes no value of a variable."""
        return self.document.problem(place, self.substitution.without_values(str(sentence)))


def read(raw: bytes, environment: Mapping[str, str]) -> Declaration:
    """Read and validate a file, without the database. Raise InvalidFile with all problems."""
    document = load(raw)
    if not isinstance(document.value, dict):
        raise InvalidFile(document.problem((), _("must be a mapping with the list tenants")))
    substitution = Substitution(document, environment)
    request = FileDeclaration(data=substitution.value)
    problems: list[Problem] = []
    try:
        request.is_valid(raise_exception=True)
    except ValidationError as error:
        problems += [document.problem(place, sentence) for place, sentence in _flatten(error.detail, ())]
    problems += [
        document.problem(place, _unknown(str(place[-1]), known))
        for place, known in _unknown_fields(substitution.value, request, ())
    ]
    if problems:
        raise InvalidFile(*_in_order(problems))
    tenants = [_tenant(values, ("tenants", number)) for number, values in enumerate(request.validated_data["tenants"])]
    if duplicates := [document.problem(place, sentence) for place, sentence in _duplicates(tenants)]:
        raise InvalidFile(*_in_order(duplicates))
    return Declaration(tenants, document, substitution)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line or 0)


def _flatten(detail: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield DRF's nested errors by their places."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            is_own = key in ("non_field_errors", "body")
            yield from _flatten(value, place if is_own else (*place, key))
    elif isinstance(detail, list):
        for item in detail:
            yield from _flatten(item, place)
    else:
        yield place, str(detail)


def _unknown_fields(value: Any, serializer: Any, place: Place) -> Iterator[tuple[Place, list[str]]]:
    """Yield the places of fields that no serializer has, with those that it has."""
    if isinstance(serializer, ListSerializer) or not isinstance(value, dict):
        return
    for name, member in value.items():
        field = serializer.fields.get(name)
        if field is None:
            yield (*place, name), list(serializer.fields)
            continue
        child = child_of(field)
        if child is not None:
            items = enumerate(member) if isinstance(member, list) else [(None, member)]
            for number, item in items:
                here = (*place, name) if number is None else (*place, name, number)
                yield from _unknown_fields(item, child, here)


def _unknown(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return _("there is no such field; did you mean %(name)s?") % {"name": close[0]}
    return _("there is no such field; there are: %(names)s") % {"names": ", ".join(known)}


def _tenant(values: dict[str, Any], place: Place) -> DeclaredTenant:
    changes = {key: value for key, value in values.items() if key not in ("id", "name", "owner", *_LISTS)}
    return DeclaredTenant(
        place=place,
        id=values.get("id"),
        name=values["name"],
        owner=values.get("owner"),
        changes={"tenant_name": values["name"], **changes},
        members=_items(values, "members", place, lambda item, here: DeclaredMember(here, item["user"], item["role"])),
        agents=_items(values, "agents", place, _agent),
    )


def _agent(values: dict[str, Any], place: Place) -> DeclaredAgent:
    changes = {key: value for key, value in values.items() if key not in _LISTS}
    keys = _items(values, "keys", place, lambda item, here: DeclaredKey(here, item["name"], dict(item)))
    return DeclaredAgent(place, values["name"], changes, keys)


def _items(values: dict[str, Any], name: str, place: Place, make: Any) -> Any:
    if name not in values:
        return None
    return [make(item, (*place, name, number)) for number, item in enumerate(values[name])]


def _duplicates(tenants: list[DeclaredTenant]) -> Iterator[tuple[Place, str]]:
    """Yield what the file names twice."""
    yield from _twice([(tenant.place, ("id", tenant.id)) for tenant in tenants if tenant.id])
    named = [(each.place, (fold(each.owner or ""), fold_name(each.name))) for each in tenants if not each.id]
    yield from _twice(named)
    for tenant in tenants:
        agents = tenant.agents or []
        yield from _twice([(each.place, fold(each.user)) for each in tenant.members or []])
        yield from _twice([(each.place, fold_name(each.name)) for each in agents])
        # Of all agents together, because the names of keys are unique in a tenant.
        yield from _twice([(each.place, fold_name(each.name)) for agent in agents for each in agent.keys or []])


def _twice(items: list[tuple[Place, Any]]) -> Iterator[tuple[Place, str]]:
    seen: set[Any] = set()
    for place, identity in items:
        if identity in seen:
            yield place, _("the file has this twice")
        seen.add(identity)

"""The search over everything that a person may read, of all their tenants: agents, keys and members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, TypeVar

from django.db.models import Q, QuerySet

from agents.access import agents_for
from agents.models import Agent
from apikeys import keyformat
from apikeys.access import get_secret, keys_for
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey, KeySecret
from core.actor import Actor
from core.listing import ids_of, rows_in_order
from core.text import fold, fold_name
from tenants.access import get_tenant, tenant_ids_for
from tenants.errors import MissingSecondFactor
from tenants.models import Membership
from tenants.roles import Access

MAX_MATCHES = 20  # of a kind
T = TypeVar("T")


class Matches(NamedTuple, Generic[T]):
    """The first matches of a kind, and whether there are more."""

    items: Sequence[T]
    has_more: bool = False


class SearchResult(NamedTuple):
    """The matches of each kind."""

    agents: Matches[Agent]
    api_keys: Matches[ApiKey]
    members: Matches[Membership]


def search(actor: Actor, text: str, tenant_id: str | None = None) -> SearchResult:
    """Find agents, keys and members in all of a person's tenants, or in one of them.

    They match by a part of the name, the whole id, and keys by the masked secret, too. A whole secret finds its key and
    nothing else. Raise TenantNotFound.
    """
    scope: Any = [get_tenant(actor, tenant_id, Access.READ).id] if tenant_id else tenant_ids_for(actor)
    if keyformat.is_well_formed(text):
        return SearchResult(Matches([]), _key_of_secret(actor, text, tenant_id), Matches([]))
    agents = agents_for(actor).filter(tenant_id__in=scope)
    keys = keys_for(actor).filter(tenant_id__in=scope)
    key_ids = chain(_ids(keys, text), _ids_by_hint(scope, text))
    return SearchResult(
        _matches(agents.only("id", "tenant_id", "name", "status"), _ids(agents, text)),
        _matches(keys, key_ids),
        _members(scope, text),
    )


def _key_of_secret(actor: Actor, secret: str, tenant_id: str | None) -> Matches[ApiKey]:
    try:
        key = get_secret(actor, secret, Access.READ).key
    except (KeyNotFound, MissingSecondFactor):  # a tenant that requires a second factor is left out, as of names
        return Matches([])
    return Matches([key] if tenant_id in (None, key.tenant_id) else [])


def _ids(rows: QuerySet[Any], text: str) -> list[str]:
    """Return the ids of matching rows, that with this id first, and no more than needed.

    The ids of those with a part of the name are found in the index of names.
    """
    found = list(ids_of(rows.filter(pk=text)).order_by())
    if folded := fold_name(text):
        found += ids_of(rows.filter(name_folded__contains=folded)).order_by("name_folded", "pk")[: MAX_MATCHES + 1]
    return found


def _ids_by_hint(scope: Any, text: str) -> Sequence[str]:
    hint = keyformat.hint_in(text)
    if hint is None:
        return []
    secrets = KeySecret.objects.filter(hint=hint, key__tenant_id__in=scope).order_by("key_id")
    return list(secrets.values_list("key_id", flat=True)[: MAX_MATCHES + 1])


def _matches(rows: QuerySet[Any], ids: Iterable[str]) -> Matches[Any]:
    first = list(islice(dict.fromkeys(ids), MAX_MATCHES + 1))
    return Matches(rows_in_order(rows, first[:MAX_MATCHES]), len(first) > MAX_MATCHES)


def _members(scope: Any, text: str) -> Matches[Membership]:
    has_text = Q(user_id=text)
    if folded := fold(text):
        has_text |= Q(user__username_folded__contains=folded)
    rows = Membership.objects.filter(has_text, tenant_id__in=scope).select_related("user")
    found = list(rows.order_by("user__username_folded", "tenant_id")[: MAX_MATCHES + 1])
    return Matches(found[:MAX_MATCHES], len(found) > MAX_MATCHES)

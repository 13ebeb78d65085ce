"""Access to API keys. A key in another person's tenant and a missing one both raise KeyNotFound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from django.db.models import FilteredRelation, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils import timezone

from apikeys import digests, keyformat
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey, KeySecret
from core.actor import Actor, ActorKind
from core.db import from_primary
from core.errors import DomainError
from core.prepared import prepared_page, prepared_query
from tenants.access import get_tenant, tenant_errors, tenants_for
from tenants.errors import TenantNotFound
from tenants.roles import Access


def keys_for(actor: Actor) -> QuerySet[ApiKey]:
    """Return the keys that the actor may read, newest first, with their secrets loaded."""
    rows = ApiKey.unscoped.all() if actor.is_trusted else ApiKey.objects.in_tenants(tenants_for(actor))
    return _with_secrets(rows).order_by("-created_at", "-id")


def read_newest_keys(actor: Actor, part: slice, *, tenant_id: str, agent_id: str | None = None) -> list[ApiKey]:
    """Return a slice of a tenant's or an agent's keys that `keys_for` would, by SQL that is written once.

    Only people and trusted actors list keys. Raise ValueError for others.
    """
    if not actor.may_enter(tenant_id):
        return []
    if not actor.is_trusted and actor.kind != ActorKind.USER:
        raise ValueError(f"only people and trusted actors have a list of keys, not {actor.kind}")
    keys = _select_newest(part, None if actor.is_trusted else actor.id, tenant_id, agent_id)
    previous = defaultdict[str, list[KeySecret]](list)
    for secret in _select_previous(tuple(key.pk for key in keys), timezone.now()):
        previous[secret.key_id].append(secret)
    for key in keys:
        key.previous_secrets = previous[key.pk]
    return keys


@prepared_page
def _select_newest(user_id: str | None, tenant_id: str, agent_id: str | None) -> QuerySet[ApiKey]:
    kind = ActorKind.INTERNAL if user_id is None else ActorKind.USER
    rows = keys_for(Actor(kind=kind, id=user_id)).filter(tenant_id=tenant_id)
    return rows if agent_id is None else rows.filter(agent_id=agent_id)


@prepared_query
def _select_previous(key_ids: tuple[str, ...], moment: datetime) -> QuerySet[KeySecret]:
    return KeySecret.objects.filter(key__in=key_ids).previous(moment)


def get_key(actor: Actor, key_id: str, access: Access, *, agent_id: str | None = None) -> ApiKey:
    """Return the key with its secrets. If `agent_id` is given, the key must be this agent's.

    Raise KeyNotFound, and as `get_tenant` Forbidden and TenantReadOnly.
    """
    secrets = _select_secrets(key_id, timezone.now())
    if not secrets or (agent_id is not None and secrets[0].key.agent_id != agent_id):
        raise KeyNotFound
    key = secrets[0].key
    key.current_secret, *key.previous_secrets = secrets
    if not actor.is_trusted:
        try:
            key.tenant = get_tenant(actor, key.tenant_id, access)
        except TenantNotFound as error:
            raise KeyNotFound from error
    return key


@from_primary
@prepared_query
def _select_secrets(key_id: str, moment: datetime) -> QuerySet[KeySecret]:
    return KeySecret.objects.filter(key=key_id).current_and_previous(moment).select_related("key")


def find_keys(actor: Actor, key_ids: Collection[str], access: Access) -> dict[str, ApiKey | DomainError]:
    """Return for each id the key, or the error that `get_key` would raise, with two queries for all.

    The secrets are not loaded.
    """
    keys = {key.pk: key for key in ApiKey.unscoped.filter(pk__in=set(key_ids))}
    errors = tenant_errors(actor, {key.tenant_id for key in keys.values()}, access)
    found: dict[str, ApiKey | DomainError] = {}
    for key_id in key_ids:
        key = keys.get(key_id)
        error = None if key is None else errors.get(key.tenant_id)
        found[key_id] = KeyNotFound() if key is None or isinstance(error, TenantNotFound) else error or key
    return found


def find_secret(secret: str) -> KeySecret:
    """Return the stored row of a secret in clear, whosever it is; it may have leaked, or been rotated out.

    Raise MalformedKey and KeyNotFound.
    """
    keyformat.parse(secret)
    row = KeySecret.objects.select_related("key").filter(digest__in=digests.all_digests(secret)).first()
    if row is None:
        raise KeyNotFound
    return row


def get_secret(actor: Actor, secret: str, access: Access) -> KeySecret:
    """Return the stored row of a secret in clear, with its key, like `find_secret`. Raise as that and `get_key` do."""
    row = find_secret(secret)
    row.key = get_key(actor, row.key_id, access)
    return row


def _with_secrets(rows: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Load `current_secret` and `previous_secrets` with the keys.

    The current secret comes in the same query as the key, so that it is there even if the key is deleted before the
    second query, which loads the previous ones.
    """
    newest = KeySecret.objects.filter(key=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    current = FilteredRelation("secrets", condition=Q(secrets__pk=Subquery(newest)))
    previous = Prefetch("secrets", queryset=KeySecret.objects.previous(timezone.now()), to_attr="previous_secrets")
    with_current = rows.annotate(current_secret=current).select_related("current_secret")  # type: ignore[no-redef,misc]  # the model has both attributes
    return with_current.prefetch_related(previous)  # type: ignore[no-redef]  # as above

"""The one gate to API keys. A stranger's key and a missing one are the same KeyNotFound."""

from __future__ import annotations

from django.db.models import FilteredRelation, OuterRef, Prefetch, Q, QuerySet, Subquery

from apikeys import digests, keyformat
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey, KeySecret
from core.actor import Actor
from tenants.access import Access, get_tenant, tenants_for
from tenants.errors import TenantNotFound


def keys_for(actor: Actor) -> QuerySet[ApiKey]:
    """The keys the actor may see, newest first, with what showing them needs."""
    rows = ApiKey.unscoped.all() if actor.is_trusted else ApiKey.objects.in_tenants(tenants_for(actor))
    return _with_secrets(rows).order_by("-created_at", "-id")


def get_key(actor: Actor, key_id: str, access: Access, *, agent_id: str | None = None) -> ApiKey:
    """The key, if the actor has `access` in its tenant and, where given, it is this agent's.

    Raises KeyNotFound, Forbidden, TenantReadOnly.
    """
    key = _with_secrets(ApiKey.unscoped.all()).filter(pk=key_id).first()
    if key is None or (agent_id is not None and key.agent_id != agent_id):
        raise KeyNotFound
    try:
        key.tenant = get_tenant(actor, key.tenant_id, access)
    except TenantNotFound as error:
        raise KeyNotFound from error
    return key


def get_secret(actor: Actor, text: str, access: Access) -> KeySecret:
    """The secret that an API key in clear is, with its key; also a leaked one, and one that was rotated out.

    Raises MalformedKey, and as `get_key`.
    """
    keyformat.parse(text)
    secret = KeySecret.objects.filter(digest__in=digests.all_digests(text)).first()
    if secret is None:
        raise KeyNotFound
    secret.key = get_key(actor, secret.key_id, access)
    return secret


def _with_secrets(rows: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Load the keys with their secrets.

    The current one comes in the key's own query, so that a key that is deleted meanwhile is never without it; of the
    previous ones, in a second query, there may be none.
    """
    newest = KeySecret.objects.filter(key=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    current = FilteredRelation("secrets", condition=Q(secrets__pk=Subquery(newest)))
    previous = Prefetch("secrets", queryset=KeySecret.objects.previous(), to_attr="previous_secrets")
    with_current = rows.annotate(current_secret=current).select_related("current_secret")  # type: ignore[no-redef,misc]  # the model has both attributes
    return with_current.prefetch_related(previous)  # type: ignore[no-redef]

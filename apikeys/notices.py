"""Notices that a tenant gets once about its keys and quotas: in a list, and by mail to its owner and admins.

A notice is a row with a unique constraint, so that of several workers and machines one tells it. Its mails are queued
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone, translation

from accounts.models import QueuedMail
from accounts.services.notices import notify
from agents.models import Agent
from apikeys import keyformat
from apikeys.models import ApiKey, KeySecret, KeyStatus, Notice
from core.actor import command_actor
from core.db import transactional
from core.listing import in_period
from tenants import members
from tenants.models import Tenant

KEPT_FOR = timedelta(days=90)
# The days before its end at which a key's expiry is told, the most urgent first.
EXPIRY_DAYS = (1, 7)
SLICE = 500
# Quotas that never refill, whose notices are kept so that they are not told again.
ENDLESS = "all"
_TELLER = command_actor("serve")
_MAILS = {
    Notice.Kind.KEY_LEAKED: QueuedMail.Kind.KEY_LEAKED,
    Notice.Kind.KEY_EXPIRES: QueuedMail.Kind.KEY_EXPIRES,
    Notice.Kind.QUOTA_REACHED: QueuedMail.Kind.QUOTA_REACHED,
}


class Event(NamedTuple):
    """A notice that may exist already: its kind, its subject (a key, an agent or a tenant) and occasion name it."""

    tenant_id: str
    kind: Notice.Kind
    subject: str
    occasion: str
    details: dict[str, Any]


class QuotaLevel(NamedTuple):
    """A quota of which so many percent are used. `period` names the period around now."""

    tenant_id: str
    subject: str
    period: str
    limit: int
    percent: int


def notify_leak(key: ApiKey, secret: KeySecret) -> None:
    """Tell that a secret of a key was reported as leaked. Call it in the transaction of the report."""
    _tell(leak_event(key, secret))


def leak_event(key: ApiKey, secret: KeySecret) -> Event:
    """Return the event of a secret of a key that has leaked."""
    details = {"key_name": key.name, "api_key": keyformat.masked(secret.hint)}
    return Event(key.tenant_id, Notice.Kind.KEY_LEAKED, key.id, str(secret.pk), details)


@transactional
def notify_quotas(levels: Iterable[QuotaLevel]) -> None:
    """Tell how much of quotas is used. A quota that is changed is told anew."""
    for tenant_id, subject, period, limit, percent in levels:
        details = {"name": _name_of(tenant_id, subject), "limit": limit, "percent": percent}
        occasion = f"{period} {limit} {percent}"
        _tell(Event(tenant_id, Notice.Kind.QUOTA_REACHED, subject, occasion, details))


def notify_expiries() -> int:
    """Tell which active keys expire within EXPIRY_DAYS, and return how many there were to tell."""
    now = timezone.now()
    last = now + timedelta(days=max(EXPIRY_DAYS))
    keys = ApiKey.unscoped.filter(status=KeyStatus.ACTIVE, expires_at__gt=now, expires_at__lte=last)
    ids = list(keys.order_by("expires_at", "pk").values_list("pk", flat=True))
    return sum(
        _notify_expiries(keys.filter(pk__in=ids[start : start + SLICE]), now) for start in range(0, len(ids), SLICE)
    )


def notices_of(
    tenant: Tenant,
    *,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
) -> QuerySet[Notice]:
    """Return the notices of a tenant, newest first."""
    rows = Notice.objects.newest_in(tenant.id, kind=kind)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return in_period(rows, Notice.objects.in_tenants([tenant.id]), "created_at", since, until)


def sweep() -> int:
    """Delete old notices, except of quotas that never refill, and return their number."""
    old = Notice.unscoped.filter(created_at__lt=timezone.now() - KEPT_FOR)
    return old.exclude(kind=Notice.Kind.QUOTA_REACHED, occasion__startswith=f"{ENDLESS} ").delete()[0]


@transactional
def _notify_expiries(keys: QuerySet[ApiKey], now: datetime) -> int:
    events = [expiry_event(key, now) for key in keys]
    told = Notice.unscoped.filter(kind=Notice.Kind.KEY_EXPIRES, subject__in=[event.subject for event in events])
    known = set(told.values_list("subject", "occasion"))
    new = [event for event in events if (event.subject, event.occasion) not in known]
    for event in new:
        _tell(event)
    return len(new)


def expiry_event(key: ApiKey, now: datetime) -> Event:
    """Return the event of a key that expires, once for each of EXPIRY_DAYS. Another date makes another event."""
    assert key.expires_at is not None
    days = next(days for days in EXPIRY_DAYS if key.expires_at <= now + timedelta(days=days))
    details = {"key_name": key.name, "expires_at": f"{key.expires_at:%Y-%m-%dT%H:%M:%SZ}"}
    occasion = f"{key.expires_at:%Y%m%dT%H%M%S.%f} {days}"
    return Event(key.tenant_id, Notice.Kind.KEY_EXPIRES, key.id, occasion, details)


def _tell(event: Event) -> None:
    """Store a notice and queue its mails, unless it was told before."""
    named = {"kind": event.kind, "subject": event.subject, "occasion": event.occasion}
    if Notice.unscoped.filter(**named).exists():
        return
    try:
        with transaction.atomic():
            Notice.unscoped.create(tenant_id=event.tenant_id, details=event.details, **named)
    except IntegrityError:  # another worker tells it
        return
    if settings.MAIL_IS_SET_UP:
        _queue_mails(event)


def _queue_mails(event: Event) -> None:
    tenant = Tenant.objects.filter(pk=event.tenant_id).first()
    if tenant is None:
        return
    details = {name: str(value) for name, value in event.details.items()}
    content = {"tenant": tenant.tenant_name, "tenant_id": tenant.id, "subject": event.subject, **details}
    is_security = event.kind == Notice.Kind.KEY_LEAKED
    # Not in the language of whoever reported a leak or used a key.
    with translation.override(settings.LANGUAGE_CODE):
        for user in members.managers_of(tenant):
            if is_security or user.key_notices:
                notify(_MAILS[event.kind], actor=_TELLER, user=user, to=user.email, details=content)


def _name_of(tenant_id: str, subject: str) -> str:
    """Return the name of a key, an agent or a tenant, or its id if it is gone."""
    if subject == tenant_id:
        found = list(Tenant.objects.filter(pk=subject).values_list("tenant_name", flat=True))
    else:
        found = [
            *ApiKey.objects.in_tenants([tenant_id]).filter(pk=subject).values_list("name", flat=True),
            *Agent.objects.in_tenants([tenant_id]).filter(pk=subject).values_list("name", flat=True),
        ]
    return next(iter(found), subject)

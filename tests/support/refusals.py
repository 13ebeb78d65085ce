"""Refused verifications, as workers write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from apikeys import refusals
from apikeys.refusals import Refused
from apikeys.verification import EXPIRED
from tenants.models import Tenant


def refuse(tenant: Tenant, request_id: str, at: datetime | None = None, **fields: Any) -> None:
    """Write a refusal of a key of the tenant."""
    refused = Refused(tenant.pk, "agent_x", "key_x", EXPIRED, None, at or timezone.now(), request_id, None)
    refusals.add([refused._replace(**fields)])

"""The shapes of limits, in bodies and in answers alike (maim.common.limits)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_serializer

from maim.common.limits import MAX_QUOTA, MAX_RATE, MAX_WINDOW_SECONDS, Period
from maim.http.fields import (
    Body,
    ChoiceField,
    StrictIntegerField,
)


@extend_schema_serializer(component_name="RateLimit")
class RateLimitField(Body):
    """At most `limit` uses in any window of `window_seconds`."""

    limit = StrictIntegerField(min_value=1, max_value=MAX_RATE)
    window_seconds = StrictIntegerField(min_value=1, max_value=MAX_WINDOW_SECONDS)


@extend_schema_serializer(component_name="Quota")
class QuotaField(Body):
    """At most `limit` uses in a UTC day, in a UTC month, or in all."""

    limit = StrictIntegerField(min_value=1, max_value=MAX_QUOTA)
    period = ChoiceField(Period.choices)

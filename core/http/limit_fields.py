"""Serializer fields of limits, in requests and responses (core.limits)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework.fields import empty

from core.http.fields import (
    ChoiceField,
    RequestSerializer,
    StrictIntegerField,
)
from core.limits import MAX_QUOTA, MAX_RATE, MAX_WINDOW_SECONDS, Period


class LimitField(RequestSerializer):
    """A limit. With `empties`, `{}` removes it, for changes in which null leaves a field as it is."""

    def __init__(self, *args: Any, empties: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.empties = empties

    def run_validation(self, data: Any = empty) -> Any:
        return None if self.empties and data == {} else super().run_validation(data)


@extend_schema_serializer(component_name="RateLimit")
class RateLimitField(LimitField):
    """At most `limit` uses in any window of `window_seconds`."""

    limit = StrictIntegerField(min_value=1, max_value=MAX_RATE)
    window_seconds = StrictIntegerField(min_value=1, max_value=MAX_WINDOW_SECONDS)


@extend_schema_serializer(component_name="Quota")
class QuotaField(LimitField):
    """At most `limit` uses in a UTC day, in a UTC month, or in all."""

    limit = StrictIntegerField(min_value=1, max_value=MAX_QUOTA)
    period = ChoiceField(Period.choices)

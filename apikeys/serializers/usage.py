from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.http.fields import FIRST_YEAR, QuerySerializer

FIRST_DAY = date(FIRST_YEAR, 1, 1)
DEFAULT_DAYS = 30
MAX_DAYS = 366

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@extend_schema_field({"type": "string", "format": "date", "maxLength": 10})
class DayField(serializers.Field):  # type: ignore[type-arg]  # generic in the stubs only
    """A day in UTC, from 1970 on, in the format 2026-01-31."""

    default_error_messages = {
        "invalid": _("Write a day as 2026-01-31."),
        "range": _("The day must lie between 1970 and 9999."),
    }

    def to_internal_value(self, data: Any) -> date:
        if not _DAY.fullmatch(data):
            self.fail("invalid")
        try:
            day = date.fromisoformat(data)
        except ValueError:
            self.fail("invalid")
        if day < FIRST_DAY:
            self.fail("range")
        return day

    def to_representation(self, value: date) -> str:
        return value.isoformat()


class UsageQuerySerializer(QuerySerializer):
    """`from` and `to`. Both are present after validation."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # Not as attributes of the class, because `from` is a word of Python's own.
        return {
            "from": DayField(required=False, help_text="The first day, in UTC; by default 29 days before the last."),
            "to": DayField(required=False, help_text="The last day, in UTC, at most the 366th; by default today."),
        }

    def validate(self, attrs: dict[str, date]) -> dict[str, date]:
        last = attrs.get("to", timezone.now().date())
        first = attrs.get("from", max(FIRST_DAY, last - timedelta(days=DEFAULT_DAYS - 1)))
        if first > last:
            raise serializers.ValidationError({"from": [_("The first day may not be after the last.")]})
        if (last - first).days >= MAX_DAYS:
            raise serializers.ValidationError({"from": [_("At most 366 days can be asked for at once.")]})
        return {"from": first, "to": last}


class DayResponse(serializers.Serializer[Any]):
    date = DayField()
    uses = serializers.IntegerField()


class DailyUsageResponse(serializers.Serializer[Any]):
    """Every day from `from` to `to`, oldest first."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": DayField(),
            "to": DayField(),
            "total": serializers.IntegerField(),
            "days": DayResponse(many=True),
        }

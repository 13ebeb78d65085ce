from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.http.fields import FIRST_YEAR, ChoiceField, QuerySerializer, UTCDateTimeField

FIRST_DAY = date(FIRST_YEAR, 1, 1)
DEFAULT_DAYS = 30
MAX_DAYS = 366
# How many days there may be by the length of the periods. Minutes are kept for two days, which lie in three.
_MAX_DAYS_BY = {"hour": 31, "minute": 3}

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


class TenantUsageQuerySerializer(UsageQuerySerializer):
    """With `by` also the outcomes of verifications in each hour or minute, and the busiest keys."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        by = ChoiceField(
            list(_MAX_DAYS_BY),
            required=False,
            help_text="Adds `periods` and `busiest_keys`, for up to 31 days by hour and 3 by minute.",
        )
        return {**super().get_fields(), "by": by}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        by = attrs.pop("by", None)
        if by is not None and "from" not in attrs:
            attrs["from"] = max(FIRST_DAY, attrs.get("to", timezone.now().date()) - timedelta(days=1))
        days = super().validate(attrs)
        if by is None:
            return days
        if (days["to"] - days["from"]).days >= _MAX_DAYS_BY[by]:
            too_many = format_lazy(_("At most {days} days can be asked for in this way."), days=_MAX_DAYS_BY[by])
            raise serializers.ValidationError({"from": [too_many]})
        return {**days, "by": by}


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


class PeriodResponse(serializers.Serializer[Any]):
    """The verifications of an hour or a minute."""

    start = UTCDateTimeField()
    outcomes = serializers.DictField(
        source="numbers",
        child=serializers.IntegerField(),
        help_text="The numbers by outcome: `VALID`, or the code of a refusal. Each has those that occur in the range.",
    )


class BusyKeyResponse(serializers.Serializer[Any]):
    api_key_id = serializers.CharField(source="key.id")
    name = serializers.CharField(source="key.name")
    uses = serializers.IntegerField()


class TenantUsageResponse(DailyUsageResponse):
    """With `by` also `periods`, as far as they are kept, oldest first, and `busiest_keys`, the busiest first."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        added = {
            "periods": PeriodResponse(many=True, required=False),
            "busiest_keys": BusyKeyResponse(many=True, required=False),
        }
        return {**super().get_fields(), **added}

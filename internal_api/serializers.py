"""Serializers of the internal surface alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from agents.models import AgentStatus
from agents.serializers.activity import ActivityResponse
from apikeys.permissions import MAX_EXPRESSION_LENGTH
from apikeys.verification import SecretReason
from core.addresses import parse_address
from core.http.fields import (
    FIRST_YEAR,
    AnyJSONField,
    BoundedListField,
    ChoiceField,
    OptionalCursorQuerySerializer,
    PageQuerySerializer,
    RequestSerializer,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
    id_field,
)

ONE_YEAR = 366 * 24 * 3600
MAX_DETAILS_BYTES = 8 * 1024


class AgentPageQuerySerializer(PageQuerySerializer):
    tenant_id = serializers.CharField(max_length=50)
    status = ChoiceField(AgentStatus.choices, required=False)


@extend_schema_field({"type": "string", "format": "ip", "example": "2001:db8::7"})
class AddressField(StrictCharField):
    """An IPv4 or IPv6 address. A blank text means none."""

    default_error_messages = {"address": _("Write an address as 203.0.113.7 or 2001:db8::7.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_blank=True, **options)

    def run_validation(self, data: Any = empty) -> Any:
        return super().run_validation(data) or None

    def to_internal_value(self, data: Any) -> Any:
        try:
            return parse_address(super().to_internal_value(data))
        except ValueError:
            self.fail("address")


class ParseKeyRequest(RequestSerializer):
    # A malformed key of any length is no invalid input, because there is a verdict for it (AUTH_001).
    api_key = StrictCharField(trim_whitespace=False, allow_blank=True)


class ValidateKeyRequest(ParseKeyRequest):
    required_permission = StrictCharField(
        max_length=MAX_EXPRESSION_LENGTH,
        required=False,
        allow_blank=True,
        help_text="One name, or an expression: `chat and (config_read or admin)`; blank for none.",
    )
    check_rate_limit = StrictBooleanField(required=False, help_text="false counts no use and consumes no limit.")
    client_ip = AddressField(help_text="Who uses the key, where it may be used from some networks only.")


class ValidateKeysRequest(RequestSerializer):
    items = BoundedListField(child=ValidateKeyRequest(), min_length=1, max_length=100)


class CheckPermissionRequest(ParseKeyRequest):
    permission = StrictCharField(max_length=500)
    client_ip = AddressField()


class RefusalResponse(serializers.Serializer[Any]):
    """A key that is not good has `valid` and `code`; over a limit also `retry_after`; and no more, but for `reason`."""

    valid = serializers.BooleanField(required=False)
    code = serializers.CharField(required=False)
    reason = serializers.ChoiceField(
        [reason.value for reason in SecretReason],
        required=False,
        help_text="Why this secret is refused, where the key itself is not: it was rotated out, or reported as leaked.",
    )
    retry_after = serializers.IntegerField(required=False, allow_null=True, help_text="Seconds; null for never.")
    stale = serializers.BooleanField(required=False, help_text="From memory, while the database is away.")


class LeakResponse(RefusalResponse):
    """The key, and whether it has no valid secret left except those in their grace."""

    api_key_id = serializers.CharField(required=False)
    tenant_id = serializers.CharField(required=False)
    agent_id = serializers.CharField(required=False)
    was_current = serializers.BooleanField(required=False, help_text="false: it had been rotated out.")


class RemainingResponse(serializers.Serializer[Any]):
    """The uses that the strictest limit has left."""

    limit = serializers.IntegerField()
    remaining = serializers.IntegerField()
    reset = UTCDateTimeField(allow_null=True, help_text="When there will be more; null for never.")


class ParsedKeyResponse(RefusalResponse):
    tenant_id = serializers.CharField(required=False)
    agent_id = serializers.CharField(required=False)
    random_hash = serializers.CharField(required=False)
    version = serializers.CharField(required=False)
    format_valid = serializers.BooleanField(required=False)


class VerdictResponse(RefusalResponse):
    valid = serializers.BooleanField()
    tenant_id = serializers.CharField(required=False)
    agent_id = serializers.CharField(required=False)
    api_key_id = serializers.CharField(required=False)
    permissions = serializers.ListField(child=serializers.CharField(), required=False)
    has_permission = serializers.BooleanField(required=False)
    status = serializers.CharField(required=False)
    key_name = serializers.CharField(required=False)
    expires_at = UTCDateTimeField(required=False, allow_null=True)
    agent_name = serializers.CharField(required=False)
    config_version = serializers.IntegerField(required=False, allow_null=True)
    rate_limit = RemainingResponse(required=False, allow_null=True)
    quota = RemainingResponse(required=False, allow_null=True)


class VerdictItem(serializers.Serializer[Any]):
    """The response that validate-api-key would have given."""

    success = serializers.BooleanField()
    error = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    data = VerdictResponse()  # type: ignore[assignment]  # the metaclass takes fields out of the class


class VerdictsResponse(serializers.Serializer[Any]):
    items = VerdictItem(many=True)


class PermissionResponse(RefusalResponse):
    has_permission = serializers.BooleanField(required=False)
    permission = serializers.CharField(required=False)
    all_permissions = serializers.ListField(child=serializers.CharField(), required=False)
    tenant_id = serializers.CharField(required=False)
    agent_id = serializers.CharField(required=False)
    api_key_status = serializers.CharField(required=False)


class ActivityRequest(RequestSerializer):
    tenant_id = id_field()
    agent_id = id_field()
    ttl_seconds = StrictIntegerField(min_value=1, max_value=ONE_YEAR)


class ActivityQuerySerializer(OptionalCursorQuerySerializer):
    tenant_id = serializers.CharField(required=False, max_length=50)


class ActivityList(serializers.Serializer[Any]):
    items = ActivityResponse(many=True)
    count = serializers.IntegerField(help_text="How many are alive in all.")
    next_after = serializers.CharField(allow_null=True, required=False, help_text="With `after`.")


@extend_schema_field({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]})
class BotTimeField(UTCDateTimeField):
    """A time as bots write it: ISO 8601, or a number of Unix seconds, or of milliseconds."""

    _MILLISECONDS_FROM = 10**11  # as seconds, the year 5138

    def to_internal_value(self, data: Any) -> datetime:
        if isinstance(data, bool) or not isinstance(data, int | float):
            return super().to_internal_value(data)
        try:
            moment = datetime.fromtimestamp(data / 1000 if data >= self._MILLISECONDS_FROM else data, UTC)
        except (ValueError, OverflowError, OSError):
            self.fail("range")
        if moment.year < FIRST_YEAR:
            self.fail("range")
        return moment


class DetailsField(AnyJSONField):
    """Whatever the bot has to say, up to 8 KiB of JSON."""

    default_error_messages = {"too_large": _("The details may have at most 8 KiB.")}

    def to_internal_value(self, data: Any) -> Any:
        if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_DETAILS_BYTES:
            self.fail("too_large")
        return super().to_internal_value(data)


class UsageRequest(RequestSerializer):
    action = StrictCharField(max_length=100)
    tenant_id = id_field(required=False)
    agent_id = id_field(required=False)
    user_id = StrictCharField(max_length=100, required=False)
    platform = StrictCharField(max_length=100, required=False)
    details = DetailsField(required=False)
    timestamp = BotTimeField(required=False)

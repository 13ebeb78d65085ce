from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys import keyformat
from apikeys.fields import KEY_FIELDS
from apikeys.models import ApiKey, KeyStatus
from apikeys.permissions import NAME, is_idle_wildcard
from apikeys.services import MAX_GRACE_SECONDS, IssuedKey
from apikeys.validators import MAX_NETWORKS, MAX_PERMISSIONS
from core.http.fields import (
    MAX_PAGE,
    MUST_BE_A_LIST,
    BoundedListField,
    ChoiceField,
    CursorQuerySerializer,
    JSONObjectField,
    NumberParameter,
    QuerySerializer,
    RequestSerializer,
    SliceQuerySerializer,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
    description_field,
    id_field,
    name_field,
)
from core.http.limit_fields import QuotaField, RateLimitField
from core.http.responses import utc_text
from core.http.serializers import ObjectSerializer, shared_serializer

MAX_EXPIRES_WITHIN_DAYS = 3650
MAX_KEYS = 1000  # in one request
MAX_WHERE_LENGTH = 2000
_NETWORK_LENGTH = 50


class _KeyListField(serializers.ListField):
    """A list of texts. One that is too long passes here, because the services reject it with a code of its own."""

    default_error_messages = {"not_a_list": MUST_BE_A_LIST}
    max_items: ClassVar[int]

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and len(data) > self.max_items:
            return data
        items: list[Any] = super().to_internal_value(data)
        return items


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": f"^{NAME.pattern}$"},
        "maxItems": MAX_PERMISSIONS,
    }
)
class PermissionsField(_KeyListField):
    """A list of texts. The services reject invalid permissions with KEY_005."""

    max_items = MAX_PERMISSIONS
    child = StrictCharField(trim_whitespace=False, allow_blank=True)


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": _NETWORK_LENGTH},
        "maxItems": MAX_NETWORKS,
        "example": ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"],
    }
)
class NetworksField(_KeyListField):
    """A list of texts. The services reject texts that are not networks."""

    max_items = MAX_NETWORKS
    child = StrictCharField(max_length=_NETWORK_LENGTH)


class BooleanParameter(serializers.BooleanField):
    """`true` or `false` in a query."""

    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false"):
            self.fail("invalid", input=data)
        return bool(data == "true")


class _KeyFields(RequestSerializer):
    description = description_field()
    permissions = PermissionsField(required=False)
    expires_at = UTCDateTimeField(required=False)
    rate_limit = RateLimitField(required=False)
    quota = QuotaField(required=False)
    allowed_networks = NetworksField(
        required=False, help_text="The networks that the key may be used from; an empty list is for anywhere."
    )
    metadata = JSONObjectField(required=False, help_text="Whatever belongs to the key, up to 8 KiB of JSON.")

    def ignored_fields(self, data: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
        """Yield also the permissions that look like wildcards and are none."""
        yield from super().ignored_fields(data, values)
        for number, name in enumerate(values.get("permissions", ())):
            if isinstance(name, str) and is_idle_wildcard(name):  # a list that is too long is not validated here
                yield f"permissions.{number}"


class AgentKeyCreateRequest(_KeyFields):
    """The body that creates a key in v1, under an agent."""

    name = name_field()

    def ignored_fields(self, data: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
        """Yield also an expiry date in the past, with which the key is never good."""
        yield from super().ignored_fields(data, values)
        expires_at = values.get("expires_at")
        if expires_at is not None and expires_at <= timezone.now():
            yield "expires_at"


class KeyCreateRequest(AgentKeyCreateRequest):
    """The body that creates a key in v2."""

    tenant_id = id_field()
    agent_id = id_field()


class KeyUpdateRequest(_KeyFields):
    clearable = KEY_FIELDS.nullable

    name = name_field(required=False)
    status = ChoiceField(KeyStatus.choices, required=False)


class KeyRotateRequest(RequestSerializer):
    grace_seconds = StrictIntegerField(
        min_value=0,
        max_value=MAX_GRACE_SECONDS,
        required=False,
        help_text="How long the old secret stays good; by default it ends at once.",
    )


class KeySearchRequest(RequestSerializer):
    api_key = StrictCharField(help_text="The whole key, as it was shown when it was issued.")


class LeakRequest(RequestSerializer):
    # Not limited: the internal surface answers a malformed key of any length with AUTH_001, the public one with 400.
    api_key = StrictCharField(trim_whitespace=False, allow_blank=True)
    where = StrictCharField(
        max_length=MAX_WHERE_LENGTH, required=False, help_text="Where the key was seen: a URL, or in words."
    )


class LeakReportResponse(serializers.Serializer[Any]):
    accepted = serializers.BooleanField(help_text="true, whether there is such a key or not.")


class KeysStatusRequest(RequestSerializer):
    """The body that disables or enables several keys."""

    api_key_ids = BoundedListField(child=id_field(), min_length=1, max_length=MAX_KEYS)


class _KeyFilters(QuerySerializer):
    q = serializers.CharField(
        required=False,
        max_length=100,
        help_text="Part of the name, the key's whole id, or its secret as it is shown, `mmc_…94bb`.",
    )
    status = ChoiceField(KeyStatus.choices, required=False)
    expires_within_days = NumberParameter(
        min_value=0,
        max_value=MAX_EXPIRES_WITHIN_DAYS,
        required=False,
        help_text="Good now, and expiring within so many days.",
    )
    never_used = BooleanParameter(required=False, help_text="true: never used; false: used at least once.")
    unused_since = UTCDateTimeField(
        required=False, help_text="Last used before this time; or never, and issued before it."
    )


class AgentKeyListQuerySerializer(_KeyFilters, SliceQuerySerializer):
    pass


class KeyPageQuerySerializer(_KeyFilters, CursorQuerySerializer):
    tenant_id = serializers.CharField(max_length=50)
    agent_id = serializers.CharField(required=False, max_length=50)
    page = NumberParameter(min_value=1, max_value=MAX_PAGE, default=1)
    page_size = NumberParameter(min_value=1, max_value=100, default=20)


class BaseKeyResponse(ObjectSerializer):
    """The fields of a key that both surfaces show."""

    tenant_id = serializers.CharField()
    agent_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_null=True)
    api_key = serializers.SerializerMethodField()
    permissions = serializers.ListField(child=serializers.CharField())
    status = serializers.SerializerMethodField()
    created_at = UTCDateTimeField()
    last_used_at = UTCDateTimeField(allow_null=True)
    expires_at = UTCDateTimeField(allow_null=True)
    usage_count = serializers.IntegerField()
    rate_limit = RateLimitField(allow_null=True)
    quota = QuotaField(allow_null=True)
    allowed_networks = serializers.ListField(child=serializers.CharField())
    metadata = JSONObjectField()
    old_secret_last_used_at = serializers.SerializerMethodField()
    leaked_at = serializers.SerializerMethodField()
    revision = serializers.IntegerField()

    def get_status(self, key: ApiKey) -> str:
        return key.status_at(timezone.now()).value

    def get_api_key(self, key: ApiKey) -> str:
        return keyformat.masked(key.current_secret.hint)

    @extend_schema_field(UTCDateTimeField(allow_null=True))
    def get_old_secret_last_used_at(self, key: ApiKey) -> str | None:
        moment = key.old_secret_last_used_at(timezone.now())
        return utc_text(moment) if moment else None

    @extend_schema_field(UTCDateTimeField(allow_null=True))
    def get_leaked_at(self, key: ApiKey) -> str | None:
        moment = key.current_secret.leaked_at
        return utc_text(moment) if moment else None


class _AgentKeyId(serializers.Serializer[Any]):
    id = serializers.CharField()


class _KeyId(serializers.Serializer[Any]):
    api_key_id = serializers.CharField(source="id")


# DRF takes the fields of the first base first, so that a key begins with its id.
class AgentKeyResponse(_AgentKeyId, BaseKeyResponse):
    """A key in v1, under its agent."""


class KeyResponse(_KeyId, BaseKeyResponse):
    """A key in v2."""

    updated_at = UTCDateTimeField()


class KeyStatusItem(serializers.Serializer[Any]):
    """The outcome for one of several keys."""

    api_key_id = serializers.CharField()
    success = serializers.BooleanField()
    status = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)


class KeysStatusResponse(serializers.Serializer[Any]):
    items = KeyStatusItem(many=True)


def with_secret(serializer: type[BaseKeyResponse], issued: IssuedKey) -> dict[str, Any]:
    """Return the representation of a new or rotated key with its secret, which is shown this once."""
    return {**shared_serializer(serializer).to_representation(issued.key), "api_key": issued.secret}


class PaginationResponse(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()
    next_after = serializers.CharField(allow_null=True)


class KeyPageResponse(serializers.Serializer[Any]):
    items = KeyResponse(many=True)
    pagination = PaginationResponse()


class KeyDeletionResponse(serializers.Serializer[Any]):
    api_key_id = serializers.CharField()

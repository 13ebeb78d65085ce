from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.fields import ID_LENGTH
from core.http.fields import LogQuerySerializer, UTCDateTimeField


class UsageLogQuerySerializer(LogQuerySerializer):
    """Filters of the usage log of a tenant, by agent and by the time of storing, and the part of it to return."""

    agent_id = serializers.CharField(required=False, max_length=ID_LENGTH)


class UsageResponse(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    tenant_id = serializers.CharField(allow_null=True)
    agent_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    platform = serializers.CharField(allow_null=True)
    action = serializers.CharField()
    details = extend_schema_field(OpenApiTypes.ANY)(serializers.JSONField)(allow_null=True)
    timestamp = UTCDateTimeField()
    created_at = UTCDateTimeField()


class UsageLogResponse(serializers.Serializer[Any]):
    items = UsageResponse(many=True)
    next_after = serializers.CharField(allow_null=True)

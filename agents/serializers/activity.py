from __future__ import annotations

from typing import Any

from rest_framework import serializers

from core.fields import ID_LENGTH
from core.http.fields import (
    LOG_FORMATS,
    ChoiceField,
    CursorQuerySerializer,
    NumberParameter,
    UTCDateTimeField,
)


class LiveAgentQuerySerializer(CursorQuerySerializer):
    """A filter of a tenant's live agents, and the part of them to return."""

    limit = NumberParameter(min_value=1, max_value=1000, default=100)
    agent_id = serializers.CharField(required=False, max_length=ID_LENGTH)
    format = ChoiceField(LOG_FORMATS, default="json", help_text="`jsonl`: an item each line.")


class ActivityResponse(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    agent_id = serializers.CharField()
    last_seen_at = UTCDateTimeField()
    expires_at = UTCDateTimeField()
    ttl_seconds = serializers.IntegerField()


class LiveAgentListResponse(serializers.Serializer[Any]):
    items = ActivityResponse(many=True)
    next_after = serializers.CharField(allow_null=True)

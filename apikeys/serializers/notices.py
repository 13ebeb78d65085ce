from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apikeys.models import Notice
from core.http.fields import ChoiceField, LogQuerySerializer, UTCDateTimeField


class NoticeQuerySerializer(LogQuerySerializer):
    """A filter of a tenant's notices, and the part of them to return."""

    kind = ChoiceField(Notice.Kind.choices, required=False)


class NoticeResponse(serializers.Serializer[Any]):
    """A notice about a key or a quota."""

    id = serializers.IntegerField()
    at = UTCDateTimeField(source="created_at")
    kind = ChoiceField(Notice.Kind.choices)
    subject = serializers.CharField(help_text="The id of a key; of a quota that of a key, an agent or the tenant.")
    details = serializers.DictField(
        help_text="Of a key `key_name`, and `api_key` (masked) or `expires_at`; of a quota `name`, `limit`, `percent`."
    )


class NoticeListResponse(serializers.Serializer[Any]):
    items = NoticeResponse(many=True)
    next_after = serializers.CharField(allow_null=True)

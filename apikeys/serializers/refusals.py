from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apikeys.models import Refusal
from apikeys.verification import EXPLANATIONS
from core.fields import ID_LENGTH
from core.http.fields import ChoiceField, LogQuerySerializer, UTCDateTimeField

CODES = sorted(str(code) for code in EXPLANATIONS)


class RefusalQuerySerializer(LogQuerySerializer):
    """Filters of the refusals in a tenant, and the part of them to return."""

    request_id = serializers.CharField(required=False, max_length=64, help_text="That of the response to the bot.")
    code = ChoiceField(CODES, required=False)
    api_key_id = serializers.CharField(required=False, max_length=ID_LENGTH)


class RefusalItem(serializers.Serializer[Any]):
    """A verification that was refused, and why."""

    id = serializers.IntegerField()
    at = UTCDateTimeField()
    request_id = serializers.CharField()
    api_key_id = serializers.CharField(source="key_id")
    agent_id = serializers.CharField()
    code = serializers.CharField()
    reason = serializers.CharField(
        allow_null=True,
        help_text="`rotated` or `leaked`, where the key's other secrets are good; `rate_limit` or `quota`.",
    )
    error = serializers.SerializerMethodField(help_text="The code in words.")
    client_ip = serializers.CharField(allow_null=True, help_text="Of whoever used the key, if the bot sent it.")

    def get_error(self, refusal: Refusal) -> str:
        return str(EXPLANATIONS[refusal.code])


class RefusalListResponse(serializers.Serializer[Any]):
    items = RefusalItem(many=True)
    next_after = serializers.CharField(allow_null=True)

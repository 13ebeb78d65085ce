from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from apikeys import keyformat
from apikeys.models import ApiKey
from core.fields import ID_LENGTH
from core.http.fields import QuerySerializer, RequestSerializer, StrictCharField, id_field
from core.scrubbing import scrubbed

MAX_SECRET_LENGTH = 500


class SearchQuerySerializer(QuerySerializer):
    q = serializers.CharField(
        max_length=100, help_text="A part of a name, a whole id, or a key's secret as it is shown, `mmc_…94bb`."
    )
    tenant_id = serializers.CharField(required=False, max_length=ID_LENGTH, help_text="Only in this tenant.")

    def validate_q(self, text: str) -> str:
        """Raise ValidationError for a whole secret, which is in logs and histories by now."""
        if scrubbed(text) != text:
            raise serializers.ValidationError(_("Send a whole key in the body of a POST, never in a URL"))
        return text


class SearchRequest(RequestSerializer):
    q = StrictCharField(max_length=MAX_SECRET_LENGTH, help_text="As in the query, or a whole key, which is not stored.")
    tenant_id = id_field(required=False, help_text="Only in this tenant.")


class FoundAgent(serializers.Serializer[Any]):
    id = serializers.CharField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()


class FoundKey(serializers.Serializer[Any]):
    id = serializers.CharField()
    tenant_id = serializers.CharField()
    agent_id = serializers.CharField()
    name = serializers.CharField()
    api_key = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()

    def get_api_key(self, key: ApiKey) -> str:
        return keyformat.masked(key.current_secret.hint)

    def get_status(self, key: ApiKey) -> str:
        return key.status_at(timezone.now()).value


class FoundMember(serializers.Serializer[Any]):
    user_id = serializers.CharField()
    tenant_id = serializers.CharField()
    username = serializers.CharField(source="user.username")
    role = serializers.CharField()


class FoundAgents(serializers.Serializer[Any]):
    items = FoundAgent(many=True)
    has_more = serializers.BooleanField()


class FoundKeys(serializers.Serializer[Any]):
    items = FoundKey(many=True)
    has_more = serializers.BooleanField()


class FoundMembers(serializers.Serializer[Any]):
    items = FoundMember(many=True)
    has_more = serializers.BooleanField()


class SearchResponse(serializers.Serializer[Any]):
    """Up to 20 of each kind, and whether there are more."""

    agents = FoundAgents()
    api_keys = FoundKeys()
    members = FoundMembers()

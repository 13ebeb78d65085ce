"""Serializers that all requests share."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.http.serializers import shared_serializer


class Inner(serializers.Serializer[Any]):
    number = serializers.IntegerField(max_value=5)


class Outer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=3, required=False)
    number = serializers.IntegerField(min_value=1, required=False)
    inner = Inner(required=False)
    items = Inner(many=True, required=False)
    names = serializers.ListField(child=serializers.CharField(min_length=2), required=False)


@pytest.mark.parametrize(
    "wrong",
    [{"text": "long"}, {"number": 0}, {"inner": {"number": 6}}, {"items": [{"number": 6}]}, {"names": ["n"]}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_error_is_in_the_language_of_each_request(wrong: dict[str, Any]) -> None:
    def sentence(language: str) -> str:
        with translation.override(language), pytest.raises(ValidationError) as caught:
            shared_serializer(Outer).run_validation(wrong)
        return str(caught.value.detail)

    assert "Ensure this " in sentence("en")
    assert "Ensure this " not in sentence("zh-hans")
    assert "Ensure this " in sentence("en")

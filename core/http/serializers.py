"""One instance of each serializer class for all requests."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from django.utils.text import format_lazy
from rest_framework.fields import Field
from rest_framework.serializers import Serializer
from rest_framework.utils.formatting import lazy_format

S = TypeVar("S", bound=Serializer[Any])


@cache
def shared_serializer(serializer: type[S]) -> S:
    """Return the instance of this class whose `run_validation` and `to_representation` all requests share.

    Either leaves nothing in it, and takes less time than making an instance, which copies every field.
    """
    shared = serializer()
    _translate_each_time(shared)
    return shared


def _translate_each_time(field: Field[Any, Any, Any, Any]) -> None:
    """Let the sentences of a field's validators follow the language of each request.

    DRF's lazy ones keep the language in which they were first read.
    """
    validators: list[Any] = list(field.validators)
    for validator in validators:
        message = getattr(validator, "message", None)
        if isinstance(message, lazy_format) and message.format_string is not None:
            validator.message = format_lazy(message.format_string, *message.args, **message.kwargs)
    for inner in (*getattr(field, "fields", {}).values(), getattr(field, "child", None)):
        if inner is not None:
            _translate_each_time(inner)

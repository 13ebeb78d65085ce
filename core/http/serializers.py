"""Serializers that all requests share, and that represent objects in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

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


class _Reader(NamedTuple):
    """The reading and representing of one field."""

    name: str
    read: Callable[[Any], Any]
    represent: Callable[[Any], Any]


class ObjectSerializer(Serializer[Any]):
    """A serializer that represents objects as REST framework does, by the attributes that its fields name.

    Their sources are looked up once, and not at each object. None of them may be a method, or missing in an object.
    """

    @cached_property
    def _readers(self) -> list[_Reader]:
        return [
            _Reader(name, _itself if field.source == "*" else attrgetter(field.source or name), field.to_representation)
            for name, field in self.fields.items()
            if not field.write_only
        ]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {
            name: None if (value := read(instance)) is None else represent(value)
            for name, read, represent in self._readers
        }


def _itself(instance: Any) -> Any:
    return instance

"""Serializers that all requests share, and that represent objects in a fraction of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from rest_framework.serializers import Serializer

S = TypeVar("S", bound=Serializer[Any])


@cache
def shared_serializer(serializer: type[S]) -> S:
    """Return the instance of this class whose `run_validation` and `to_representation` all requests share.

    Either leaves nothing in it, and takes less time than making an instance, which copies every field.
    """
    return serializer()


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

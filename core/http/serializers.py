"""One instance of each serializer class for all requests."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from rest_framework.serializers import Serializer

S = TypeVar("S", bound=Serializer[Any])


@cache
def shared_serializer(serializer: type[S]) -> S:
    """Return the instance of this class whose `run_validation` and `to_representation` all requests share.

    Either leaves nothing in it, and takes less time than making an instance, which copies every field.
    """
    return serializer()

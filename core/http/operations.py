"""The declaration of what a view's method takes and returns.

`core.http.openapi` describes the methods by it. A method without one cannot be described, which a test notices; an
override keeps the declaration of the method that it overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from core.actor import TokenScope

JSON = "application/json"
TOML = "application/toml"
JSON_LINES = "application/jsonl"
Method = TypeVar("Method", bound=Callable[..., Any])
SerializerClass = type[serializers.Serializer[Any]]
Shape = type[serializers.BaseSerializer[Any]] | serializers.BaseSerializer[Any] | serializers.Field[Any, Any, Any, Any]


class FromView(NamedTuple):
    """The serializer class in this attribute of the view, where the surfaces have different ones."""

    attribute: str


class ListOf(NamedTuple):
    """A list as `BaseView.respond_list` returns it: v1's array with its headers, or v2's page."""

    item: SerializerClass | FromView


@dataclass(frozen=True, kw_only=True)
class operation:  # noqa: N801  # a decorator
    """Declare what a view's method takes and returns.

    `response` is the response in v1, and in v2 the envelope's `data`. `errors` are responses in the surface's own error
    shape, `extra_responses` those of another status in a shape of their own; 412 among the errors means that the method
    heeds `If-Match`.

    `token` is the scope that a personal access token needs. Without one, the method takes no such tokens: not those
    about a person's own account.
    """

    summary: str = field(kw_only=False)
    tag: str
    response: Shape | OpenApiTypes | FromView | ListOf | None
    request: SerializerClass | serializers.BaseSerializer[Any] | Mapping[str, Any] | FromView | None = None
    query: SerializerClass | FromView | None = None
    token: TokenScope | None = None
    status: int = 200
    media_type: str = JSON
    errors: tuple[int, ...] = ()
    extra_responses: Mapping[int, Shape] = field(default_factory=dict)
    # Asks neither database nor Redis, so that neither can fail it.
    offline: bool = False
    # Answers through `BaseView.run_idempotent`.
    idempotent: bool = False
    # Has an ETag, and answers 304 where `If-None-Match` names it.
    conditional: bool = False
    # Has an ETag.
    revised: bool = False
    # Answers with a file, JSON or TOML, without an envelope.
    download: bool = False
    # Answers with an item each line for `?format=jsonl`.
    json_lines: bool = False
    # Takes a config, counts its warnings, and heeds `Prefer: handling=strict`.
    strict: bool = False
    # Answers through `BaseView.respond_deleted`: in v1 with 204 and no body.
    deletion: bool = False

    def __call__(self, method: Method) -> Method:
        method.operation = self  # type: ignore[attr-defined]  # an attribute of our own
        return method


def operation_of(view: Any, method: str) -> operation:
    """Return what the view's method declares, or what the method that it overrides does."""
    for cls in type(view).__mro__:
        declared: operation | None = getattr(vars(cls).get(method.lower()), "operation", None)
        if declared is not None:
            return declared
    raise AttributeError(f"{type(view).__name__}.{method.lower()} has no @operation")

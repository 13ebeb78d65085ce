"""OpenAPI of both surfaces, from what the views say of themselves.

A view method carries `@operation(...)`: what it takes and gives, and which refusals are its own. What
every view of a door can answer (401, 413, 415, …) is added here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from maim.http.views import EnvelopeView, InternalDoor

F = TypeVar("F", bound=Callable[..., Any])
Answer = type[serializers.Serializer] | serializers.BaseSerializer | serializers.Field | None  # type: ignore[type-arg]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one method of a view takes and gives."""

    summary: str
    tag: str
    answer: Answer
    request: type[serializers.Serializer[Any]] | Mapping[str, Any] | None
    query: type[serializers.Serializer[Any]] | None
    status: int
    refusals: tuple[int, ...]
    total_count: bool


def operation(
    summary: str,
    *,
    tag: str,
    answer: Answer,
    request: type[serializers.Serializer[Any]] | Mapping[str, Any] | None = None,
    query: type[serializers.Serializer[Any]] | None = None,
    status: int = 200,
    refusals: tuple[int, ...] = (),
    total_count: bool = False,
) -> Callable[[F], F]:
    """Describes a view method. `answer` is the bare answer, or on an envelope view its `data`."""

    def describe(method: F) -> F:
        method.operation = Operation(  # type: ignore[attr-defined]
            summary=summary,
            tag=tag,
            answer=answer,
            request=request,
            query=query,
            status=status,
            refusals=refusals,
            total_count=total_count,
        )
        return method

    return describe


class ErrorAnswer(serializers.Serializer):  # type: ignore[type-arg]
    """v1's error."""

    detail = serializers.CharField(help_text="One sentence for people.")
    code = serializers.CharField(help_text="A stable code for programs.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="With VALIDATION_ERROR: each wrong field and why.",
    )


def _envelope_fields(data: Any, *, success: bool | None) -> dict[str, Any]:
    failed = success is False
    return {
        "success": serializers.BooleanField(),
        "message": serializers.CharField(help_text="A short sentence for people."),
        "data": data,
        "timestamp": serializers.DateTimeField(),
        "request_id": serializers.CharField(),
        "tenant_id": serializers.CharField(allow_null=True),
        "execution_time": serializers.FloatField(help_text="Seconds."),
        "error": serializers.CharField(allow_null=not failed, help_text="What exactly is wrong."),
        "error_code": serializers.CharField(allow_null=not failed, help_text="A stable code for programs."),
    }


@cache
def _error_envelope() -> Any:
    data = serializers.DictField(allow_null=True, help_text="`{errors: {field: [sentences]}}` or null.")
    return inline_serializer("ErrorEnvelope", _envelope_fields(data, success=False))


_envelopes: dict[str, Any] = {}


def _answer_envelope(answer: Answer) -> Any:
    """The envelope around an answer, one schema component for each kind of answer."""
    instance = answer() if isinstance(answer, type) else answer
    name = f"{type(instance).__name__}Envelope"
    if name not in _envelopes:
        _envelopes[name] = inline_serializer(name, _envelope_fields(instance, success=None))
    return _envelopes[name]


_MEANING = {
    400: "The input is not valid.",
    401: "The token is missing, malformed, expired, or no longer good.",
    403: "Not allowed: by role, or because of the Host or Origin the request names.",
    404: "Unknown, or somebody else's.",
    409: "A name is taken, or a status forbids it.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON.",
    429: "Too many attempts; Retry-After says when to come back.",
    503: "A dependency does not answer; Retry-After says when to come back.",
}


class ContractSchema(AutoSchema):
    """Reads `@operation`; a view method without one is not in the schema, which a test refuses."""

    @property
    def _operation(self) -> Operation:
        described: Operation = getattr(self.view, self.method.lower()).operation
        return described

    def get_operation_id(self) -> str:
        return f"{self.method.lower()}{type(self.view).__name__}"

    def get_tags(self) -> list[str]:
        return [self._operation.tag]

    def get_summary(self) -> str:
        return self._operation.summary

    def get_description(self) -> str:
        return ""

    def get_request_serializer(self) -> Any:
        return self._operation.request

    def get_override_parameters(self) -> list[Any]:
        parameters: list[Any] = []
        if self._operation.query is not None:
            parameters.append(self._operation.query)
        if self._operation.total_count:
            parameters.append(
                OpenApiParameter(
                    "X-Total-Count",
                    int,
                    OpenApiParameter.HEADER,
                    response=[200],
                    description="How many there are in all.",
                )
            )
        return parameters

    def get_response_serializers(self) -> Any:
        described = self._operation
        enveloped = isinstance(self.view, EnvelopeView)
        good: Any = OpenApiResponse(description="No body.") if described.answer is None else described.answer
        if enveloped and described.answer is not None:
            good = _answer_envelope(described.answer)
        bad = _error_envelope() if enveloped else ErrorAnswer
        answers = {described.status: good}
        for status in sorted({*described.refusals, *self._refusals_of_the_door()}):
            answers[status] = OpenApiResponse(bad, description=_MEANING[status])
        return answers

    def _refusals_of_the_door(self) -> set[int]:
        refusals = {403, 503}
        if not isinstance(self.view, InternalDoor) and self.view.authentication_classes:
            refusals.add(401)
        if self._operation.query is not None:
            refusals.add(400)
        if self._operation.request is not None:
            refusals |= {400, 413, 415}
        return refusals


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the access token is sent."""

    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

"""OpenAPI of both surfaces, from what the views say of themselves.

A view method carries `@operation(...)`: what it takes and gives, and which errors are its own. What
every view of a door can answer (401, 413, 415, …) is added here once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from core import idempotency
from core.http.fields import (
    CursorQuerySerializer,
    PageQuerySerializer,
    QuerySerializer,
    RequestSerializer,
    SliceQuerySerializer,
    StrictCharField,
    WalkQuerySerializer,
)
from core.http.views import InternalAccessMixin, V2View

_JSON = "application/json"
TOML = "application/toml"
F = TypeVar("F", bound=Callable[..., Any])
Shape = type[serializers.BaseSerializer[Any]] | serializers.BaseSerializer[Any] | serializers.Field[Any, Any, Any, Any]
Response = Shape | OpenApiTypes | None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one method of a view takes and gives."""

    summary: str
    tag: str
    response: Response
    request: type[serializers.Serializer[Any]] | Mapping[str, Any] | None
    query: type[serializers.Serializer[Any]] | None
    status: int
    media_type: str
    errors: tuple[int, ...]
    extra_responses: Mapping[int, Shape]
    total_count: bool
    offline: bool
    idempotent: bool
    conditional: bool
    revised: bool
    download: bool
    strict: bool


def operation(
    summary: str,
    *,
    tag: str,
    response: Response,
    request: type[serializers.Serializer[Any]] | Mapping[str, Any] | None = None,
    query: type[serializers.Serializer[Any]] | None = None,
    status: int = 200,
    media_type: str = _JSON,
    errors: tuple[int, ...] = (),
    extra_responses: Mapping[int, Shape] | None = None,
    total_count: bool = False,
    offline: bool = False,
    idempotent: bool = False,
    conditional: bool = False,
    revised: bool = False,
    download: bool = False,
    strict: bool = False,
) -> Callable[[F], F]:
    """Describes a view method.

    `response` is the bare response, or on an envelope view its `data`; `errors` are errors in the
    surface's own shape, `extra_responses` what comes with another status in a shape of its own.
    `offline` says that the method asks neither database nor Redis, so that neither can fail it;
    `idempotent` that it answers through `BaseView.run_idempotent`; `conditional` that it has an ETag, and answers 304
    where `If-None-Match` names it; `revised` that it has an ETag, and no more; `download` that it answers with a
    file, JSON or TOML, without an envelope; `strict` that it takes a config, counts its warnings, and heeds
    `Prefer: handling=strict`.
    A refusal with 412 says that it heeds `If-Match`.
    """

    def describe(method: F) -> F:
        method.operation = Operation(  # type: ignore[attr-defined]
            summary=summary,
            tag=tag,
            response=response,
            request=request,
            query=query,
            status=status,
            media_type=media_type,
            errors=errors,
            extra_responses=extra_responses or {},
            total_count=total_count,
            offline=offline,
            idempotent=idempotent,
            conditional=conditional,
            revised=revised,
            download=download,
            strict=strict,
        )
        return method

    return describe


class ErrorResponse(serializers.Serializer[Any]):
    """An error outside of the envelope."""

    detail = serializers.CharField(help_text="One sentence for people.")
    code = serializers.CharField(help_text="A stable code for programs.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field, where the stubs know the property
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="With status 400: each wrong field and why.",
    )


def _envelope_fields(data: Any, *, failed: bool) -> dict[str, Any]:
    return {
        "success": serializers.BooleanField(),
        "message": serializers.CharField(help_text="A short sentence for people."),
        # A copy counts as made here, and fields stand in the order in which they were made.
        "data": copy.deepcopy(data),
        "timestamp": serializers.DateTimeField(),
        "request_id": serializers.CharField(),
        "tenant_id": serializers.CharField(allow_null=True),
        "execution_time": serializers.FloatField(help_text="Seconds."),
        "error": serializers.CharField(allow_null=not failed, help_text="What exactly is wrong."),
        "error_code": serializers.CharField(allow_null=not failed, help_text="A stable code for programs."),
    }


@cache
def _error_envelope() -> Any:
    data = serializers.DictField(allow_null=True, help_text="With status 400 `{errors: {field: [sentences]}}`.")
    return inline_serializer("ErrorEnvelope", _envelope_fields(data, failed=True))


@cache
def _response_envelope(shape: type[serializers.Field[Any, Any, Any, Any]]) -> Any:
    """The envelope around an answer, one schema component for each kind of answer."""
    return inline_serializer(f"{shape.__name__.removesuffix('Field')}Envelope", _envelope_fields(shape(), failed=False))


_MEANING = {
    200: "Done.",
    204: "Done; no body.",
    304: "As `If-None-Match` has it; no body.",
    400: "The input is not valid.",
    401: "The token is missing, malformed, expired, or no longer good.",
    403: "Not allowed: by role, or because of the Host or Origin the request names.",
    404: "Unknown, or somebody else's.",
    409: "A name is taken, or a status forbids it.",
    410: "Kept no longer; begin anew.",
    412: "Changed since the state that `If-Match` names.",
    413: "The body is larger than 1 MiB.",
    415: "The body is of another media type.",
    429: "Too many attempts; Retry-After says when to come back.",
    503: "A dependency does not answer; Retry-After says when to come back.",
}
_MEANING_WITH_IDEMPOTENCY_KEY = {
    **_MEANING,
    409: "A name is taken, a status forbids it, or the Idempotency-Key was used for another request.",
}
_HEADERS = (
    OpenApiParameter(
        "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], required=True, description="Seconds."
    ),
    OpenApiParameter(
        "WWW-Authenticate", str, OpenApiParameter.HEADER, response=[401], required=True, description="`Bearer`."
    ),
)
_TOTAL_COUNT = OpenApiParameter(
    "X-Total-Count",
    int,
    OpenApiParameter.HEADER,
    response=[200],
    required=True,
    description="How many there are in all.",
)
_NEXT_CURSOR = OpenApiParameter(
    "X-Next-Cursor",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description="In a list read with `after` that goes on: its next `after`, percent-encoded as a URL has it.",
)
_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="Chosen by the sender: the same request again, within ten minutes, is answered the same and acts once.",
)


_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETags of states that the client has already."
)
_IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$'},
    OpenApiParameter.HEADER,
    description="The ETag of the state that the change is meant for; for another it is refused. `*`: for any.",
)
_CONTENT_DISPOSITION = OpenApiParameter(
    "Content-Disposition", str, OpenApiParameter.HEADER, response=[200], required=True, description="A file name."
)
_ETAG = OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200, 304], required=True)
_ETAG_OF_A_WRITE = OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200], required=True)


_STRICT = (
    OpenApiParameter(
        "Prefer",
        str,
        OpenApiParameter.HEADER,
        description="`handling=strict`: what looks odd in the config that is sent is refused, and not only warned of.",
    ),
    OpenApiParameter(
        "Preference-Applied",
        str,
        OpenApiParameter.HEADER,
        response=[200, 400],
        description="`handling=strict`, where that was asked for.",
    ),
    OpenApiParameter(
        "X-Config-Warnings",
        int,
        OpenApiParameter.HEADER,
        response=[200],
        required=True,
        description="How much looks odd in the config as it is now.",
    ),
)


class ContractSchema(AutoSchema):
    """Reads `@operation`; a view method without one cannot be described, which a test notices."""

    @property
    def _operation(self) -> Operation:
        described: Operation = getattr(self.view, self.method.lower()).operation
        return described

    def get_operation_id(self) -> str:
        """From method and path alone, which never change: `GET /api/v2/agents/{agent_id}` is `getAgent`."""
        parts = [part for part in self.path.strip("/").split("/") if part]
        if parts[:1] == ["api"]:
            parts = parts[2:]
        words: list[str] = []
        for part in parts:
            if part.startswith("{"):
                words[-1] = words[-1].removesuffix("s")
            else:
                words += re.split(r"[-_]", part)
        return self.method.lower() + ("".join(word.capitalize() for word in words) or "Root")

    def get_tags(self) -> list[str]:
        return [self._operation.tag]

    def get_summary(self) -> str:
        return self._operation.summary

    def get_description(self) -> str:  # type: ignore[override]  # the stubs have DRF's own inspector here
        return ""

    def get_auth(self) -> list[dict[str, Any]]:
        auth: list[dict[str, Any]] = super().get_auth() if self.view.authentication_classes else []
        return auth

    def get_request_serializer(self) -> Any:
        return self._operation.request

    def get_override_parameters(self) -> list[Any]:
        described = self._operation
        query = [described.query] if described.query is not None else []
        sent = [_IDEMPOTENCY_KEY] if described.idempotent else []
        if described.conditional:
            sent += [_IF_NONE_MATCH, _ETAG]
        if described.revised:
            sent.append(_ETAG_OF_A_WRITE)
        if 412 in described.errors:
            sent.append(_IF_MATCH)
        if described.download:
            sent.append(_CONTENT_DISPOSITION)
        if described.strict:
            sent += _STRICT
        if described.total_count:
            sent.append(_TOTAL_COUNT)
        is_bare = not isinstance(self.view, V2View)
        if is_bare and described.query is not None and issubclass(described.query, CursorQuerySerializer):
            sent.append(_NEXT_CURSOR)
        return [*query, *sent, *_HEADERS]

    def get_response_serializers(self) -> Any:
        described = self._operation
        enveloped = isinstance(self.view, V2View)
        good: Any = described.response
        if enveloped and good is not None and not described.download:
            good = _response_envelope(good if isinstance(good, type) else type(good))
        elif isinstance(good, serializers.Field) and not isinstance(good, serializers.BaseSerializer):
            good = self._map_serializer_field(good, "response")  # type: ignore[no-untyped-call]
        bad = _error_envelope() if enveloped else ErrorResponse
        meaning = _MEANING_WITH_IDEMPOTENCY_KEY if described.idempotent else _MEANING
        answers = {(status, _JSON): OpenApiResponse(bad, meaning[status]) for status in self._errors()}
        for status, shape in described.extra_responses.items():
            answers[status, _JSON] = OpenApiResponse(shape, meaning[status])
        answers[described.status, described.media_type] = OpenApiResponse(good, meaning[described.status])
        if described.download:
            answers[described.status, TOML] = OpenApiResponse(OpenApiTypes.STR, meaning[described.status])
        if described.conditional:
            answers[304, _JSON] = OpenApiResponse(None, meaning[304])
        return dict(sorted(answers.items()))

    def _errors(self) -> set[int]:
        described = self._operation
        internal = isinstance(self.view, InternalAccessMixin)
        errors = {403, *described.errors}
        if described.request is not None:
            errors |= {400, 413, 415}
        elif internal:
            # Without a body only a suspended tenant conflicts, and it is read-only to its people alone.
            errors.discard(409)
        if described.query is not None or 412 in described.errors:
            errors.add(400)
        if not internal and self.view.authentication_classes:
            errors |= {401, 503}
        if not described.offline:
            errors.add(503)
        return errors

    def _get_serializer_name(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> str:
        """Name a component after its serializer, whose name says already that it is of a request."""
        name: str = super()._get_serializer_name(serializer, direction, bypass_extensions)
        return name.removesuffix("Request") if name.endswith("RequestRequest") else name

    def _get_request_body(self, direction: str = "request") -> Any:
        body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if body is not None:
            body["required"] = True  # one may be `{}`, but not nothing
        return body


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the access token is sent."""

    target_class = "accounts.authentication.SessionTokenAuthentication"
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class StrictText(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Text that is trimmed and may not be blank needs one character that is not a blank."""

    target_class = StrictCharField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if self.target.trim_whitespace and not self.target.allow_blank:
            schema["pattern"] = r"\S"
        return schema


def bases_without_description() -> list[type]:
    """The classes whose docstrings are for us, not for readers of the documents."""
    return [
        *get_lib_doc_excludes(),  # type: ignore[no-untyped-call]
        RequestSerializer,
        QuerySerializer,
        CursorQuerySerializer,
        PageQuerySerializer,
        SliceQuerySerializer,
        WalkQuerySerializer,
    ]


def without_enum_ids(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Takes out the marks by which drf-spectacular would tell its enumerations apart."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: clean(value) for key, value in node.items() if key != "x-spec-enum-id"}
        return [clean(value) for value in node] if isinstance(node, list) else node

    cleaned: dict[str, Any] = clean(result)
    return cleaned

"""The OpenAPI schemas of both surfaces, made from the `@operation` of each view method.

The responses that every view of a surface can give (401, 413, 415, …) are added here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from core import idempotency
from core.http import ignored_fields
from core.http.fields import (
    CursorQuerySerializer,
    OptionalCursorQuerySerializer,
    PageQuerySerializer,
    QuerySerializer,
    RequestSerializer,
    SliceQuerySerializer,
    StrictCharField,
)
from core.http.operations import JSON, JSON_LINES, TOML, FromView, ListOf, operation, operation_of
from core.http.views import InternalAccessMixin, V2View


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
    """Return the envelope around a response, one schema component for each class of responses."""
    name = shape.__name__.removesuffix("Field").removesuffix("Response")
    return inline_serializer(f"{name}Envelope", _envelope_fields(shape(), failed=False))


@cache
def _page_of(item: type[serializers.Serializer[Any]]) -> Any:
    """Return v2's page of such items (`core.http.pagination.numbered_page`)."""
    name = item.__name__.removesuffix("Response").removesuffix("ListItem")
    fields = {
        "items": item(many=True),
        "total": serializers.IntegerField(),
        "page": serializers.IntegerField(),
        "size": serializers.IntegerField(),
        "pages": serializers.IntegerField(),
        "next_after": serializers.CharField(allow_null=True),
    }
    return inline_serializer(f"{name}Page", fields)


_MEANING = {
    200: "Done.",
    202: "Accepted; what was asked for comes by mail.",
    204: "Done; no body.",
    304: "Not changed since the state that `If-None-Match` names; no body.",
    400: "The input is not valid.",
    401: "The token is missing, malformed, expired, or no longer good.",
    403: "Not allowed: by role, or because of the Host or Origin the request names.",
    404: "Unknown, or somebody else's.",
    409: "A name is taken, or a status forbids it.",
    410: "No longer available; start again without a cursor.",
    412: "Changed since the state that `If-Match` names.",
    413: "The body is larger than 1 MiB.",
    415: "The body is of another media type.",
    429: "Too many attempts; Retry-After says when to try again.",
    503: "The database or Redis does not respond; Retry-After says when to try again.",
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
    description="The number of all items.",
)
_NEXT_CURSOR = OpenApiParameter(
    "X-Next-Cursor",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description="The next `after`, percent-encoded, if the list is read with `after` and goes on.",
)
_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_KEY_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="Chosen by the sender. The same request again within ten minutes acts once and gets the same response.",
)


_IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETags of the states that the client has."
)
_IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,17}")$'},
    OpenApiParameter.HEADER,
    description="The ETag of the state that the change is meant for; in another state it fails. `*`: any state.",
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
        description="`handling=strict`: warnings about the config are errors.",
    ),
    OpenApiParameter(
        "Preference-Applied",
        str,
        OpenApiParameter.HEADER,
        response=[200, 400],
        description="`handling=strict`, if it was requested.",
    ),
    OpenApiParameter(
        "X-Config-Warnings",
        int,
        OpenApiParameter.HEADER,
        response=[200],
        required=True,
        description="The number of warnings about the config as it is now.",
    ),
)
_IGNORED_FIELDS = OpenApiParameter(
    ignored_fields.HEADER,
    str,
    OpenApiParameter.HEADER,
    response=[200, 204],
    description="The fields of the body that were ignored, if any: unknown ones, and those without effect.",
)


# The security scheme of personal access tokens, which the operations have that take them.
PERSONAL_TOKEN = "personalToken"  # noqa: S105  # a name


class ContractSchema(AutoSchema):
    """The OpenAPI operation of a view method, made from its `@operation`."""

    @property
    def _operation(self) -> operation:
        return operation_of(self.view, self.method)

    @property
    def _is_enveloped(self) -> bool:
        return isinstance(self.view, V2View)

    def _resolve(self, declared: Any) -> Any:
        """Return what is declared, or the view's own class for it."""
        return getattr(self.view, declared.attribute) if isinstance(declared, FromView) else declared

    def get_operation_id(self) -> str:
        """Return a name of method and path alone, which never change: `GET /api/v2/agents/{agent_id}` is `getAgent`."""
        parts = [part for part in self.path.strip("/").split("/") if part]
        if parts[:1] == ["api"]:
            parts = parts[2:]
        words: list[str] = []
        for part in parts:
            if part.startswith("{"):
                words[-1] = re.sub("ies$", "y", words[-1]).removesuffix("s")
            else:
                words += re.split(r"[-_]", part)
        return self.method.lower() + ("".join(word.capitalize() for word in words) or "Root")

    def get_tags(self) -> list[str]:
        return [self._operation.tag]

    def get_summary(self) -> str:
        summaries: Mapping[str, str] = getattr(self.view, "summaries", {})
        return summaries.get(self.method.lower(), self._operation.summary)

    def get_description(self) -> str:  # type: ignore[override]  # the stubs have DRF's own inspector here
        return ""

    def get_auth(self) -> list[dict[str, Any]]:
        if not self.view.authentication_classes:
            return []
        auth: list[dict[str, Any]] = super().get_auth()
        return auth if self._operation.token is None else [*auth, {PERSONAL_TOKEN: []}]

    def get_request_serializer(self) -> Any:
        return self._resolve(self._operation.request)

    def get_override_parameters(self) -> list[Any]:
        declared, query = self._operation, self._resolve(self._operation.query)
        request = self.get_request_serializer()
        is_v1_list = isinstance(declared.response, ListOf) and not self._is_enveloped
        has_cursor = query is not None and issubclass(query, CursorQuerySerializer)
        optional: list[tuple[bool, list[Any]]] = [
            (query is not None, [query]),
            (declared.idempotent, [_IDEMPOTENCY_KEY]),
            (declared.conditional, [_IF_NONE_MATCH, _ETAG]),
            (declared.revised, [_ETAG_OF_A_WRITE]),
            (412 in declared.errors, [_IF_MATCH]),
            (declared.download, [_CONTENT_DISPOSITION]),
            (declared.strict, [*_STRICT]),
            (isinstance(request, type) and issubclass(request, RequestSerializer), [_IGNORED_FIELDS]),
            (is_v1_list, [_TOTAL_COUNT]),
            (has_cursor and not self._is_enveloped, [_NEXT_CURSOR]),
        ]
        return [each for applies, parameters in optional if applies for each in parameters] + [*_HEADERS]

    def get_response_serializers(self) -> Any:
        declared = self._operation
        error = _error_envelope() if self._is_enveloped else ErrorResponse
        meaning = _MEANING_WITH_IDEMPOTENCY_KEY if declared.idempotent else _MEANING
        responses = {(status, JSON): OpenApiResponse(error, meaning[status]) for status in self._errors()}
        for status, shape in declared.extra_responses.items():
            responses[status, JSON] = OpenApiResponse(shape, meaning[status])
        if declared.deletion and not self._is_enveloped:
            responses[204, JSON] = OpenApiResponse(None, meaning[204])
        else:
            responses[declared.status, declared.media_type] = OpenApiResponse(self._success(), meaning[declared.status])
        if declared.download:
            responses[declared.status, TOML] = OpenApiResponse(OpenApiTypes.STR, meaning[declared.status])
        if declared.json_lines:
            responses[declared.status, JSON_LINES] = OpenApiResponse(OpenApiTypes.STR, meaning[declared.status])
        if declared.conditional:
            responses[304, JSON] = OpenApiResponse(None, meaning[304])
        return dict(sorted(responses.items()))

    def _success(self) -> Any:
        """Return the body of a successful response."""
        declared, shape = self._operation, self._resolve(self._operation.response)
        if isinstance(shape, ListOf):
            item = self._resolve(shape.item)
            shape = _page_of(item) if self._is_enveloped else item(many=True)
        if self._is_enveloped and shape is not None and not declared.download:
            return _response_envelope(shape if isinstance(shape, type) else type(shape))
        if isinstance(shape, serializers.Field) and not isinstance(shape, serializers.BaseSerializer):
            return self._map_serializer_field(shape, "response")  # type: ignore[no-untyped-call]  # no types there
        return shape

    def _errors(self) -> set[int]:
        """Return the statuses of the errors that the method can give."""
        declared = self._operation
        internal = isinstance(self.view, InternalAccessMixin)
        errors = {403, *declared.errors}
        if declared.request is not None:
            errors |= {400, 413, 415}
        elif internal:
            # Without a body, 409 means that the tenant is suspended, which makes it read-only to its people alone.
            errors.discard(409)
        if declared.query is not None or 412 in declared.errors:
            errors.add(400)
        if not internal and self.view.authentication_classes:
            errors |= {401, 503}
        if not declared.offline:
            errors.add(503)
        return errors

    def _get_serializer_name(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> str:
        """Return the name of a component: that of its serializer, which says already that it is of a request."""
        name: str = super()._get_serializer_name(serializer, direction, bypass_extensions)
        return name.removesuffix("Request") if name.endswith("RequestRequest") else name

    def _get_request_body(self, direction: str = "request") -> Any:
        body = super()._get_request_body(direction)  # type: ignore[no-untyped-call]  # untyped in the library
        if body is not None:
            body["required"] = True  # one may be `{}`, but not nothing
        return body


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped in the library
    """The access token: as it is sent, and as tools such as Swagger UI get one from a username and a password.

    And the personal access token, which not every operation takes.
    """

    target_class = "accounts.authentication.BearerAuthentication"
    name = ["accessToken", "signIn", PERSONAL_TOKEN]

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [{name: []} for name in self.name if name != PERSONAL_TOKEN]

    def get_security_definition(self, auto_schema: Any) -> Any:
        sign_in = {"tokenUrl": "/api/v1/auth/login", "scopes": {}}
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            {"type": "oauth2", "flows": {"password": sign_in}},
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "mat_…",
                "description": "A personal access token, with the scope `write` for what changes anything.",
            },
        ]


class StrictText(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # untyped in the library
    """The schema of text. One that is trimmed and may not be blank has at least one character that is not a blank."""

    target_class = StrictCharField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if self.target.trim_whitespace and not self.target.allow_blank:
            schema["pattern"] = r"\S"
        return schema


def bases_without_description() -> list[type]:
    """Return the classes whose docstrings are for developers, not for readers of the documents."""
    return [
        *get_lib_doc_excludes(),  # type: ignore[no-untyped-call]  # untyped in the library
        RequestSerializer,
        QuerySerializer,
        CursorQuerySerializer,
        PageQuerySerializer,
        SliceQuerySerializer,
        OptionalCursorQuerySerializer,
    ]

"""The base views of the two surfaces.

A view translates: it validates the input, calls an access function and a service, and serializes the result. Every view
denies by default. Two base classes let a request in without a token: `InternalAccessMixin`, because reaching the
internal port is the proof (docs/contract.md section 1), and `AnonymousView`, for people who have no token yet.

An endpoint on both surfaces has one base view in its app, with the methods and their `@operation`, and a subclass for
each surface. A subclass adds the surface's base view, and the classes in which the surfaces differ:

    # agents/views/agents.py
    class BaseAgentDetailView(BaseView):
        response_class: type[Serializer[Any]]

        @operation("Read an agent", tag="agents", response=FromView("response_class"), errors=(404,), conditional=True)
        def get(self, request: Request, agent_id: str) -> Response:
            agent = get_agent(self.actor, agent_id, Access.READ)
            return self.respond_conditionally(
                agent, self.response_class, message=_("Agent found"), tenant_id=agent.tenant_id
            )


    class AgentDetailView(BaseAgentDetailView, V1View):
        response_class = AgentResponse

    # internal_api/views/agents.py
    class AgentDetailView(BaseAgentDetailView, InternalV2View):
        response_class = InternalAgentResponse

The base view answers with `respond`, `respond_list` or `respond_deleted`, which know the surface's shape. A subclass
may also set `summaries`, and override methods; an override without an `@operation` keeps the base view's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, ClassVar, cast

import orjson
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from core import idempotency
from core.actor import Actor, ActorKind, TokenGrant
from core.errors import Forbidden, ReadOnlyToken, Text
from core.http import conditional, ignored_fields, pagination, preferences
from core.http.fields import RequestSerializer
from core.http.operations import JSON_LINES, operation_of
from core.http.pagination import Page, Rows
from core.http.problems import Problem, problem_of
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, envelope, error_body, problem_envelope
from core.http.rest import FormDataParser, StrictJSONParser
from core.http.serializers import shared_serializer
from core.listing import LogList
from core.revisions import HasRevision


class BaseView(APIView):
    """The base of all views: the actor, validated input, responses in the surface's shape, and one error handler."""

    enveloped: ClassVar[bool] = False
    summaries: ClassVar[Mapping[str, str]] = {}  # by HTTP method, in place of those in @operation

    # Without OPTIONS: preflights are answered by the CORS middleware.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def actor(self) -> Actor:
        """The sender of the request: the signed-in person, or anonymous in a view that needs no token."""
        context = RequestContext.of(self.request)
        user = cast(AbstractBaseUser | None, self.request.user)
        if user is None:
            return Actor(
                kind=ActorKind.ANONYMOUS,
                request_id=context.request_id,
                address=context.address,
                language=self.client_language,
            )
        auth = cast(str | TokenGrant | None, self.request.auth)
        token = auth if isinstance(auth, TokenGrant) else None
        return Actor(
            kind=ActorKind.USER,
            id=user.pk,
            label=user.get_username(),
            request_id=context.request_id,
            address=context.address,
            session_id=None if isinstance(auth, TokenGrant) else auth,
            token=token,
            language=self.client_language,
        )

    def check_permissions(self, request: Request) -> None:
        """Raise Forbidden also for a personal access token, unless the method's `@operation` takes it."""
        super().check_permissions(request)
        if isinstance(request.auth, TokenGrant) and request.method in self.allowed_methods:
            needed = operation_of(self, "GET" if request.method == "HEAD" else request.method).token
            if needed is None:
                raise Forbidden(_("A personal access token cannot do this; sign in instead"))
            if not request.auth.allows(needed):
                raise ReadOnlyToken

    @property
    def client_language(self) -> str:
        """The language that the client asked for, which that of the response need not be."""
        return translation.get_language() or ""

    @property
    def raw_data(self) -> Any:
        """The parsed body, not validated. Raise ParseError if there is none."""
        data = self.request.data
        if self.request.stream is None:
            raise ParseError(_("The body is missing"))
        return data

    def validated_data(self, serializer: type[RequestSerializer]) -> Any:
        """Return the validated body. Fields that were not sent are absent. The response names those it ignored."""
        shared, data = shared_serializer(serializer), self.raw_data
        values: dict[str, Any] = shared.run_validation(data)
        if ignored := ignored_fields.header_value(shared.ignored_fields(data, values)):
            self.headers[ignored_fields.HEADER] = ignored
        return values

    def validated_query(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the validated query parameters."""
        values: dict[str, Any] = dict(shared_serializer(serializer).run_validation(self.request.query_params.dict()))
        return values

    def validated_list_query(self, serializer: type[Serializer[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the validated query parameters of a list: its filters, and the part of it to return."""
        query = self.validated_query(serializer)
        part = {name: query.pop(name) for name in pagination.PARAMETERS & query.keys()}
        return query, part

    def run_idempotent(self, act: Callable[[], Any]) -> Any:
        """Return the JSON that `act` returns, or under a repeated Idempotency-Key what it returned the first time."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return act()
        request = f"{self.request.method} {self.request.path.rstrip('/')}"
        return idempotency.run_once(actor=self.actor, key=key, request=request, body=self.raw_data, operation=act)

    def handle_exception(self, exc: Exception) -> Response:
        problem = problem_of(exc)
        if problem is None:
            raise exc
        response = Response(self.problem_body(problem), status=problem.status, headers=problem.headers)
        response.exception = True
        return response

    def respond(
        self, data: Any, *, message: Text, tenant_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Respond with `data` in the surface's shape. Only the envelope has the message and the tenant."""
        raise NotImplementedError

    def respond_list(
        self,
        rows: QuerySet[Any] | Rows,
        serializer: type[Serializer[Any]],
        part: Mapping[str, Any],
        *,
        message: Text,
        tenant_id: str | None = None,
        key: str = "id",
    ) -> Response:
        """Respond with the part of a list that `validated_list_query` returned. `key` is the attribute with the id."""
        page = self.paginate(rows, serializer, key=key, **part)
        return self.respond(page.data, message=message, tenant_id=tenant_id, headers=page.headers)

    def paginate(self, rows: QuerySet[Any] | Rows, serializer: type[Serializer[Any]], **part: Any) -> Page:
        """Return the part of a list in the surface's shape."""
        raise NotImplementedError

    def respond_deleted(self, data: Any, *, message: Text, tenant_id: str) -> Response:
        """Respond that an object is deleted. Only the envelope has `data`."""
        raise NotImplementedError

    @property
    def if_match(self) -> Container[int] | None:
        """The versions that `If-Match` allows the write on; None without it. Raise Invalid if it is malformed."""
        return conditional.expected_versions(self.request._request)

    @property
    def is_strict(self) -> bool:
        """The preference of the request that warnings are errors. Reading it makes the response say it was applied."""
        is_strict = preferences.is_strict(self.request._request)
        if is_strict:
            self.headers[preferences.APPLIED] = preferences.STRICT
        return is_strict

    def respond_revised(
        self,
        data: Mapping[str, Any],
        *,
        message: Text,
        tenant_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Respond with an object, and the ETag of its `revision`."""
        headers = {**conditional.revision_header(data), **(headers or {})}
        return self.respond(data, message=message, tenant_id=tenant_id, headers=headers)

    def respond_conditionally(
        self, row: HasRevision, serializer: type[Serializer[Any]], *, message: Text, tenant_id: str | None = None
    ) -> Response:
        """Respond with an object and its ETag, or with 304 if `If-None-Match` names that.

        Not for an object that shows more than its revision covers, such as a key with its uses.
        """
        if conditional.is_unchanged(self.request._request, str(row.revision)):
            return self.not_modified(str(row.revision))
        shown = shared_serializer(serializer).to_representation(row)
        return self.respond_revised(shown, message=message, tenant_id=tenant_id)

    def not_modified(self, etag: str) -> Response:
        """Respond with 304: the client has this state already."""
        return Response(status=304, headers={"ETag": conditional.quoted(etag)})

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        """Return the body of an error in the surface's shape."""
        raise NotImplementedError


class V1View(BaseView):
    """A view in v1's shape: the bare data, and errors as `{"detail", "code"}`."""

    def respond(
        self, data: Any, *, message: Text, tenant_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        return Response(data, headers=headers)

    def paginate(self, rows: QuerySet[Any] | Rows, serializer: type[Serializer[Any]], **part: Any) -> Page:
        return pagination.list_page(rows, serializer, **part)

    def respond_deleted(self, data: Any, *, message: Text, tenant_id: str) -> Response:
        return Response(status=204)

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        return error_body(problem)


class AnonymousView(V1View):
    """A v1 view that needs no token: registration, login, probes."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


# For views that also take a form, as OAuth2's password flow or a browser's `FormData` sends it.
FORM_OR_JSON = (StrictJSONParser, FormParser, FormDataParser)


class V2View(BaseView):
    """A view in v2's shape, the envelope, which parts of the public surface have too."""

    enveloped = True
    client_language = ""  # set by `dispatch`, before it overrides the language

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.client_language = translation.get_language() or ""
        with translation.override(ENVELOPE_LANGUAGE):
            return super().dispatch(request, *args, **kwargs)

    def respond(
        self, data: Any, *, message: Text, tenant_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        context = RequestContext.of(self.request)
        body = envelope(context, success=True, message=message, data=data, tenant_id=tenant_id)
        return Response(body, headers=headers)

    def paginate(self, rows: QuerySet[Any] | Rows, serializer: type[Serializer[Any]], **part: Any) -> Page:
        return pagination.numbered_page(rows, serializer, **part)

    def respond_log(
        self,
        rows: QuerySet[Any],
        serializer: type[Serializer[Any]],
        part: Mapping[str, Any],
        *,
        message: Text,
        tenant_id: str,
        key: str = "id",
    ) -> Response | HttpResponse:
        """Respond with the part of a log that `validated_list_query` returned, as items or as JSON Lines.

        It is never counted, because that would take as long as the log is.
        """
        found = pagination.slice_rows(LogList(rows), limit=part["limit"], after=part.get("after"), key=key)
        represent = shared_serializer(serializer).to_representation
        shown: list[Any] = [represent(row) for row in found.rows]
        if part["format"] == "jsonl":
            lines = b"".join(orjson.dumps(item) + b"\n" for item in shown)
            return HttpResponse(lines, content_type=JSON_LINES, headers=pagination.next_cursor_header(found))
        page = {"items": shown, "next_after": found.next_after}
        return self.respond(page, message=message, tenant_id=tenant_id)

    def respond_deleted(self, data: Any, *, message: Text, tenant_id: str) -> Response:
        return self.respond(data, message=message, tenant_id=tenant_id)

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        return problem_envelope(RequestContext.of(self.request), problem)


class InternalAccessMixin(BaseView):
    """Access for everybody who reaches the internal port, without a token or a password."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @property
    def actor(self) -> Actor:
        context = RequestContext.of(self.request)
        return Actor(kind=ActorKind.INTERNAL, request_id=context.request_id, address=context.address)


class InternalV2View(InternalAccessMixin, V2View):
    """A v2 view of the internal surface."""


class InternalV1View(InternalAccessMixin, V1View):
    """A view of the internal surface in v1's shape, for the paths that never had an envelope."""

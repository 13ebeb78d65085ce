"""The base views, one for each door.

A view translates: it gives the input its shape, asks a gate and a service, and shapes the answer.
Every view denies by default; `InternalV2View` is the one place that lets in without a token, because
reaching its port is the proof (docs/contract.md section 1), and `AnonymousView` serves those who have none yet.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import cache
from typing import Any, ClassVar, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from core import idempotency
from core.actor import Actor, ActorKind
from core.errors import Text
from core.http import conditional, preferences
from core.http.problems import Problem, problem_of
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, envelope, error_body, problem_envelope
from core.http.rest import FormDataParser, StrictJSONParser
from core.revisions import Revised


class BaseView(APIView):
    """What all views share: the actor, checked input, one way to fail."""

    enveloped: ClassVar[bool] = False

    # Without OPTIONS: preflights are answered by the CORS middleware.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def actor(self) -> Actor:
        """Who asks; of a view that needs a token, the signed-in person."""
        scope = RequestContext.of(self.request)
        user = cast(AbstractBaseUser | None, self.request.user)
        if user is None:
            return Actor(kind=ActorKind.ANONYMOUS, request_id=scope.request_id, address=scope.address)
        return Actor(
            kind=ActorKind.USER,
            id=user.pk,
            label=user.get_username(),
            request_id=scope.request_id,
            address=scope.address,
        )

    @property
    def raw_data(self) -> Any:
        """The parsed body, as it was sent; to send none raises ParseError."""
        data = self.request.data
        if self.request.stream is None:
            raise ParseError(_("The body is missing"))
        return data

    def validated_data(self, serializer: type[Serializer[Any]]) -> Any:
        """The checked body; fields that were not sent are absent."""
        return self._checked(serializer, self.raw_data)

    def validated_query(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The checked query parameters."""
        values: dict[str, Any] = dict(_checker(serializer).run_validation(self.request.query_params.dict()))
        return values

    def run_idempotent(self, act: Callable[[], Any]) -> Any:
        """What `act` answers (JSON); or what it answered to this request before, under its Idempotency-Key."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return act()
        request = f"{self.request.method} {self.request.path.rstrip('/')}"
        return idempotency.run_once(actor=self.actor, key=key, request=request, body=self.raw_data, operation=act)

    @staticmethod
    def _checked(serializer: type[Serializer[Any]], data: Any) -> dict[str, Any]:
        checked = serializer(data=data)
        checked.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(checked.validated_data)
        return values

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
        """A success, in the shape of the door; only the envelope has a message and a tenant."""
        raise NotImplementedError

    @property
    def if_match(self) -> Container[int] | None:
        """The versions that `If-Match` allows the write on, None for any. Raise Invalid for what names no ETag."""
        return conditional.expected_versions(self.request._request)

    @property
    def is_strict(self) -> bool:
        """Return whether warnings refuse this request, as it prefers; the response tells that it was heeded."""
        found = preferences.is_strict(self.request._request)
        if found:
            self.headers[preferences.APPLIED] = preferences.STRICT
        return found

    def respond_revised(
        self,
        data: Mapping[str, Any],
        *,
        message: Text,
        tenant_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Respond with an object, which has its `revision`, under its ETag."""
        headers = {**conditional.revision_header(data), **(headers or {})}
        return self.respond(data, message=message, tenant_id=tenant_id, headers=headers)

    def respond_conditionally(
        self, row: Revised, serializer: type[Serializer[Any]], *, message: Text, tenant_id: str | None = None
    ) -> Response:
        """Respond with an object under its ETag; with 304 where `If-None-Match` names that.

        Not for what shows more than its revision covers, such as a key with its uses.
        """
        if conditional.is_unchanged(self.request._request, str(row.revision)):
            return self.not_modified(str(row.revision))
        return self.respond_revised(serializer(row).data, message=message, tenant_id=tenant_id)

    def not_modified(self, etag: str) -> Response:
        """Respond that the client has this state already."""
        return Response(status=304, headers={"ETag": conditional.quoted(etag)})

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        raise NotImplementedError


@cache
def _checker(serializer: type[Serializer[Any]]) -> Serializer[Any]:
    """One for all requests: checking leaves nothing in it, and to make one takes longer than to check."""
    return serializer()


class V1View(BaseView):
    """v1: the bare answer, and errors as `{"detail", "code"}`."""

    def respond(
        self, data: Any, *, message: Text, tenant_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        return Response(data, headers=headers)

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        return error_body(problem)


class AnonymousView(V1View):
    """v1 before sign-in: registration, login, probes."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


# Of views that also take a form, as OAuth2's password flow or a browser's `FormData` sends it.
FORM_OR_JSON = (StrictJSONParser, FormParser, FormDataParser)


class V2View(BaseView):
    """v2's envelope, whichever surface it is served on."""

    enveloped = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with translation.override(ENVELOPE_LANGUAGE):
            return super().dispatch(request, *args, **kwargs)

    def respond(
        self, data: Any, *, message: Text, tenant_id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        scope = RequestContext.of(self.request)
        whole = envelope(scope, success=True, message=message, data=data, tenant_id=tenant_id)
        return Response(whole, headers=headers)

    def problem_body(self, problem: Problem) -> dict[str, Any]:
        return problem_envelope(RequestContext.of(self.request), problem)


class InternalAccessMixin(BaseView):
    """Lets in whoever reached the internal port. The only door without a token or a password."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @property
    def actor(self) -> Actor:
        scope = RequestContext.of(self.request)
        return Actor(
            kind=ActorKind.INTERNAL, label=str(_("internal API")), request_id=scope.request_id, address=scope.address
        )


class InternalV2View(InternalAccessMixin, V2View):
    """v2 on the internal surface."""


class InternalV1View(InternalAccessMixin, V1View):
    """The internal surface's paths that never had an envelope."""

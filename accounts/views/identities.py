"""Views of sign-in by OpenID Connect, and of one's identities there."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.access import identities_of
from accounts.models import User
from accounts.serializers import (
    IdentityResponse,
    IdentityStartRequest,
    OidcFinishRequest,
    OidcLinkRequest,
    OidcStartRequest,
    OidcStartResponse,
    SecondFactorResponse,
    SignInWaysResponse,
    TokenResponse,
)
from accounts.services import StartedFlow
from accounts.views.sign_in import NoStoreMixin, sign_in
from core.http.fields import SliceQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import AnonymousView, V1View


def _start_response(started: StartedFlow) -> Response:
    return Response({**OidcStartResponse(started).data})


class SignInWaysView(AnonymousView):
    @operation("Read how one may sign in", tag="auth", response=SignInWaysResponse, offline=True)
    def get(self, request: Request) -> Response:
        ways = {"password_login": settings.PASSWORD_LOGIN, "providers": settings.OIDC_PROVIDERS.values()}
        return Response({**SignInWaysResponse(ways).data})


class OidcStartView(NoStoreMixin, AnonymousView):
    @operation(
        "Begin to sign in by a provider",
        tag="auth",
        request=OidcStartRequest,
        response=OidcStartResponse,
        errors=(404, 429),
    )
    def post(self, request: Request, provider: str) -> Response:
        data = self.validated_data(OidcStartRequest)
        return _start_response(services.start_flow(actor=self.actor, provider_id=provider, **data))


class OidcLinkView(NoStoreMixin, AnonymousView):
    @operation(
        "Link an identity to the account with its e-mail address, and sign in",
        tag="auth",
        request=OidcLinkRequest,
        response=TokenResponse,
        errors=(409, 429),
        extra_responses={403: SecondFactorResponse},
    )
    def post(self, request: Request) -> Response:
        return sign_in(self, services.link_identity(actor=self.actor, **self.validated_data(OidcLinkRequest)))


class IdentityListView(V1View):
    @operation(
        "List the identities that one signs in with, the latest first",
        tag="auth",
        query=SliceQuerySerializer,
        response=ListOf(IdentityResponse),
    )
    def get(self, request: Request) -> Response:
        part = self.validated_query(SliceQuerySerializer)
        return self.respond_list(identities_of(self.actor), IdentityResponse, part, message=_("Identities listed"))


class IdentityStartView(NoStoreMixin, V1View):
    @operation(
        "Begin to add an identity to sign in with",
        tag="auth",
        request=IdentityStartRequest,
        response=OidcStartResponse,
        errors=(404, 429),
    )
    def post(self, request: Request, provider: str) -> Response:
        assert isinstance(request.user, User)
        data = self.validated_data(IdentityStartRequest)
        return _start_response(services.start_flow(actor=self.actor, provider_id=provider, user=request.user, **data))


class IdentityFinishView(NoStoreMixin, V1View):
    @operation(
        "Add an identity to sign in with",
        tag="auth",
        request=OidcFinishRequest,
        response=IdentityResponse,
        errors=(404, 409, 429),
    )
    def post(self, request: Request, provider: str) -> Response:
        assert isinstance(request.user, User)
        data = self.validated_data(OidcFinishRequest)
        proven = services.finish_flow(actor=self.actor, provider_id=provider, user=request.user, **data)
        identity = services.add_identity(actor=self.actor, user=request.user, proven=proven)
        return Response({**IdentityResponse(identity).data})


class IdentityDetailView(V1View):
    @operation("Remove one of one's identities", tag="auth", response=None, status=204, errors=(404, 409))
    def delete(self, request: Request, identity_id: str) -> Response:
        services.remove_identity(actor=self.actor, identity_id=identity_id)
        return Response(status=204)

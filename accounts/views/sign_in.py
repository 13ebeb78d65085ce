"""Views of sign-in with a password, a second factor or a passkey, of tokens, and of sessions."""

from __future__ import annotations

from dataclasses import asdict

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.access import sessions_of
from accounts.models import User
from accounts.serializers import (
    FactorRequest,
    LoginRequest,
    PasskeyOptionsResponse,
    PasskeySignInRequest,
    RefreshRequest,
    SecondFactorResponse,
    SessionResponse,
    TokenResponse,
)
from accounts.tokens import TokenPair
from core.http.fields import SliceQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import FORM_OR_JSON, AnonymousView, V1View


class NoStoreMixin(APIView):
    """A view whose responses, errors among them, no cache keeps."""

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {**super().default_response_headers, "Cache-Control": "no-store"}


def token_response(pair: TokenPair) -> Response:
    """Return the response to a sign-in."""
    return Response({**TokenResponse({**asdict(pair), "token_type": "bearer"}).data})


def sign_in(view: V1View, user: User) -> Response:
    """Sign in the user who sent a request, and return its response."""
    device = view.request.headers.get("User-Agent", "")
    return token_response(services.sign_in(actor=view.actor, user=user, device=device))


class LoginView(NoStoreMixin, AnonymousView):
    parser_classes = FORM_OR_JSON

    @operation(
        "Sign in",
        tag="auth",
        request=LoginRequest,
        response=TokenResponse,
        errors=(429,),
        extra_responses={403: SecondFactorResponse},
    )
    def post(self, request: Request) -> Response:
        user = services.authenticate(**self.validated_data(LoginRequest), address=self.actor.address)
        return sign_in(self, user)


class FactorView(NoStoreMixin, AnonymousView):
    @operation(
        "Complete a sign-in by a second factor",
        tag="auth",
        request=FactorRequest,
        response=TokenResponse,
        errors=(401, 409, 429),
    )
    def post(self, request: Request) -> Response:
        device = request.headers.get("User-Agent", "")
        pair = services.use_factor(actor=self.actor, device=device, **self.validated_data(FactorRequest))
        return token_response(pair)


class PasskeyOptionsView(NoStoreMixin, AnonymousView):
    @operation(
        "Ask for the options of a sign-in by a passkey alone",
        tag="auth",
        response=PasskeyOptionsResponse,
        errors=(409,),
        offline=True,
    )
    def post(self, request: Request) -> Response:
        return Response(PasskeyOptionsResponse(services.request_passkey()).data)


class PasskeySignInView(NoStoreMixin, AnonymousView):
    @operation(
        "Sign in by a passkey alone",
        tag="auth",
        request=PasskeySignInRequest,
        response=TokenResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        device = request.headers.get("User-Agent", "")
        pair = services.sign_in_by_passkey(actor=self.actor, device=device, **self.validated_data(PasskeySignInRequest))
        return token_response(pair)


class TokenRefreshView(NoStoreMixin, AnonymousView):
    @operation(
        "Trade a refresh token for new tokens",
        tag="auth",
        request=RefreshRequest,
        response=TokenResponse,
        errors=(401,),
    )
    def post(self, request: Request) -> Response:
        return token_response(services.refresh(**self.validated_data(RefreshRequest)))


class LogoutView(AnonymousView):
    @operation("Sign out", tag="auth", request=RefreshRequest, response=None, status=204, errors=(401,))
    def post(self, request: Request) -> Response:
        services.sign_out(actor=self.actor, **self.validated_data(RefreshRequest))
        return Response(status=204)


class SessionListView(V1View):
    @operation(
        "List one's sessions, the latest sign-in first",
        tag="auth",
        query=SliceQuerySerializer,
        response=ListOf(SessionResponse),
    )
    def get(self, request: Request) -> Response:
        is_current = ExpressionWrapper(Q(pk=request.auth), output_field=BooleanField())
        rows = sessions_of(self.actor).annotate(is_current=is_current)
        part = self.validated_query(SliceQuerySerializer)
        return self.respond_list(rows, SessionResponse, part, message=_("Sessions listed"))

    @operation("End all one's other sessions", tag="auth", response=None, status=204)
    def delete(self, request: Request) -> Response:
        assert isinstance(request.auth, str)
        services.end_other_sessions(actor=self.actor, keep=request.auth)
        return Response(status=204)


class SessionDetailView(V1View):
    @operation("End one of one's sessions", tag="auth", response=None, status=204, errors=(404,))
    def delete(self, request: Request, session_id: str) -> Response:
        services.end_session(actor=self.actor, session_id=session_id)
        return Response(status=204)

"""Views of sign-in, of the password, and of the confirmation of e-mail addresses."""

from __future__ import annotations

from dataclasses import asdict

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import services
from accounts.access import identities_of, sessions_of
from accounts.models import User
from accounts.serializers import (
    ConfirmationRequest,
    EmailVerificationRequest,
    FactorItemResponse,
    FactorRequest,
    FactorsResponse,
    ForgottenPasswordRequest,
    IdentityResponse,
    IdentityStartRequest,
    LoginRequest,
    MailRequestedResponse,
    OidcFinishRequest,
    OidcLinkRequest,
    OidcStartRequest,
    OidcStartResponse,
    PasskeyAddedResponse,
    PasskeyConfirmRequest,
    PasskeyNameRequest,
    PasskeyOptionsResponse,
    PasskeySignInRequest,
    PasswordRequest,
    PasswordResetRequest,
    RecoveryCodesResponse,
    RefreshRequest,
    SecondFactorResponse,
    SessionResponse,
    SignInWaysResponse,
    TokenResponse,
    TotpConfirmRequest,
    TotpEnrolmentResponse,
)
from accounts.services import StartedFlow
from accounts.tokens import TokenPair
from core.http.fields import SliceQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import FORM_OR_JSON, AnonymousView, V1View


class UncachedMixin(APIView):
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


class LoginView(UncachedMixin, AnonymousView):
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


class FactorView(UncachedMixin, AnonymousView):
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


class PasskeyOptionsView(UncachedMixin, AnonymousView):
    @operation(
        "Ask for the options of a sign-in by a passkey alone",
        tag="auth",
        response=PasskeyOptionsResponse,
        errors=(409,),
        offline=True,
    )
    def post(self, request: Request) -> Response:
        return Response(PasskeyOptionsResponse(services.request_passkey()).data)


class PasskeySignInView(UncachedMixin, AnonymousView):
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


class TokenRefreshView(UncachedMixin, AnonymousView):
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


class PasswordChangeView(V1View):
    @operation(
        "Change the password; all other sessions end",
        tag="auth",
        request=PasswordRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        assert isinstance(request.auth, str)
        services.change_password(
            actor=self.actor, user=request.user, keep_session=request.auth, **self.validated_data(PasswordRequest)
        )
        return Response(status=204)


class FactorListView(UncachedMixin, V1View):
    @operation("Show one's second factors", tag="auth", response=FactorsResponse)
    def get(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        return Response(FactorsResponse(services.factors_of(request.user)).data)


class TotpView(UncachedMixin, V1View):
    @operation(
        "Begin to add an authenticator app; it counts when a code confirms it",
        tag="auth",
        request=ConfirmationRequest,
        response=TotpEnrolmentResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        enrolment = services.begin_totp(actor=self.actor, user=request.user, **self.validated_data(ConfirmationRequest))
        return Response(TotpEnrolmentResponse(enrolment).data)


class TotpConfirmView(UncachedMixin, V1View):
    @operation(
        "Confirm an authenticator app by a code; the first factor comes with recovery codes",
        tag="auth",
        request=TotpConfirmRequest,
        response=RecoveryCodesResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        codes = services.confirm_totp(actor=self.actor, user=request.user, **self.validated_data(TotpConfirmRequest))
        return Response({"recovery_codes": codes})


class TotpRemoveView(UncachedMixin, V1View):
    @operation(
        "Remove one's authenticator app, and with the last factor the recovery codes",
        tag="auth",
        request=ConfirmationRequest,
        response=None,
        status=204,
        errors=(404, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        services.remove_totp(actor=self.actor, user=request.user, **self.validated_data(ConfirmationRequest))
        return Response(status=204)


class PasskeyListView(UncachedMixin, V1View):
    @operation(
        "Begin to add a passkey: get the options for the browser",
        tag="auth",
        request=ConfirmationRequest,
        response=PasskeyOptionsResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        begun = services.begin_passkey(actor=self.actor, user=request.user, **self.validated_data(ConfirmationRequest))
        return Response(PasskeyOptionsResponse(begun).data)


class PasskeyConfirmView(UncachedMixin, V1View):
    @operation(
        "Add the passkey that the browser made; the first factor comes with recovery codes",
        tag="auth",
        request=PasskeyConfirmRequest,
        response=PasskeyAddedResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        added = services.add_passkey(actor=self.actor, user=request.user, **self.validated_data(PasskeyConfirmRequest))
        return Response(PasskeyAddedResponse(added).data)


class PasskeyDetailView(UncachedMixin, V1View):
    @operation(
        "Rename one of one's passkeys",
        tag="auth",
        request=PasskeyNameRequest,
        response=FactorItemResponse,
        errors=(404,),
    )
    def patch(self, request: Request, passkey_id: str) -> Response:
        assert isinstance(request.user, User)
        renamed = services.rename_passkey(
            actor=self.actor, user=request.user, passkey_id=passkey_id, **self.validated_data(PasskeyNameRequest)
        )
        return Response(FactorItemResponse(renamed).data)


class PasskeyRemoveView(UncachedMixin, V1View):
    @operation(
        "Remove one of one's passkeys, and with the last factor the recovery codes",
        tag="auth",
        request=ConfirmationRequest,
        response=None,
        status=204,
        errors=(404, 429),
    )
    def post(self, request: Request, passkey_id: str) -> Response:
        assert isinstance(request.user, User)
        services.remove_passkey(
            actor=self.actor, user=request.user, passkey_id=passkey_id, **self.validated_data(ConfirmationRequest)
        )
        return Response(status=204)


class RecoveryCodesView(UncachedMixin, V1View):
    @operation(
        "Replace one's recovery codes",
        tag="auth",
        request=ConfirmationRequest,
        response=RecoveryCodesResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        codes = services.renew_recovery_codes(
            actor=self.actor, user=request.user, **self.validated_data(ConfirmationRequest)
        )
        return Response({"recovery_codes": codes})


class PasswordForgottenView(AnonymousView):
    @operation(
        "Ask for a link to set a new password",
        tag="auth",
        request=ForgottenPasswordRequest,
        response=MailRequestedResponse,
        status=202,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.request_reset(actor=self.actor, **self.validated_data(ForgottenPasswordRequest))
        message = gettext("If an account has this address, a mail with a link is on its way")
        return Response({"message": message}, status=202)


class PasswordResetView(AnonymousView):
    @operation(
        "Set a new password by the token of a link; all sessions end",
        tag="auth",
        request=PasswordResetRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.reset_password(actor=self.actor, **self.validated_data(PasswordResetRequest))
        return Response(status=204)


class EmailVerificationView(V1View):
    @operation(
        "Ask again for the link that confirms one's e-mail address",
        tag="auth",
        response=MailRequestedResponse,
        status=202,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        services.request_verification(actor=self.actor, user=request.user)
        return Response({"message": gettext("A mail with a link is on its way")}, status=202)


class EmailVerifyView(AnonymousView):
    @operation(
        "Confirm an e-mail address by the token of a link",
        tag="auth",
        request=EmailVerificationRequest,
        response=None,
        status=204,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        services.verify_email(actor=self.actor, **self.validated_data(EmailVerificationRequest))
        return Response(status=204)


def _start_response(started: StartedFlow) -> Response:
    return Response({**OidcStartResponse(started).data}, headers={"Cache-Control": "no-store"})


class SignInWaysView(AnonymousView):
    @operation("Read how one may sign in", tag="auth", response=SignInWaysResponse, offline=True)
    def get(self, request: Request) -> Response:
        ways = {"password_login": settings.PASSWORD_LOGIN, "providers": settings.OIDC_PROVIDERS.values()}
        return Response({**SignInWaysResponse(ways).data})


class OidcStartView(UncachedMixin, AnonymousView):
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


class OidcLinkView(UncachedMixin, AnonymousView):
    @operation(
        "Link an identity to the account with its e-mail address, and sign in",
        tag="auth",
        request=OidcLinkRequest,
        response=TokenResponse,
        errors=(409, 429),
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


class IdentityStartView(V1View):
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


class IdentityFinishView(V1View):
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

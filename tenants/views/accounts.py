"""Views of registration with a personal tenant, and of the profile with its memberships."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services as accounts
from accounts.models import User
from accounts.serializers import (
    AccountClosureRequest,
    IdentityRefusalResponse,
    OidcFinishRequest,
    ProfileRequest,
    RegisterRequest,
    TokenResponse,
    UserResponse,
)
from accounts.views.sign_in import NoStoreMixin, sign_in
from core.actor import Actor, TokenScope
from core.http.operations import operation
from core.http.serializers import shared_serializer
from core.http.views import AnonymousView, V1View
from tenants import services
from tenants.serializers import AccountClosureConflictResponse, ProfileResponse


class RegisterView(AnonymousView):
    @operation(
        "Register, with a personal tenant",
        tag="auth",
        request=RegisterRequest,
        response=UserResponse,
        errors=(409, 429),
    )
    def post(self, request: Request) -> Response:
        user = services.register(actor=self.actor, **self.validated_data(RegisterRequest))
        return Response(UserResponse(user).data)


class OidcFinishView(NoStoreMixin, AnonymousView):
    @operation(
        "Finish to sign in by a provider",
        tag="auth",
        request=OidcFinishRequest,
        response=TokenResponse,
        errors=(404, 409, 429),
        extra_responses={403: IdentityRefusalResponse},
    )
    def post(self, request: Request, provider: str) -> Response:
        proven = accounts.finish_flow(actor=self.actor, provider_id=provider, **self.validated_data(OidcFinishRequest))
        return sign_in(self, services.sign_in_by_identity(actor=self.actor, proven=proven))


class ProfileView(V1View):
    @operation("Who is signed in", tag="auth", response=ProfileResponse, token=TokenScope.READ)
    def get(self, request: Request) -> Response:
        return _profile_response(self.actor, request.user)

    @operation(
        "Change one's e-mail address, or switch mails about keys off",
        tag="auth",
        request=ProfileRequest,
        response=ProfileResponse,
        errors=(429,),
    )
    def patch(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        changes = self.validated_data(ProfileRequest)
        password = changes.pop("password", None)
        user = accounts.update_profile(actor=self.actor, user=request.user, changes=changes, password=password)
        return _profile_response(self.actor, user)


class AccountClosureView(V1View):
    @operation(
        "Close one's account",
        tag="auth",
        request=AccountClosureRequest,
        response=None,
        status=204,
        errors=(429,),
        extra_responses={409: AccountClosureConflictResponse},
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        body = self.validated_data(AccountClosureRequest)
        services.close_account(actor=self.actor, user=request.user, password=body.get("password"))
        return Response(status=204)


def _profile_response(actor: Actor, user: Any) -> Response:
    profile = {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "pending_email": user.pending_email,
        "key_notices": user.key_notices,
        "memberships": services.memberships_of(actor),
    }
    return Response(shared_serializer(ProfileResponse).to_representation(profile))

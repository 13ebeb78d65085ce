"""Views of one's personal access tokens, which may be for one of one's tenants."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.access import personal_tokens_of
from accounts.models import User
from accounts.serializers import (
    CreatedPersonalTokenResponse,
    PersonalTokenNameRequest,
    PersonalTokenRequest,
    PersonalTokenResponse,
)
from accounts.views.sign_in import NoStoreMixin
from core.http.fields import SliceQuerySerializer
from core.http.operations import ListOf, operation
from core.http.views import V1View
from tenants import services as tenants


class TokenListView(NoStoreMixin, V1View):
    @operation(
        "List one's personal access tokens, the latest first",
        tag="auth",
        query=SliceQuerySerializer,
        response=ListOf(PersonalTokenResponse),
    )
    def get(self, request: Request) -> Response:
        part = self.validated_query(SliceQuerySerializer)
        return self.respond_list(
            personal_tokens_of(self.actor), PersonalTokenResponse, part, message=_("Personal access tokens listed")
        )

    @operation(
        "Create a personal access token, which is shown this once",
        tag="auth",
        request=PersonalTokenRequest,
        response=CreatedPersonalTokenResponse,
        errors=(404, 409, 429),
    )
    def post(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        body = self.validated_data(PersonalTokenRequest)
        created = tenants.create_personal_token(actor=self.actor, user=request.user, **body)
        return Response({**PersonalTokenResponse(created.row).data, "token": created.token})


class TokenDetailView(V1View):
    @operation("Read one of one's personal access tokens", tag="auth", response=PersonalTokenResponse, errors=(404,))
    def get(self, request: Request, token_id: str) -> Response:
        return Response(PersonalTokenResponse(services.get_token(self.actor, token_id)).data)

    @operation(
        "Rename one of one's personal access tokens",
        tag="auth",
        request=PersonalTokenNameRequest,
        response=PersonalTokenResponse,
        errors=(404,),
    )
    def patch(self, request: Request, token_id: str) -> Response:
        body = self.validated_data(PersonalTokenNameRequest)
        return Response(PersonalTokenResponse(services.rename_token(actor=self.actor, token_id=token_id, **body)).data)

    @operation("Revoke one of one's personal access tokens", tag="auth", response=None, status=204, errors=(404,))
    def delete(self, request: Request, token_id: str) -> Response:
        services.revoke_token(actor=self.actor, token_id=token_id)
        return Response(status=204)

"""Views of one's second factors and passkeys."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.models import User
from accounts.serializers import (
    ConfirmationRequest,
    FactorItemResponse,
    FactorsResponse,
    PasskeyAddedResponse,
    PasskeyConfirmRequest,
    PasskeyNameRequest,
    PasskeyOptionsResponse,
    RecoveryCodesResponse,
    TotpConfirmRequest,
    TotpEnrolmentResponse,
)
from accounts.views.sign_in import NoStoreMixin
from core.http.operations import operation
from core.http.views import V1View


class FactorListView(NoStoreMixin, V1View):
    @operation("Show one's second factors", tag="auth", response=FactorsResponse)
    def get(self, request: Request) -> Response:
        assert isinstance(request.user, User)
        return Response(FactorsResponse(services.factors_of(request.user)).data)


class TotpView(NoStoreMixin, V1View):
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


class TotpConfirmView(NoStoreMixin, V1View):
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


class TotpRemoveView(NoStoreMixin, V1View):
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


class PasskeyListView(NoStoreMixin, V1View):
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


class PasskeyConfirmView(NoStoreMixin, V1View):
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


class PasskeyDetailView(NoStoreMixin, V1View):
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


class PasskeyRemoveView(NoStoreMixin, V1View):
    @operation(
        "Remove one of one's passkeys, and with the last factor the recovery codes",
        tag="auth",
        request=ConfirmationRequest,
        response=None,
        status=204,
        errors=(404, 409, 429),
    )
    def post(self, request: Request, passkey_id: str) -> Response:
        assert isinstance(request.user, User)
        services.remove_passkey(
            actor=self.actor, user=request.user, passkey_id=passkey_id, **self.validated_data(ConfirmationRequest)
        )
        return Response(status=204)


class RecoveryCodesView(NoStoreMixin, V1View):
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

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.services.methods import METHODS
from core.http.fields import ChoiceField, RequestSerializer, StrictCharField


class RegisterRequest(RequestSerializer):
    username = StrictCharField(max_length=100)
    password = StrictCharField(max_length=1024, trim_whitespace=False)
    email = StrictCharField(max_length=254, required=False, allow_blank=True)


class LoginRequest(RequestSerializer):
    username = StrictCharField(max_length=300)
    password = StrictCharField(max_length=1024, trim_whitespace=False)


class FactorRequest(RequestSerializer):
    challenge = StrictCharField(max_length=100, help_text="From the response to the sign-in.")
    method = ChoiceField(choices=list(METHODS))
    code = StrictCharField(max_length=100, help_text="The six digits that the app shows, or a recovery code.")


class ConfirmationRequest(RequestSerializer):
    password = StrictCharField(max_length=1024, trim_whitespace=False, required=False)


class TotpConfirmRequest(RequestSerializer):
    code = StrictCharField(max_length=100, help_text="The six digits that the app shows.")


class RefreshRequest(RequestSerializer):
    refresh_token = StrictCharField(max_length=4096)


class PasswordRequest(RequestSerializer):
    old_password = StrictCharField(max_length=1024, trim_whitespace=False)
    new_password = StrictCharField(max_length=1024, trim_whitespace=False)


class ForgottenPasswordRequest(RequestSerializer):
    email = StrictCharField(max_length=254)


class PasswordResetRequest(RequestSerializer):
    token = StrictCharField(max_length=100, help_text="From the link in the mail.")
    new_password = StrictCharField(max_length=1024, trim_whitespace=False)


class EmailVerificationRequest(RequestSerializer):
    token = StrictCharField(max_length=100, help_text="From the link in the mail.")


class ProfileRequest(RequestSerializer):
    clearable = frozenset({"email"})

    email = StrictCharField(max_length=254, required=False, allow_blank=True)
    password = StrictCharField(
        max_length=1024,
        trim_whitespace=False,
        required=False,
        help_text="Needed to change a verified address, where mail is set up.",
    )


class OidcStartRequest(RequestSerializer):
    redirect_uri = StrictCharField(
        max_length=500, help_text="Where the provider sends the browser back to: a page of the console."
    )


class IdentityStartRequest(OidcStartRequest):
    password = StrictCharField(
        max_length=1024,
        trim_whitespace=False,
        required=False,
        help_text="Needed from whoever has one.",
    )


class OidcFinishRequest(RequestSerializer):
    flow = StrictCharField(max_length=100, help_text="From the start; no other browser may get it.")
    code = StrictCharField(max_length=4096, help_text="A parameter that the provider added to the redirect URI.")
    state = StrictCharField(max_length=100, help_text="A parameter that the provider added to the redirect URI.")
    iss = StrictCharField(max_length=500, required=False, help_text="The same, if there is one.")


class OidcLinkRequest(RequestSerializer):
    challenge = StrictCharField(max_length=100, help_text="From the error LINK_REQUIRED.")
    password = StrictCharField(max_length=1024, trim_whitespace=False, help_text="Of the account to link.")


class OidcProviderResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class SignInWaysResponse(serializers.Serializer[Any]):
    password_login = serializers.BooleanField(help_text="Whether passwords are good (MAIM_PASSWORD_LOGIN).")
    providers = OidcProviderResponse(many=True)


class OidcStartResponse(serializers.Serializer[Any]):
    authorization_url = serializers.CharField(help_text="Where to send the browser.")
    flow = serializers.CharField(help_text="A secret of this browser, to finish with.")


class IdentityResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    provider = serializers.CharField()
    issuer = serializers.CharField()
    subject = serializers.CharField(help_text="The person's id there.")
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField()


class MailRequestedResponse(serializers.Serializer[Any]):
    message = serializers.CharField()


class UserResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    username = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    is_active = serializers.BooleanField()


class SessionResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    device = serializers.CharField(help_text="The User-Agent that signed in; empty where it is not known.")
    address = serializers.CharField(help_text="Where a recent request came from; empty where it is not known.")
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(allow_null=True, help_text="Exact to five minutes.")
    is_current = serializers.BooleanField(help_text="Whether this request belongs to it.")


class SecondFactorResponse(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField()
    challenge = serializers.CharField(required=False, help_text="Only with the code `MFA_REQUIRED`: for `/auth/mfa`.")
    methods = serializers.ListField(
        child=ChoiceField(choices=list(METHODS)),
        required=False,
        help_text="Only with the code `MFA_REQUIRED`: by which the sign-in can be completed.",
    )


class FactorItemResponse(serializers.Serializer[Any]):
    method = ChoiceField(choices=[name for name, method in METHODS.items() if method.is_factor])
    added_at = serializers.DateTimeField()


class FactorsResponse(serializers.Serializer[Any]):
    factors = FactorItemResponse(many=True)
    recovery_codes = serializers.IntegerField(help_text="How many are left.")


class TotpEnrolmentResponse(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="In Base32, for apps that take no QR code.")
    uri = serializers.CharField(help_text="The same with the account's name, as `otpauth://totp/…`.")
    qr_code = serializers.CharField(help_text="The same as a QR code: a `data:` URI of an SVG.")


class RecoveryCodesResponse(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(
        child=serializers.CharField(), help_text="Shown this once. Each counts once in place of a factor."
    )


class TokenResponse(serializers.Serializer[Any]):
    access_token = serializers.CharField(source="access")
    token_type = serializers.CharField(default="bearer")
    refresh_token = serializers.CharField(source="refresh")
    expires_in = serializers.IntegerField(help_text="Seconds the access token lives.")

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from accounts import token_format
from accounts.models import PASSKEY_NAME_LENGTH, TOKEN_NAME_LENGTH, PersonalToken
from accounts.services.methods import METHODS
from core.actor import TokenScope
from core.fields import ID_LENGTH
from core.http.fields import (
    ChoiceField,
    JSONObjectField,
    RequestSerializer,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    UTCDateTimeField,
)


class RegisterRequest(RequestSerializer):
    username = StrictCharField(max_length=100)
    password = StrictCharField(max_length=1024, trim_whitespace=False)
    email = StrictCharField(max_length=254, required=False, allow_blank=True)
    invitation = StrictCharField(
        max_length=100,
        required=False,
        allow_null=True,
        help_text="The token of an invitation, whose address becomes `email`, verified.",
    )


class LoginRequest(RequestSerializer):
    username = StrictCharField(max_length=300)
    password = StrictCharField(max_length=1024, trim_whitespace=False)


class FactorRequest(RequestSerializer):
    challenge = StrictCharField(max_length=100, help_text="From the response to the sign-in.")
    method = ChoiceField(choices=list(METHODS))
    code = StrictCharField(
        max_length=100, required=False, help_text="The six digits that the app shows, or a recovery code."
    )
    credential = JSONObjectField(
        required=False, help_text="With the method `passkey`: what the browser returned, as its `toJSON()` writes it."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raise ValidationError without the proof that the method takes."""
        proof = "credential" if attrs["method"] == "passkey" else "code"
        if attrs.get(proof) is None:
            raise serializers.ValidationError({proof: self.fields[proof].error_messages["required"]})
        return attrs


class PasskeyNameRequest(RequestSerializer):
    name = StrictCharField(max_length=PASSKEY_NAME_LENGTH)


class PasskeyConfirmRequest(PasskeyNameRequest):
    challenge = StrictCharField(max_length=200, help_text="From `/auth/factors/passkeys`.")
    credential = JSONObjectField(help_text="What the browser made, as its `toJSON()` writes it.")


class PasskeySignInRequest(RequestSerializer):
    challenge = StrictCharField(max_length=200, help_text="From `/auth/passkey/options`.")
    credential = JSONObjectField(help_text="What the browser returned, as its `toJSON()` writes it.")


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
    key_notices = StrictBooleanField(
        required=False, help_text="Whether to get mails about keys that expire and quotas, as owner or admin."
    )
    password = StrictCharField(
        max_length=1024,
        trim_whitespace=False,
        required=False,
        help_text="Needed for a new address, and to remove a verified one, where mail is set up.",
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


class AccountClosureRequest(RequestSerializer):
    password = StrictCharField(max_length=1024, trim_whitespace=False, required=False, help_text="One's own.")


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


class PersonalTokenNameRequest(RequestSerializer):
    name = StrictCharField(max_length=TOKEN_NAME_LENGTH)


class PersonalTokenRequest(PersonalTokenNameRequest):
    scope = ChoiceField(choices=[scope.value for scope in TokenScope])
    tenant_id = StrictCharField(
        max_length=ID_LENGTH, required=False, help_text="The only tenant that it is for. Default: all one's tenants."
    )
    expires_at = UTCDateTimeField(
        required=False, help_text="Default: in 90 days. At most a year from now (`MAIM_TOKEN_MAX_DAYS`)."
    )
    expires_in = StrictIntegerField(
        required=False,
        min_value=1,
        max_value=int(settings.TOKEN_MAX_LIFETIME.total_seconds()),
        help_text="The same, in seconds from now.",
    )
    password = StrictCharField(
        max_length=1024, trim_whitespace=False, required=False, help_text="Needed from whoever has one."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Replace `expires_in` by the time that it means. Raise ValidationError for both."""
        seconds = attrs.pop("expires_in", None)
        if seconds is None:
            return attrs
        if attrs.get("expires_at") is not None:
            raise serializers.ValidationError({"expires_in": [_("Send either `expires_at` or `expires_in`")]})
        return {**attrs, "expires_at": timezone.now() + timedelta(seconds=seconds)}


class PersonalTokenResponse(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    token = serializers.SerializerMethodField(help_text="Masked.")
    scope = ChoiceField(choices=[scope.value for scope in TokenScope])
    tenant_id = serializers.CharField(allow_null=True, help_text="The only tenant that it is for.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Exact to a minute.")
    last_used_address = serializers.CharField(help_text="Where that request came from; empty before the first.")

    def get_token(self, row: PersonalToken) -> str:
        return token_format.masked(row.hint)


class CreatedPersonalTokenResponse(PersonalTokenResponse):
    token = serializers.CharField(help_text="In clear, shown this once.")  # type: ignore[assignment]


class SecondFactorResponse(serializers.Serializer[Any]):
    detail = serializers.CharField()
    code = serializers.CharField()
    challenge = serializers.CharField(required=False, help_text="Only with the code `MFA_REQUIRED`: for `/auth/mfa`.")
    methods = serializers.ListField(
        child=ChoiceField(choices=list(METHODS)),
        required=False,
        help_text="Only with the code `MFA_REQUIRED`: by which the sign-in can be completed.",
    )
    passkey = JSONObjectField(
        required=False,
        help_text="Only with the method `passkey`: the options for the browser, by its "
        "`PublicKeyCredential.parseRequestOptionsFromJSON`.",
    )


class IdentityRefusalResponse(SecondFactorResponse):
    challenge = serializers.CharField(
        required=False,
        help_text="With the code `MFA_REQUIRED` for `/auth/mfa`, with `LINK_REQUIRED` for `/auth/oidc/link`.",
    )


class PasskeyOptionsResponse(serializers.Serializer[Any]):
    challenge = serializers.CharField(help_text="To be sent back with the credential, within five minutes.")
    options = JSONObjectField(help_text="For the browser, by its `PublicKeyCredential.parse…OptionsFromJSON`.")


class FactorItemResponse(serializers.Serializer[Any]):
    method = ChoiceField(choices=[name for name, method in METHODS.items() if method.is_factor])
    added_at = serializers.DateTimeField()
    id = serializers.CharField(required=False, help_text="Only of a passkey, as what follows.")
    name = serializers.CharField(required=False)
    last_used_at = serializers.DateTimeField(required=False, allow_null=True)
    is_backed_up = serializers.BooleanField(
        required=False, help_text="Whether its owner's account at Apple, Google or another provider keeps it, too."
    )


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


class PasskeyAddedResponse(RecoveryCodesResponse):
    id = serializers.CharField()


class TokenResponse(serializers.Serializer[Any]):
    access_token = serializers.CharField(source="access")
    token_type = serializers.CharField(default="bearer")
    refresh_token = serializers.CharField(source="refresh")
    expires_in = serializers.IntegerField(help_text="Seconds the access token lives.")

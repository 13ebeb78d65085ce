from __future__ import annotations

from typing import Any

from rest_framework import serializers

from core.http.fields import RequestSerializer, StrictCharField


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


class TokenResponse(serializers.Serializer[Any]):
    access_token = serializers.CharField(source="access")
    token_type = serializers.CharField(default="bearer")
    refresh_token = serializers.CharField(source="refresh")
    expires_in = serializers.IntegerField(help_text="Seconds the access token lives.")

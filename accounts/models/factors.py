"""Second factors, passkeys, and the challenges to prove them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.models.users import User
from core import ids
from core.fields import ExactCharField, IdField, JSONTextField

PASSKEY_NAME_LENGTH = 100


class TotpFactor(models.Model):
    """A user's app that shows time-based codes (RFC 6238). It counts as a factor when a first code confirmed it."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="totp_factor")
    secret = models.TextField(editable=False)  # sealed
    # The time step of the last code that was used, so that each counts once (RFC 6238 section 5.2).
    last_step = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    confirmed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"TOTP: {self.user_id}"


class RecoveryCode(models.Model):
    """A code that counts once in place of a lost factor, as its digest."""

    digest = ExactCharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")

    def __str__(self) -> str:
        return f"recovery code: {self.user_id}"


class Passkey(models.Model):
    """A passkey: the public key of a credential, whose private key its owner's device or account keeps (WebAuthn)."""

    id = IdField(primary_key=True, default=ids.passkey_id)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="passkeys")
    name = models.CharField(max_length=PASSKEY_NAME_LENGTH)
    # Of the credential's id, which is too long for an index.
    credential_digest = ExactCharField(max_length=64, unique=True)
    # AAGUID, id and public key, as the authenticator made them.
    credential_data = models.BinaryField()
    sign_count = models.PositiveBigIntegerField()
    transports = JSONTextField(default=list)
    backed_up = models.BooleanField()
    aaguid = ExactCharField(max_length=36)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.id}: {self.user_id}"


class UsedChallenge(models.Model):
    """A signed challenge of a passkey that was used, by its digest, until it expires."""

    digest = ExactCharField(max_length=64, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"used challenge: {self.digest}"


class SignInChallenge(models.Model):
    """A sign-in that waits for a second factor, by the digest of its token. It counts once, until it expires."""

    digest = ExactCharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_challenges")
    # That of the user when the challenge was issued. A new password or a deactivation changes it.
    session_hash = ExactCharField(max_length=80)
    attempts = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"challenge: {self.user_id}"

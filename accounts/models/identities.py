"""People at providers of OpenID Connect, and their sign-ins that are under way."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.models.users import User
from core import ids
from core.fields import ExactCharField, IdField


class Identity(models.Model):
    """A person at a provider of OpenID Connect, by whom a user signs in.

    Only issuer and subject identify a person (OpenID Connect Core 1.0, section 5.7): an e-mail address may pass to
    somebody else. They are unique by a digest, because an index of both would be too long for MariaDB.
    """

    id = IdField(primary_key=True, default=ids.identity_id)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = ExactCharField(max_length=30)  # its id in MAIM_OIDC_PROVIDERS
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    digest = ExactCharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["digest"], name="identity_unique"),)

    def __str__(self) -> str:
        return f"{self.id}: {self.user_id}"


class OidcFlow(models.Model):
    """A sign-in that has gone to a provider, or the linking of an identity to `user`.

    It is found by the digest of a secret that only the browser has that began it, and used once. `content` is sealed:
    the state, the nonce and the PKCE verifier are the provider's proofs that the response is to this request.
    """

    digest = ExactCharField(max_length=64, primary_key=True)
    provider = ExactCharField(max_length=30)
    content = models.TextField()
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="oidc_flows")
    # That of the user when the flow began. A new password or a deactivation changes it, which ends the flow.
    session_hash = ExactCharField(max_length=80, default="")
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.provider}: {self.user_id}"


class LinkChallenge(models.Model):
    """A proven identity that waits for the password of the user who has its e-mail address. It is used once."""

    digest = ExactCharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="link_challenges")
    content = models.TextField()  # the identity, sealed
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.user_id)

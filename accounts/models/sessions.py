"""Sessions of sign-ins, personal access tokens, and the networks that people sign in from."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User
from core import ids
from core.actor import TokenScope
from core.display import DisplayName
from core.fields import ExactCharField, IdField

DEVICE_LENGTH, TOKEN_NAME_LENGTH = 300, 100
TOKEN_SCOPES = [(TokenScope.READ.value, _("read")), (TokenScope.WRITE.value, _("read and write"))]


class TokenSession(models.Model):
    """The session of a sign-in, with its access and refresh token.

    A token is valid while its session exists, so deleting the session ends both at once. `refresh_id` is the id of
    the only refresh token that was not used yet. The sessions of versions before have no `device`, `address` and
    `last_seen_at`.
    """

    id = IdField(primary_key=True, default=ids.session_id)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_sessions")
    refresh_id = ExactCharField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    # The User-Agent that signed in.
    device = models.CharField(max_length=DEVICE_LENGTH, default="", db_default="")
    # Of a recent request (accounts.services.sessions.SEEN_EVERY), or the sign-in.
    address = ExactCharField(max_length=45, default="", db_default="")
    last_seen_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")

    def __str__(self) -> str:
        return f"{self.id}: {self.user_id}"


class PersonalToken(models.Model):
    """A personal access token of a user's own programs, as its digest.

    `tenant_id` restricts it to one tenant. It is no foreign key, because this app knows no tenants; tenants.access asks
    whether the user is a member of it.
    """

    id = IdField(primary_key=True, default=ids.personal_token_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="personal_tokens", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=TOKEN_NAME_LENGTH)
    scope = ExactCharField(_("scope"), max_length=10, choices=TOKEN_SCOPES)
    tenant_id = IdField(_("tenant"), null=True, db_index=True)
    digest = ExactCharField(max_length=64, unique=True, editable=False)
    # The last four digits of the random part, by which people tell masked tokens apart.
    hint = ExactCharField(max_length=4, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    last_used_at = models.DateTimeField(_("last used"), null=True)
    last_used_address = ExactCharField(_("last used from"), max_length=45, default="")

    class Meta:
        verbose_name = _("personal access token")
        verbose_name_plural = _("personal access tokens")
        indexes = (models.Index(fields=["created_at", "id"], name="personal_token_newest"),)

    def __str__(self) -> str:
        return DisplayName(self.name)


class SignInAddress(models.Model):
    """A network from which somebody has signed in as a user, so that one that is new can be told."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_addresses")
    network = ExactCharField(max_length=43)
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "network"], name="sign_in_address_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.network}"

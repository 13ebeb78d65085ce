"""Mails that wait to be sent, links in mails, and invitations to register."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User
from core import ids
from core.display import DisplayName
from core.fields import ExactCharField, IdField


class EmailToken(models.Model):
    """The token of a link in a mail, as its digest. It counts once, until it expires, for one user and address."""

    class Purpose(models.TextChoices):
        RESET = "reset"
        VERIFY = "verify"

    digest = ExactCharField(max_length=64, primary_key=True)
    purpose = ExactCharField(max_length=10, choices=Purpose.choices)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="email_tokens")
    email = models.CharField(max_length=254)
    # That of the user when the token was made. A new password or a deactivation changes it, which ends the token.
    session_hash = ExactCharField(max_length=80)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.purpose}: {self.user_id}"


class Invitation(models.Model):
    """An invitation of an e-mail address, which is valid once, until it expires or is revoked.

    An operator invites to register, a person into a tenant (tenants.models.TenantInvitation), with which new people
    may also register.
    """

    id = IdField(primary_key=True, default=ids.invitation_id, editable=False)
    email = models.CharField(_("e-mail"), max_length=254)
    # None: an operator.
    inviter = models.ForeignKey(
        User,
        verbose_name=_("invited by"),
        on_delete=models.CASCADE,
        null=True,
        editable=False,
        related_name="sent_invitations",
    )
    # False where the inviter was shown the link: its use does not prove the address.
    confirms_email = models.BooleanField(default=True, db_default=True, editable=False)
    # That of the token in the link; None until the mail with it is sent.
    digest = ExactCharField(max_length=64, null=True, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), db_index=True, editable=False)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        indexes = (models.Index(fields=["created_at", "id"], name="invitation_newest"),)

    def __str__(self) -> str:
        return DisplayName(self.email)


class QueuedMail(models.Model):
    """A mail that waits to be sent (accounts.mail.outbox). Its text is made when it is sent."""

    class Kind(models.TextChoices):
        RESET = "reset", _("link to set a new password")
        VERIFY = "verify", _("link to confirm an address")
        INVITATION = "invitation", _("link to register")
        PASSWORD_CHANGED = "password_changed", _("notice of a changed password")
        EMAIL_CHANGED = "email_changed", _("notice of a changed e-mail address")
        NEW_SIGN_IN = "new_sign_in", _("notice of a sign-in from a new address")
        FACTORS_CHANGED = "factors_changed", _("notice of changed second factors")
        IDENTITY_ADDED = "identity_added", _("notice of a new way to sign in")
        IDENTITY_REMOVED = "identity_removed", _("notice of a removed way to sign in")
        ACCOUNT_CLOSED = "account_closed", _("notice of a closed account")
        TOKEN_CREATED = "token_created", _("notice of a new personal access token")
        TENANT_INVITATION = "tenant_invitation", _("link to join a tenant")
        ROLE_CHANGED = "role_changed", _("notice of a role in a tenant")
        MEMBER_REMOVED = "member_removed", _("notice of a removed member")
        TENANT_OFFERED = "tenant_offered", _("notice of an offered tenant")
        OWNER_CHANGED = "owner_changed", _("notice of a tenant's new owner")
        FACTOR_REQUIRED = "factor_required", _("notice of a required second factor")
        KEY_LEAKED = "key_leaked", _("notice of a leaked API key")
        KEY_EXPIRES = "key_expires", _("notice of an API key that expires")
        QUOTA_REACHED = "quota_reached", _("notice of a quota")
        OPERATOR_ROLE = "operator_role", _("notice of a role in the admin")

    kind = ExactCharField(_("kind"), max_length=20, choices=Kind.choices)
    content = models.TextField(editable=False)  # sealed
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("waits since"), default=timezone.now)
    due_at = models.DateTimeField(_("next attempt"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("waiting mail")
        verbose_name_plural = _("waiting mails")

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.contrib.auth import hashers
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.hashers import normalize_password, spellings
from accounts.managers import UserManager
from accounts.operator_roles import OperatorRole
from core import ids
from core.actor import TokenScope
from core.display import DisplayName, ShownByName
from core.fields import ExactCharField, IdField, JSONTextField
from core.text import fold

DEVICE_LENGTH = 300
PASSKEY_NAME_LENGTH = TOKEN_NAME_LENGTH = 100
TOKEN_SCOPES = [(TokenScope.READ.value, _("read")), (TokenScope.WRITE.value, _("read and write"))]


class User(ShownByName, AbstractBaseUser, PermissionsMixin):
    """A person. Usernames and e-mail addresses are unique in their folded form (docs/contract.md section 6)."""

    id = IdField(primary_key=True, default=ids.user_id, editable=False)
    username = models.CharField(_("username"), max_length=100)
    username_folded = ExactCharField(max_length=300, editable=False)
    email = models.CharField(_("e-mail"), max_length=254, null=True, blank=True)
    email_folded = ExactCharField(max_length=700, null=True, editable=False)
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("operator"), default=False, help_text=_("May sign in to the admin."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # The last address whose owner this person proved to be, by a link in a mail. Compared with `email`, so that no
    # change of that has to think of it.
    verified_email = models.CharField(max_length=254, null=True, editable=False)
    # The address that is to become `email` as soon as it is proved, too.
    pending_email = models.CharField(_("new e-mail"), max_length=254, null=True, editable=False)
    # Increased by each deactivation, so that no sign-in or session from before one is valid after it.
    deactivations = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Increased by whatever ends all sessions of the admin: another role, or a sign-out everywhere.
    admin_sign_outs = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    key_notices = models.BooleanField(
        _("notices about keys"),
        default=True,
        db_default=True,
        help_text=_("Gets mails about keys that expire and quotas that are used up, in tenants that they manage."),
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = (
            models.UniqueConstraint(fields=["username_folded"], name="user_username_unique"),
            models.UniqueConstraint(fields=["email_folded"], name="user_email_unique"),
        )
        indexes = (
            models.Index(fields=["created_at", "id"], name="user_newest"),
            models.Index(fields=["is_active", "created_at", "id"], name="user_active_newest"),
            models.Index(fields=["is_staff", "created_at", "id"], name="user_staff_newest"),
            models.Index(fields=["is_superuser", "created_at", "id"], name="user_superuser_newest"),
        )

    def __str__(self) -> str:
        return DisplayName(self.username)

    @property
    def operator_role(self) -> OperatorRole | None:
        """The role in the admin, or None for somebody who is no operator.

        A superuser is an admin, and who is in the group `support` has that role. Other operators are viewers.
        """
        if not self.is_staff:
            return None
        if self.is_superuser:
            return OperatorRole.ADMIN
        groups = {group.name for group in self.groups.all()}
        return OperatorRole.SUPPORT if OperatorRole.SUPPORT in groups else OperatorRole.VIEWER

    def set_username(self, username: str) -> None:
        """Set the name and its folded form."""
        self.username, self.username_folded = username, fold(username)

    def set_email(self, email: str | None) -> None:
        """Set the address and its folded form. An empty one means none."""
        self.email, self.email_folded = (email, fold(email)) if email else (None, None)

    @property
    def email_verified(self) -> bool:
        """True if this person proved that the address is theirs."""
        return self.verified_email is not None and fold(self.verified_email) == self.email_folded

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else normalize_password(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether this is the password, in whichever Unicode form it was typed.

        Upgrade the stored hash if the algorithm or its parameters changed, or if it is not of the normalized password.
        The new hash replaces only the verified one. If the password was changed meanwhile, the stored one decides.
        """
        if raw_password is None:
            return False
        verified = self.password
        is_current = True

        def upgrade(raw_password: str) -> None:
            nonlocal is_current
            upgraded = hashers.make_password(normalize_password(raw_password))
            is_current = bool(User.objects.filter(pk=self.pk, password=verified).update(password=upgraded))
            if is_current:
                self.password = upgraded

        texts = spellings(raw_password)
        correct = next((text for text in texts if hashers.check_password(text, verified, upgrade)), None)
        if correct is not None and correct != texts[0] and self.password == verified:
            upgrade(correct)
        if is_current:
            return correct is not None
        self.password = User.objects.values_list("password", flat=True).filter(pk=self.pk).first() or ""
        return any(hashers.check_password(text, self.password) for text in texts)

    def get_session_auth_hash(self) -> str:
        """Return the hash of the admin's sessions.

        It changes, and so ends them, with a new password, a deactivation and each of `admin_sign_outs`.
        """
        return self._since_last_end(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Yield the same hash under each of SECRET_KEY_FALLBACKS."""
        return map(self._since_last_end, super().get_session_auth_fallback_hash())

    def _since_last_end(self, session_hash: str) -> str:
        # Before the first end it is as in earlier versions, so that their sessions stay valid.
        ends = self.deactivations + self.admin_sign_outs
        return f"{session_hash}.{ends}" if ends else session_hash


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

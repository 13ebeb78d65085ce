"""People, and their passwords and roles."""

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
from core.display import DisplayName, ShownByName
from core.fields import ExactCharField, IdField
from core.text import fold


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

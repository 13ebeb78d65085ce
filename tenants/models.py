from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Invitation
from agent_config.schema import NAMES
from core import ids
from core.counts import Group, Kind, slot_of
from core.fields import ExactCharField, IdField, JSONTextField
from core.limits import Limited
from core.naming import NamedModel
from core.revisions import Revised

if TYPE_CHECKING:
    from agent_config.schema import ConfigWarning


class TenantType(models.TextChoices):
    PERSONAL = "personal", _("personal")
    ENTERPRISE = "enterprise", _("enterprise")


class TenantStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    INACTIVE = "inactive", _("inactive")
    SUSPENDED = "suspended", _("suspended")


class Tenant(NamedModel, Limited, Revised):
    """The person or organisation that agents and API keys belong to.

    Names are unique per owner, and among tenants without one. Its fields are declared in tenants.fields.
    """

    name_field = "tenant_name"
    longest_folded = 700
    # Warnings about the agents' defaults, set by the service on the instance that it returns.
    config_warnings: Sequence[ConfigWarning] = ()

    id = IdField(primary_key=True, default=ids.tenant_id, editable=False)
    tenant_name = models.CharField(_("name"), max_length=255)
    name_folded = ExactCharField(max_length=700, editable=False)
    # The owner's id even if it names no user here, or "", because NULLs do not collide in a unique constraint.
    owner_scope = IdField(editable=False, default="")
    tenant_type = ExactCharField(_("type"), max_length=20, choices=TenantType.choices)
    description = models.TextField(_("description"), null=True, blank=True)
    contact_email = models.CharField(_("contact"), max_length=255, null=True, blank=True)
    tenant_config = JSONTextField(_("config"), null=True, blank=True)
    # The schema by which the configs of the tenant, its templates and its agents are checked, unless an agent has one.
    config_schema = ExactCharField(
        _("config schema"), max_length=50, null=True, blank=True, choices=[(name, name) for name in NAMES]
    )
    # The epoch of the last change of `tenant_config.agent_defaults`.
    defaults_revision = models.PositiveBigIntegerField(default=0, editable=False)
    status = ExactCharField(_("status"), max_length=20, choices=TenantStatus.choices, default=TenantStatus.ACTIVE)
    # How many agents, keys and members it may have, where not the default (tenants.capacity).
    limits = JSONTextField(
        _("limits"),
        null=True,
        blank=True,
        help_text=_("How many of each the tenant may have; empty for the default."),
    )
    requires_mfa = models.BooleanField(
        _("requires a second factor"),
        default=False,
        db_default=False,
        help_text=_("Members without one are refused until they have added one to their account."),
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="owned_tenants",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        constraints = (models.UniqueConstraint(fields=["owner_scope", "name_folded"], name="tenant_name_unique"),)
        indexes = (
            models.Index(fields=["created_at", "id"], name="tenant_newest"),
            models.Index(fields=["status", "created_at", "id"], name="tenant_status_newest"),
            models.Index(fields=["tenant_type", "created_at", "id"], name="tenant_type_newest"),
            models.Index(fields=["name_folded", "created_at"], name="tenant_all_name"),
        )

    def count_groups(self) -> list[Group]:
        """Return where `core.counts` counts the row."""
        return [Group("", Kind.TENANTS, slot=slot_of(self.id))]

    @property
    def named_owner_id(self) -> str | None:
        """The owner's id as it was sent. If it names no user here, nobody has an owner's rights."""
        return self.owner_scope or None


class Role(models.TextChoices):
    """The roles of people in a tenant, whose rights are in tenants.roles."""

    OWNER = "owner", _("owner")
    ADMIN = "admin", _("admin")
    MEMBER = "member", _("member")
    VIEWER = "viewer", _("viewer")


class Membership(models.Model):
    """The role of a person in a tenant. The owner's is the one of the person whom the tenant names as such."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="memberships"
    )
    role = ExactCharField(_("role"), max_length=20, choices=Role.choices)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = (models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id}, {self.tenant_id}: {self.get_role_display()}"


class OwnershipOffer(models.Model):
    """A tenant that its owner has offered to another member, who has not accepted it yet."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="ownership_offer")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ownership_offers")
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.user_id}"


class TenantInvitation(Invitation):
    """An invitation into a tenant, by a member who manages its members (tenants.invitations)."""

    tenant = models.ForeignKey(
        Tenant, verbose_name=_("tenant"), on_delete=models.CASCADE, related_name="invitations", editable=False
    )
    role = ExactCharField(_("role"), max_length=20, choices=Role.choices, editable=False)
    # A copy of `created_at`, because no index spans both tables.
    sent_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("invitation into a tenant")
        verbose_name_plural = _("invitations into tenants")
        indexes = (
            models.Index(fields=["sent_at", "invitation_ptr"], name="tenant_invitation_all_newest"),
            models.Index(fields=["tenant", "sent_at", "invitation_ptr"], name="tenant_invitation_newest"),
        )

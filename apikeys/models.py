from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from maim.common import clock, ids
from maim.common.fields import ExactCharField, IdField, JSONTextField
from maim.common.limits import Limited
from maim.common.scoping import TenantOwned
from maim.common.text import fold


class KeyStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    DISABLED = "disabled", _("disabled")
    EXPIRED = "expired", _("expired")


class ApiKey(Limited, TenantOwned):
    """A key as people know it: what it is called, what it may do, until when, how often and from where."""

    id = IdField(primary_key=True, default=ids.key_id, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant", verbose_name=_("tenant"), on_delete=models.CASCADE, related_name="api_keys"
    )
    agent = models.ForeignKey(
        "agents.Agent", verbose_name=_("agent"), on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(_("name"), max_length=100)
    name_folded = ExactCharField(max_length=300, editable=False)
    description = models.TextField(_("description"), null=True, blank=True)
    permissions = JSONTextField(_("permissions"), default=list, blank=True)
    allowed_networks = JSONTextField(_("allowed networks"), default=list, blank=True)
    metadata = JSONTextField(_("metadata"), default=dict, blank=True)
    status = ExactCharField(_("status"), max_length=20, choices=KeyStatus.choices, default=KeyStatus.ACTIVE)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    usage_count = models.PositiveBigIntegerField(_("uses"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=clock.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=clock.now, editable=False)

    newest_secrets: list[KeySecret]  # prefetched by the gate (apikeys.access), newest first

    class Meta(TenantOwned.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = (models.UniqueConstraint(fields=["tenant", "name_folded"], name="key_name_unique"),)
        indexes = (models.Index(fields=["tenant", "created_at", "id"], name="key_newest"),)

    def __str__(self) -> str:
        return self.name

    def set_name(self, name: str) -> None:
        """Sets the name and the form it is unique by."""
        self.name, self.name_folded = name, fold(name)

    def status_at(self, moment: datetime) -> KeyStatus:
        """The status people see: an active key whose time is over has expired."""
        if self.status == KeyStatus.ACTIVE and self.expires_at is not None and self.expires_at <= moment:
            return KeyStatus.EXPIRED
        return KeyStatus(self.status)


class KeySecret(models.Model):
    """One secret of a key, as a digest; the secret itself is stored nowhere.

    Apart from the key because a key outlives its secrets: the newest is the key's own, older ones were
    rotated out. Reached by its digest alone, which is why it is not tenant-scoped: who knows a secret is
    whom it belongs to.
    """

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    digest = ExactCharField(max_length=64)
    secret_version = models.PositiveSmallIntegerField()
    hint = ExactCharField(max_length=4)
    created_at = models.DateTimeField(default=clock.now)
    # Of a secret that was rotated out: when its grace ends, and who still uses it.
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # A leaked secret is dead, whatever becomes of the key.
    leaked_at = models.DateTimeField(null=True)
    leaked_where = models.CharField(max_length=2000, null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["digest"], name="key_secret_unique"),)

    def __str__(self) -> str:
        return f"{self.key_id} …{self.hint}"


class DailyUse(TenantOwned):
    """How often a key, an agent or a tenant was used on a UTC day."""

    pk = models.CompositePrimaryKey("subject", "day")
    subject = IdField()  # the id of a key, an agent or a tenant
    day = models.DateField()
    # Without a constraint of the database: its check would lock the tenant's row at every write.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False)
    uses = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.subject} on {self.day}: {self.uses}"


class UsageLogEntry(models.Model):
    """What a bot says it did. Ids are kept as sent, whether or not they name anything."""

    tenant_id = IdField(_("tenant"), null=True, db_index=True)
    agent_id = IdField(_("agent"), null=True, db_index=True)
    user_id = models.CharField(_("user"), max_length=100, null=True)
    platform = models.CharField(_("platform"), max_length=100, null=True)
    action = models.CharField(_("action"), max_length=100)
    details = JSONTextField(_("details"), null=True)
    timestamp = models.DateTimeField(_("time"))
    created_at = models.DateTimeField(_("stored"), default=clock.now, db_index=True)

    class Meta:
        verbose_name = _("usage log entry")
        verbose_name_plural = _("usage log")
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.action

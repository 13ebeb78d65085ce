from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from apikeys.errors import KeyNotFound
from core import ids
from core.display import DisplayName, ShownByName
from core.fields import ExactCharField, IdField, JSONTextField
from core.limits import Limited
from core.naming import NamedModel
from core.revisions import Revised
from core.scoping import TenantOwned


class KeyStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    DISABLED = "disabled", _("disabled")
    EXPIRED = "expired", _("expired")


class ApiKey(NamedModel, Limited, Revised, TenantOwned):
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
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=timezone.now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = (models.UniqueConstraint(fields=["tenant", "name_folded"], name="key_name_unique"),)
        indexes = (models.Index(fields=["tenant", "created_at", "id"], name="key_newest"),)

    @cached_property
    def current_secret(self) -> KeySecret:
        """The key's own secret, the newest. Raise KeyNotFound if the key was deleted meanwhile."""
        secret = self.secrets.order_by("id").last()
        if secret is None:
            raise KeyNotFound
        return secret

    @cached_property
    def previous_secrets(self) -> list[KeySecret]:
        """The secrets that were rotated out and are still good, and those that ended last; newest first."""
        return list(self.secrets.previous())

    def old_secret_last_used_at(self, moment: datetime) -> datetime | None:
        """Return the latest use of the old secrets that are good at the moment, by those who have yet to change over.

        Where none is good any more, tell of those that ended last: this is how far the change got. A rotation that
        ended all of them at once leaves nothing to tell.
        """
        outlived = [secret for secret in self.previous_secrets if secret.ends_after(self.current_secret.created_at)]
        told = [secret for secret in outlived if secret.ends_after(moment) and secret.leaked_at is None]
        if not told:
            ends = [secret.expires_at for secret in outlived if secret.expires_at is not None]
            told = [secret for secret in outlived if secret.expires_at == max(ends)]
        return max((secret.last_used_at for secret in told if secret.last_used_at is not None), default=None)

    def status_at(self, moment: datetime) -> KeyStatus:
        """The status people see: an active key whose time is over has expired."""
        if self.status == KeyStatus.ACTIVE and self.expires_at is not None and self.expires_at <= moment:
            return KeyStatus.EXPIRED
        return KeyStatus(self.status)


class KeySecretQuerySet(models.QuerySet["KeySecret"]):
    def previous(self) -> Self:
        """Leave those that were rotated out and are still good, and those that ended last, newest first."""
        of_the_key = KeySecret.objects.filter(key=OuterRef("key"))
        is_rotated_out = Exists(of_the_key.filter(pk__gt=OuterRef("pk")))
        others_end_later = Exists(of_the_key.filter(expires_at__gt=OuterRef("expires_at")))
        return self.filter(is_rotated_out, Q(expires_at__gt=timezone.now()) | ~others_end_later).order_by("-pk")


class KeySecret(models.Model):
    """One secret of a key, as a digest; the secret itself is stored nowhere.

    Apart from the key because a key outlives its secrets: the newest is the key's own, older ones were
    rotated out. Reached by its digest alone, which is why it is not tenant-scoped: who knows a secret is
    whom it belongs to.
    """

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    digest = ExactCharField(max_length=64)
    pepper_id = models.PositiveSmallIntegerField(db_column="secret_version")
    hint = ExactCharField(max_length=4)
    created_at = models.DateTimeField(default=timezone.now)
    # Of a secret that was rotated out: when its grace ends, and who still uses it.
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # A leaked secret is dead, whatever becomes of the key.
    leaked_at = models.DateTimeField(null=True)
    leaked_where = models.CharField(max_length=2000, null=True)

    objects = KeySecretQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["digest"], name="key_secret_unique"),)

    def __str__(self) -> str:
        return f"{self.key_id} …{self.hint}"

    def ends_after(self, moment: datetime) -> bool:
        """Return whether the secret is still good after the moment, for all that its key and its leaks have to say."""
        return self.expires_at is None or self.expires_at > moment


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


class UsageLogEntry(ShownByName):
    """What a bot says it did. Ids are kept as sent, whether or not they name anything."""

    tenant_id = IdField(_("tenant"), null=True, db_index=True)
    agent_id = IdField(_("agent"), null=True, db_index=True)
    user_id = models.CharField(_("user"), max_length=100, null=True)
    platform = models.CharField(_("platform"), max_length=100, null=True)
    action = models.CharField(_("action"), max_length=100)
    details = JSONTextField(_("details"), null=True)
    timestamp = models.DateTimeField(_("time"))
    created_at = models.DateTimeField(_("stored"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("usage log entry")
        verbose_name_plural = _("usage log")
        ordering = ("-id",)

    def __str__(self) -> str:
        return DisplayName(self.action)

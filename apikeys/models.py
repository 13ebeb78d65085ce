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
from core.counts import Group, Kind, slot_of
from core.display import DisplayName, ShownByName
from core.fields import ExactCharField, IdField, JSONTextField
from core.limits import Limited
from core.naming import NamedModel
from core.prepared_writes import PreparedWrites
from core.revisions import Revised
from core.scoping import TenantOwned


class KeyStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    DISABLED = "disabled", _("disabled")
    EXPIRED = "expired", _("expired")


class ApiKey(NamedModel, Limited, Revised, TenantOwned):
    """An API key: its name, and what it may do, until when, how often, and from where.

    Its fields are declared in apikeys.fields. Its secrets are rows of KeySecret.
    """

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
        indexes = (
            models.Index(fields=["tenant", "created_at", "id"], name="key_newest"),
            models.Index(fields=["tenant", "status", "created_at", "id", "expires_at"], name="key_status_newest"),
            models.Index(fields=["tenant", "status", "expires_at", "id"], name="key_status_expiry"),
            models.Index(fields=["tenant", "id"], name="key_by_id"),
            models.Index(fields=["tenant", "status", "id", "expires_at"], name="key_status_id"),
            models.Index(fields=["agent", "created_at", "id"], name="key_agent_newest"),
            models.Index(fields=["agent", "id"], name="key_agent_by_id"),
            # Of all tenants, for operators. Not in the orders of one tenant's lists, or MariaDB may look for its rows
            # among all tenants'.
            models.Index(fields=["created_at", "name_folded", "id"], name="key_all_newest"),
            models.Index(fields=["status", "created_at", "name_folded", "id"], name="key_all_status_newest"),
            models.Index(fields=["status", "expires_at", "id"], name="key_all_status_expiry"),
            models.Index(fields=["name_folded", "created_at"], name="key_all_name"),
        )

    def count_groups(self) -> list[Group]:
        """Return where `core.counts` counts the row: among its tenant's, in the slot of its agent, and its agent's."""
        return [
            Group(self.tenant_id, Kind.KEYS, status=self.status, slot=slot_of(self.agent_id)),
            Group(self.tenant_id, Kind.KEYS, agent_id=self.agent_id, status=self.status),
        ]

    @cached_property
    def current_secret(self) -> KeySecret:
        """The newest secret, queried unless apikeys.access prefetched it. Raise KeyNotFound if the key is deleted."""
        secret = self.secrets.order_by("id").last()
        if secret is None:
            raise KeyNotFound
        return secret

    @cached_property
    def previous_secrets(self) -> list[KeySecret]:
        """The rotated-out secrets that are still good, and those that ended last; newest first."""
        return list(self.secrets.previous(timezone.now()))

    def old_secret_last_used_at(self, moment: datetime) -> datetime | None:
        """Return when a client that has yet to change over last used an old secret, or None.

        Count the old secrets that are good at the moment; if there are none, those that ended last. A rotation without
        a grace period leaves none of either.
        """
        graced = [secret for secret in self.previous_secrets if secret.ends_after(self.current_secret.created_at)]
        counted = [secret for secret in graced if secret.ends_after(moment) and secret.leaked_at is None]
        if not counted:
            ends = [secret.expires_at for secret in graced if secret.expires_at is not None]
            counted = [secret for secret in graced if secret.expires_at == max(ends)]
        return max((secret.last_used_at for secret in counted if secret.last_used_at is not None), default=None)

    def status_at(self, moment: datetime) -> KeyStatus:
        """Return the status that is shown: an active key past its expiry date shows `expired`."""
        if self.status == KeyStatus.ACTIVE and self.expires_at is not None and self.expires_at <= moment:
            return KeyStatus.EXPIRED
        return KeyStatus(self.status)


class KeySecretQuerySet(models.QuerySet["KeySecret"]):
    def previous(self, moment: datetime) -> Self:
        """Filter to rotated-out secrets that are good at this moment, and those that ended last; newest first."""
        return self.filter(_is_rotated_out(), _counts(moment)).order_by("-pk")

    def current_and_previous(self, moment: datetime) -> Self:
        """Filter to the current secrets and those that are `previous` at this moment; newest first."""
        return self.filter(~_is_rotated_out() | _counts(moment)).order_by("-pk")


def _is_rotated_out() -> Exists:
    return Exists(_of_the_same_key().filter(pk__gt=OuterRef("pk")))


def _counts(moment: datetime) -> Q:
    """Return the condition for secrets that are good at a moment, or ended last."""
    return Q(expires_at__gt=moment) | Q(~Exists(_of_the_same_key().filter(expires_at__gt=OuterRef("expires_at"))))


def _of_the_same_key() -> models.QuerySet[KeySecret]:
    return KeySecret.objects.filter(key=OuterRef("key"))


class KeySecret(PreparedWrites):
    """The digest of a key's secret; the secret itself is stored nowhere.

    A key outlives its secrets: the newest is the current one, older ones were rotated out. Secrets are looked up by
    their digest, before the tenant is known, so the model is not tenant-scoped.
    """

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    digest = ExactCharField(max_length=64)
    # Which of the configured peppers the digest is under. The column keeps its name for the previous version of maim.
    pepper_id = models.PositiveSmallIntegerField(db_column="secret_version")
    hint = ExactCharField(max_length=4)
    created_at = models.DateTimeField(default=timezone.now)
    # For a secret that was rotated out: the end of its grace period, and its last use.
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    # A leaked secret is refused for good, even if the key is enabled again.
    leaked_at = models.DateTimeField(null=True)
    leaked_where = models.CharField(max_length=2000, null=True)

    objects = KeySecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")
        constraints = (models.UniqueConstraint(fields=["digest"], name="key_secret_unique"),)
        indexes = (
            models.Index(fields=["hint"], name="key_secret_hint"),
            models.Index(fields=["leaked_at"], name="key_secret_leaked"),
        )

    def __str__(self) -> str:
        return f"{self.key_id} …{self.hint}"

    def ends_after(self, moment: datetime) -> bool:
        """Return whether the grace period lasts beyond the moment. The key's status and leaks do not count here."""
        return self.expires_at is None or self.expires_at > moment


class DailyUse(TenantOwned):
    """The number of uses of a key, an agent or a tenant on a UTC day, and under "" those of the whole installation."""

    pk = models.CompositePrimaryKey("subject", "day")
    subject = IdField()  # the id of a key, an agent or a tenant
    day = models.DateField()
    # No constraint in the database, because its check would lock the tenant's row at every write.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    uses = models.PositiveBigIntegerField()

    class Meta(TenantOwned.Meta):
        verbose_name = _("daily use")
        verbose_name_plural = _("daily uses")
        indexes = (models.Index(fields=["tenant", "day"], name="daily_use_tenant_day"),)

    def __str__(self) -> str:
        return f"{self.subject} on {self.day}: {self.uses}"


class VerificationCount(TenantOwned):
    """The number of verifications with one outcome, of one tenant's keys, in a period that begins at `start` in UTC.

    The tenant "" stands for the whole installation: all tenants together, and the keys that belong to none.
    """

    pk = models.CompositePrimaryKey("tenant", "start", "outcome")
    # No constraint in the database, for the same reason as in DailyUse. The primary key begins with it: no other index.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    start = models.DateTimeField()
    outcome = ExactCharField(max_length=20)  # a VerdictCode
    number = models.PositiveBigIntegerField()

    class Meta(TenantOwned.Meta):
        abstract = True

    def __str__(self) -> str:
        return f"{self.outcome} of {self.tenant_id or 'all'} from {self.start:%Y-%m-%d %H:%M}: {self.number}"


class MinuteCount(VerificationCount):
    """Verifications of a minute, for two days."""

    class Meta(VerificationCount.Meta):
        verbose_name = _("verifications of a minute")
        verbose_name_plural = _("verifications by minute")
        indexes = (models.Index(fields=["start"], name="minute_count_start"),)


class HourCount(VerificationCount):
    """Verifications of an hour, for ninety days."""

    class Meta(VerificationCount.Meta):
        verbose_name = _("verifications of an hour")
        verbose_name_plural = _("verifications by hour")
        # It ranks the tenants of an hour by the number of an outcome, and finds old hours.
        indexes = (models.Index(fields=["start", "outcome", "number"], name="hour_count_rank"),)


class FiveMinuteCount(models.Model):
    """The number of verifications of one key, or of an agent's keys, with one outcome in five minutes, for 26 hours.

    There are rows for each key in use, so there are no minutes and hours of keys, and no column for the tenant. They
    are read for subjects that passed the gate.
    """

    pk = models.CompositePrimaryKey("subject", "start", "outcome")
    subject = IdField()  # the id of a key or an agent
    start = models.DateTimeField()
    outcome = ExactCharField(max_length=20)  # a VerdictCode
    number = models.PositiveBigIntegerField()

    class Meta:
        indexes = (models.Index(fields=["start"], name="five_minute_count_start"),)

    def __str__(self) -> str:
        return f"{self.outcome} of {self.subject} from {self.start:%Y-%m-%d %H:%M}: {self.number}"


class DailyRefusals(models.Model):
    """The number of verifications that ended in one refusal on a UTC day, for ninety days.

    The subject is a key, an agent, a tenant, or "" for the whole installation. What is no refusal is in DailyUse.
    """

    pk = models.CompositePrimaryKey("subject", "day", "outcome")
    subject = IdField()
    day = models.DateField()
    outcome = ExactCharField(max_length=20)  # a VerdictCode
    number = models.PositiveBigIntegerField()

    class Meta:
        indexes = (models.Index(fields=["day"], name="daily_refusals_day"),)

    def __str__(self) -> str:
        return f"{self.outcome} of {self.subject or 'all'} on {self.day}: {self.number}"


class VerificationTime(models.Model):
    """The number of verifications that took about as long, in a minute, an hour or a UTC day (apikeys.durations)."""

    pk = models.CompositePrimaryKey("minutes", "start", "bucket")
    minutes = models.PositiveSmallIntegerField()  # the length of the period
    start = models.DateTimeField()
    bucket = models.PositiveSmallIntegerField()  # the index of the first of apikeys.durations.BOUNDS that it is within
    number = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.number} in bucket {self.bucket} from {self.start:%Y-%m-%d %H:%M}"


class Refusal(TenantOwned):
    """A verification of one of a tenant's keys that was refused. The key may be deleted by now."""

    # No constraint in the database, for the same reason as in DailyUse.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    agent_id = IdField()
    key_id = IdField()
    code = ExactCharField(max_length=20)  # a VerdictCode
    reason = ExactCharField(max_length=20, null=True)
    at = models.DateTimeField()
    request_id = ExactCharField(max_length=64)
    client_ip = ExactCharField(max_length=45, null=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("refused verification")
        verbose_name_plural = _("refused verifications")
        indexes = (
            models.Index(fields=["tenant", "id", "at"], name="refusal_tenant"),
            models.Index(fields=["tenant", "code", "id", "at"], name="refusal_tenant_code"),
            models.Index(fields=["tenant", "key_id", "id", "at"], name="refusal_tenant_key"),
            models.Index(fields=["request_id", "tenant"], name="refusal_request"),
            models.Index(fields=["tenant", "at"], name="refusal_tenant_time"),
            models.Index(fields=["at"], name="refusal_time"),
        )

    def __str__(self) -> str:
        return f"{self.request_id}: {self.code}"


class Notice(TenantOwned):
    """Something that a tenant is told once about a key or a quota (apikeys.notices)."""

    class Kind(models.TextChoices):
        KEY_LEAKED = "key_leaked", _("leaked API key")
        KEY_EXPIRES = "key_expires", _("API key that expires")
        QUOTA_REACHED = "quota_reached", _("quota that is used up")

    # No constraint in the database, for the same reason as in DailyUse.
    tenant = models.ForeignKey(
        "tenants.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    kind = ExactCharField(max_length=20, choices=Kind.choices)
    subject = IdField()  # the id of a key, an agent or a tenant
    occasion = ExactCharField(max_length=60)  # what makes it another notice of the same subject
    details = JSONTextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantOwned.Meta):
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = (models.UniqueConstraint(fields=["kind", "subject", "occasion"], name="notice_unique"),)
        indexes = (
            models.Index(fields=["tenant", "id", "created_at"], name="notice_tenant"),
            models.Index(fields=["tenant", "kind", "id", "created_at"], name="notice_tenant_kind"),
            models.Index(fields=["tenant", "created_at"], name="notice_tenant_time"),
            models.Index(fields=["created_at"], name="notice_time"),
        )

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class UsageLogEntry(ShownByName):
    """An action that a bot reported. Ids are stored as sent, even if they name nothing here."""

    tenant_id = IdField(_("tenant"), null=True)
    agent_id = IdField(_("agent"), null=True)
    user_id = models.CharField(_("user"), max_length=100, null=True)
    platform = models.CharField(_("platform"), max_length=100, null=True)
    action = models.CharField(_("action"), max_length=100)
    details = JSONTextField(_("details"), null=True)
    timestamp = models.DateTimeField(_("time"))
    created_at = models.DateTimeField(_("stored"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("usage log entry")
        verbose_name_plural = _("usage log entries")
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["user_id"], name="usage_log_user"),
            models.Index(fields=["action"], name="usage_log_action"),
            # With the columns of the other filters of people, so that an entry is read only to be shown.
            models.Index(fields=["tenant_id", "id", "created_at"], name="usage_log_tenant"),
            models.Index(fields=["agent_id", "id", "tenant_id", "created_at"], name="usage_log_agent"),
        )

    def __str__(self) -> str:
        return DisplayName(self.action)

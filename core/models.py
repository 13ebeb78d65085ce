from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from core.fields import ExactCharField, IdField, JSONTextField


class AuditEntry(models.Model):
    """One change, written in the transaction that made it, never changed afterwards.

    Objects and tenants are named by id, without foreign keys: the row outlives what it tells of.
    """

    at = models.DateTimeField(_("time"), db_index=True)
    actor_kind = ExactCharField(_("actor kind"), max_length=20)
    actor_id = IdField(_("actor id"), null=True)
    actor_label = models.CharField(_("actor"), max_length=150)
    action = ExactCharField(_("action"), max_length=50, db_index=True)
    object_type = ExactCharField(_("object type"), max_length=30)
    object_id = IdField(_("object"), db_index=True)
    tenant_id = IdField(_("tenant"), null=True, db_index=True)
    before = JSONTextField(_("before"), null=True)
    after = JSONTextField(_("after"), null=True)
    request_id = ExactCharField(_("request id"), max_length=64)
    address = ExactCharField(_("address"), max_length=45)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}"


class Epoch(models.Model):
    """The number of invalidations so far, in the one row (core.epoch)."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True)
    value = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.value)


class Invalidation(models.Model):
    """What is no longer true of a key, an agent or a tenant since an epoch."""

    epoch = models.PositiveBigIntegerField(db_index=True)
    subject = IdField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.epoch}: {self.subject}"


class Change(models.Model):
    """One entry of the feed of changes (core.change_feed), numbered by the epoch of its transaction."""

    class Kind(models.TextChoices):
        AGENT = "agent"  # of the agent that `subject` names
        DELETED = "deleted"  # the agent that `subject` names
        TEMPLATE = "template"  # of all agents that use the template
        TENANT = "tenant"  # of all agents of the tenant
        SWEPT = "swept"  # what came before is no longer here

    epoch = models.PositiveBigIntegerField(db_index=True)
    kind = ExactCharField(max_length=10, choices=Kind.choices)
    subject = IdField()
    tenant_id = IdField(null=True)
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.epoch}: {self.kind} {self.subject}"


class Lock(models.Model):
    """A lock that a process holds (core.locks)."""

    name = ExactCharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=120)
    since = models.DateTimeField()
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class IdempotentAnswer(models.Model):
    """The answer that a repeat of a request gets, sealed; of a batch, that it is written (core.idempotency)."""

    # Who asked, and by which Idempotency-Key, as one digest: both may be long, and neither is to be read here.
    digest = ExactCharField(max_length=64, primary_key=True)
    request = ExactCharField(max_length=64)
    answer = models.TextField()
    created_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.digest)

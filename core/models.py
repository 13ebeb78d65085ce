from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from core import ids
from core.actor import display_name
from core.append_only import AppendOnly
from core.display import DisplayName
from core.fields import ExactCharField, IdField, JSONTextField


class AuditEntry(AppendOnly):
    """One change, written in its transaction.

    Objects and tenants are stored as ids without foreign keys, because the entry outlives them.
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
    # The personal access token by which a person acted.
    token_id = IdField(_("access token"), null=True)
    # Of all columns but the id (core.audit_chain); None if the version before wrote the entry.
    signature = ExactCharField(max_length=80, null=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["actor_kind"], name="audit_actor_kind"),
            models.Index(fields=["actor_id"], name="audit_actor"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["tenant_id", "action"], name="audit_tenant_action"),
            models.Index(fields=["tenant_id", "actor_id"], name="audit_tenant_actor"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}"

    @property
    def actor(self) -> str:
        """The name of the actor, in the reader's language."""
        return display_name(self.actor_kind, self.actor_label)


class AuditBlock(AppendOnly):
    """A part of the audit log that can no longer change without notice (core.audit_chain)."""

    number = models.PositiveBigIntegerField(primary_key=True)
    made_at = models.DateTimeField()
    # The greatest id of all entries in the chain. Ids up to `floor` that are in no block stay in none.
    reach = models.BigIntegerField(db_index=True)
    floor = models.BigIntegerField()
    ids = models.TextField()  # of its entries, as ranges
    newest = models.DateTimeField()  # the time of the newest entry in the chain
    total = models.PositiveBigIntegerField()  # the number of entries in the chain
    digest = ExactCharField(max_length=64)  # of its entries
    marks = models.TextField()  # of each entry
    previous = ExactCharField(max_length=64)  # the hash of the block before
    signature = ExactCharField(max_length=80)

    def __str__(self) -> str:
        return f"{self.number}: {self.ids}"


class AuditRedaction(models.Model):
    """The digest of an entry from before it was masked, because its text turned out to be secret.

    An entry `audit.redact` proves it.
    """

    entry_id = models.BigIntegerField(primary_key=True)
    digest = ExactCharField(max_length=64)

    def __str__(self) -> str:
        return str(self.entry_id)


class AuditRemoval(AppendOnly):
    """A block whose entries were deleted because of their age, as those of all before it.

    An entry `audit.remove` proves it.
    """

    block = models.PositiveBigIntegerField(primary_key=True)
    keys = JSONTextField()  # when the first block under each key was made

    def __str__(self) -> str:
        return str(self.block)


class RevealCount(models.Model):
    """The number of times that an address has read the secrets of an agent in an hour (core.reveals)."""

    pk = models.CompositePrimaryKey("agent_id", "address", "hour")
    agent_id = IdField()
    address = ExactCharField(max_length=45)
    hour = models.DateTimeField(db_index=True)
    tenant_id = IdField()
    number = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.agent_id} {self.address}: {self.number}"


class Epoch(models.Model):
    """The current epoch, in a single row (core.epoch)."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True)
    value = models.PositiveBigIntegerField(default=0)
    # True once no worker of a version that knows no approvals can have a lease (core.approvals).
    workers_approve = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return str(self.value)


class Approval(models.Model):
    """The epoch up to which a worker has dropped outdated facts from its cache (core.approvals)."""

    worker = ExactCharField(max_length=32, primary_key=True)
    epoch = models.PositiveBigIntegerField()
    server = ExactCharField(max_length=64)  # empty while the worker does not vouch for the server

    def __str__(self) -> str:
        return f"{self.worker}: {self.epoch}"


class Invalidation(models.Model):
    """The key, agent or tenant whose cached facts an epoch made outdated."""

    epoch = models.PositiveBigIntegerField(db_index=True)
    subject = IdField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.epoch}: {self.subject}"


class FeedEntry(models.Model):
    """One entry of the change feed (core.change_feed), with the epoch of its transaction."""

    class Kind(models.TextChoices):
        AGENT = "agent"  # the agent of this id changed
        DELETED = "deleted"  # the agent of this id was deleted
        TEMPLATE = "template"  # all agents with this template changed
        TENANT = "tenant"  # all agents of this tenant changed
        TRUNCATED = "swept"  # the entries before this one were deleted

    epoch = models.PositiveBigIntegerField(db_index=True)
    kind = ExactCharField(max_length=10, choices=Kind.choices)
    subject = IdField()
    tenant_id = IdField(null=True)
    at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "common_change"  # its former name, which the version before reads

    def __str__(self) -> str:
        return f"{self.epoch}: {self.kind} {self.subject}"


class Lock(models.Model):
    """A lock held by a process (core.locks)."""

    name = ExactCharField(max_length=50, primary_key=True)
    holder = models.CharField(max_length=120)
    since = models.DateTimeField()
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"


class IdempotentResponse(models.Model):
    """The sealed response for a repeated request, or the mark of a written batch (core.idempotency)."""

    # A digest of the actor and the Idempotency-Key, because both may be long and confidential.
    digest = ExactCharField(max_length=64, primary_key=True)
    request = ExactCharField(max_length=64)
    response = models.TextField(db_column="answer")
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "common_idempotentanswer"  # its former name, which the version before reads

    def __str__(self) -> str:
        return str(self.digest)


class RowCount(models.Model):
    """The number of rows of a kind that a tenant has with a status, as the sum of several slots (core.counts).

    With an `agent_id` it is the number of that agent's keys. Without a tenant it is the number of all tenants.
    """

    class Kind(models.TextChoices):
        TENANTS = "tenants"
        AGENTS = "agents"
        KEYS = "keys"

    pk = models.CompositePrimaryKey("tenant_id", "kind", "agent_id", "status", "slot")
    # No foreign keys, because their checks would lock the tenant's row at every write.
    tenant_id = IdField()
    kind = ExactCharField(max_length=10, choices=Kind.choices)
    agent_id = IdField()
    status = ExactCharField(max_length=20)
    slot = models.PositiveSmallIntegerField()
    # Signed, because the version before deletes rows without counting them.
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.agent_id}: {self.number} {self.status} {self.kind}"


class DeletedObject(models.Model):
    """A deleted tenant or agent, which can be restored until `expires_at` (core.undo)."""

    class Kind(models.TextChoices):
        TENANT = "tenant", _("tenant")
        AGENT = "agent", _("agent")

    id = IdField(primary_key=True, default=ids.deleted_object_id, editable=False)
    kind = ExactCharField(_("type"), max_length=10, choices=Kind.choices)
    object_id = IdField(_("object"), db_index=True)
    tenant_id = IdField(_("tenant"), db_index=True)
    name = models.CharField(_("name"), max_length=255)
    actor_kind = ExactCharField(_("actor kind"), max_length=20)
    actor_id = IdField(_("actor id"), null=True)
    actor_label = models.CharField(_("deleted by"), max_length=150)
    deleted_at = models.DateTimeField(_("deleted"), db_index=True)
    expires_at = models.DateTimeField(_("can be restored until"), db_index=True)
    counts = JSONTextField(_("content"), default=dict)  # the number of stored rows by model

    class Meta:
        verbose_name = _("deleted object")
        verbose_name_plural = _("deleted objects")

    def __str__(self) -> str:
        return DisplayName(self.name)

    @property
    def actor(self) -> str:
        """The name of whoever deleted it, in the reader's language."""
        return display_name(self.actor_kind, self.actor_label)


class DeletedRows(models.Model):
    """A chunk of the rows of a deleted object: compressed and sealed JSON (core.undo.chunks)."""

    deleted = models.ForeignKey(DeletedObject, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    content = models.TextField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["deleted", "number"], name="deleted_rows_unique"),)

    def __str__(self) -> str:
        return f"{self.deleted_id}: {self.number}"


class RunningServer(models.Model):
    """A `serve` that runs, or ended without saying so a short time ago (core.servers)."""

    id = ExactCharField(max_length=32, primary_key=True)
    host = models.CharField(max_length=80)
    version = ExactCharField(max_length=50)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.version} on {self.host}"


class Gauge(models.Model):
    """A number that is counted now and then, because counting it takes too long for a page (core.gauges)."""

    name = ExactCharField(max_length=50, primary_key=True)
    number = models.PositiveBigIntegerField(null=True)
    measured_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.number}"

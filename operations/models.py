from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import ids
from core.actor import Actor, ActorKind, display_name
from core.fields import ExactCharField, IdField, JSONTextField


class Kind(models.TextChoices):
    """The kinds of bulk operations."""

    DISABLE_KEYS = "disable_keys", _("disable API keys")
    ENABLE_KEYS = "enable_keys", _("enable API keys")
    DELETE_KEYS = "delete_keys", _("delete API keys")
    DELETE_AGENTS = "delete_agents", _("delete agents")
    DELETE_TENANTS = "delete_tenants", _("delete tenants")
    SUSPEND_TENANTS = "suspend_tenants", _("suspend tenants")
    ACTIVATE_TENANTS = "activate_tenants", _("activate tenants")


class BulkOperation(models.Model):
    """The same change of many objects, on behalf of the actor who started it.

    Objects are changed in the order of their ids; `cursor` is the id of the last one that has an outcome.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")
        FAILED = "failed", _("failed")

    OPEN = (State.WAITING, State.RUNNING)

    id = IdField(primary_key=True, default=ids.operation_id, editable=False)
    kind = ExactCharField(_("operation"), max_length=20, choices=Kind.choices)
    state = ExactCharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING, db_index=True)
    selection = JSONTextField(_("selection"))  # operations.selections
    total = models.PositiveIntegerField(_("objects"))  # as of the start
    done = models.PositiveIntegerField(_("done"), default=0)  # objects that have an outcome
    refused = models.PositiveIntegerField(_("not changed"), default=0)  # of these, the ones that are gone or refused
    cursor = IdField(default="")
    actor_kind = ExactCharField(_("actor kind"), max_length=20)
    actor_id = IdField(_("actor id"), null=True)
    actor_label = models.CharField(_("started by"), max_length=150)
    address = ExactCharField(_("address"), max_length=45)
    # The worker that has it until a time, unless it renews that before.
    worker = ExactCharField(max_length=32, default="")
    claimed_until = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)  # of the current chunk
    problem = models.CharField(_("problem"), max_length=200, default="")
    created_at = models.DateTimeField(_("started"), default=timezone.now, db_index=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("bulk operation")
        verbose_name_plural = _("bulk operations")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.id})"

    @property
    def is_open(self) -> bool:
        """True while it waits or runs."""
        return self.state in self.OPEN

    @property
    def actor(self) -> Actor:
        """The actor of each change, whose audit entries have the operation's id as that of the request."""
        return Actor(
            kind=ActorKind(self.actor_kind),
            id=self.actor_id,
            label=self.actor_label,
            request_id=self.id,
            address=self.address,
        )

    @property
    def actor_name(self) -> str:
        """The name of whoever started it, in the reader's language."""
        return display_name(self.actor_kind, self.actor_label)


class Outcome(models.Model):
    """The outcome of a bulk operation for one object."""

    class Result(models.TextChoices):
        DONE = "done", _("done")
        UNCHANGED = "unchanged", _("was so already")
        GONE = "gone", _("no longer there")
        REFUSED = "refused", _("refused")

    FAILED = (Result.GONE, Result.REFUSED)

    operation = models.ForeignKey(BulkOperation, on_delete=models.CASCADE, related_name="outcomes")
    object_id = IdField(_("object"))
    result = ExactCharField(_("outcome"), max_length=10, choices=Result.choices)
    detail = models.CharField(_("reason"), max_length=300, default="")

    class Meta:
        verbose_name = _("outcome")
        verbose_name_plural = _("outcomes")
        constraints = (models.UniqueConstraint(fields=["operation", "object_id"], name="operation_outcome_unique"),)

    def __str__(self) -> str:
        return f"{self.object_id}: {self.result}"

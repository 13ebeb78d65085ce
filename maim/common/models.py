from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from maim.common.fields import ExactCharField, IdField, JSONTextField


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

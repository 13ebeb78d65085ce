from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from maim.common import clock, ids
from maim.common.fields import ExactCharField, IdField, JSONTextField
from maim.common.limits import Limited
from maim.common.scoping import TenantOwned
from maim.common.text import fold


class AgentStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    INACTIVE = "inactive", _("inactive")
    ARCHIVED = "archived", _("archived")


class Agent(Limited, TenantOwned):
    """A bot: its name, and the config that was set for it (CONTRACT.md section 4)."""

    id = IdField(primary_key=True, default=ids.agent_id, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant", verbose_name=_("tenant"), on_delete=models.CASCADE, related_name="agents"
    )
    name = models.CharField(_("name"), max_length=100)
    name_folded = ExactCharField(max_length=300, editable=False)
    description = models.TextField(_("description"), null=True, blank=True)
    # Free text: an id that names no template is kept and resolves to nothing.
    template_id = IdField(_("template"), null=True, blank=True)
    config = JSONTextField(_("config"), default=dict, blank=True)
    status = ExactCharField(_("status"), max_length=20, choices=AgentStatus.choices, default=AgentStatus.ACTIVE)
    tags = JSONTextField(_("tags"), default=list, blank=True)
    created_at = models.DateTimeField(_("created"), default=clock.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=clock.now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        constraints = (models.UniqueConstraint(fields=["tenant", "name_folded"], name="agent_name_unique"),)
        indexes = (models.Index(fields=["tenant", "created_at", "id"], name="agent_newest"),)

    def __str__(self) -> str:
        return self.name

    def set_name(self, name: str) -> None:
        """Sets the name and the form it is unique by."""
        self.name, self.name_folded = name, fold(name)


class PluginSetting(TenantOwned):
    """Whether and how a plugin runs: for a whole tenant, or for one agent, whose setting wins."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="plugin_settings")
    agent = models.ForeignKey(Agent, null=True, on_delete=models.CASCADE, related_name="plugin_settings")
    # The agent's id or "", because a unique constraint holds no two NULLs for equal.
    agent_scope = IdField(default="")
    plugin_name = ExactCharField(max_length=100)
    enabled = models.BooleanField(default=True)
    config = JSONTextField(default=dict)
    created_at = models.DateTimeField(default=clock.now)
    updated_at = models.DateTimeField(default=clock.now)

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=["tenant", "agent_scope", "plugin_name"], name="plugin_setting_unique"),
        )

    def __str__(self) -> str:
        return f"{self.plugin_name}: {self.agent_id or self.tenant_id}"


class AgentActivity(TenantOwned):
    """An agent's last heartbeat, and until when it counts."""

    agent = models.OneToOneField(Agent, primary_key=True, on_delete=models.CASCADE, related_name="activity")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    last_seen_at = models.DateTimeField()
    ttl_seconds = models.PositiveIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantOwned.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.expires_at}"

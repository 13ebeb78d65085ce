from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agent_config.schema import DEFAULT, NAMES, ConfigWarning
from core import ids
from core.actor import display_name
from core.counts import Group, Kind
from core.display import isolated
from core.fields import ExactCharField, IdField, JSONTextField
from core.limits import Limited
from core.naming import NamedModel
from core.prepared_writes import PreparedWrites
from core.revisions import Revised, revision_field
from core.scoping import TenantOwned


class AgentStatus(models.TextChoices):
    ACTIVE = "active", _("active")
    INACTIVE = "inactive", _("inactive")
    ARCHIVED = "archived", _("archived")


class Configured:
    """A mixin for rows with a config."""

    config: Any
    # Warnings about the config, set by the service that wrote the instance, or by agents.config_warnings.
    found_warnings: Sequence[ConfigWarning] | None = None

    @property
    def config_warnings(self) -> Sequence[ConfigWarning]:
        """The warnings about the config. Raise ValueError if nobody has looked for them."""
        if self.found_warnings is None:
            raise ValueError(f"nobody has looked at the config of {self}")
        return self.found_warnings


class Template(NamedModel, Configured, Revised, TenantOwned):
    """A config that agents are based on: an operator's (without a tenant), or a tenant's own."""

    id = IdField(primary_key=True, default=ids.template_id)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        verbose_name=_("tenant"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="templates",
    )
    # The tenant's id or "", because NULLs do not collide in a unique constraint.
    tenant_scope = IdField(editable=False, default="")
    name = models.CharField(_("name"), max_length=100)
    name_folded = ExactCharField(max_length=300, editable=False)
    description = models.TextField(_("description"), null=True, blank=True)
    config = JSONTextField(_("config"), default=dict, blank=True)
    # The epoch of the config's last change, unique to this state of this template. The column keeps its former name,
    # because the previous version of maim reads and writes it; so `revision` has a column of another name.
    config_epoch = models.PositiveBigIntegerField(default=0, editable=False, db_column="revision")
    revision = revision_field(db_column="template_revision")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=timezone.now, editable=False)

    @property
    def schema_name(self) -> str:
        """The name of the schema by which the config is checked: the tenant's."""
        return (self.tenant and self.tenant.config_schema) or DEFAULT

    class Meta(TenantOwned.Meta):
        verbose_name = _("template")
        verbose_name_plural = _("templates")
        constraints = (models.UniqueConstraint(fields=["tenant_scope", "name_folded"], name="template_name_unique"),)
        indexes = (
            models.Index(fields=["tenant_scope", "created_at", "id"], name="template_newest"),
            models.Index(fields=["tenant_scope", "id"], name="template_by_id"),
            # of all tenants
            models.Index(fields=["created_at", "id"], name="template_all_newest"),
            models.Index(fields=["name_folded", "created_at"], name="template_all_name"),
        )


class Agent(NamedModel, Configured, Limited, Revised, TenantOwned):
    """A bot: its name and its own config (docs/contract.md section 13). Its fields are declared in agents.fields."""

    id = IdField(primary_key=True, default=ids.agent_id, editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant", verbose_name=_("tenant"), on_delete=models.CASCADE, related_name="agents"
    )
    name = models.CharField(_("name"), max_length=100)
    name_folded = ExactCharField(max_length=300, editable=False)
    description = models.TextField(_("description"), null=True, blank=True)
    # Without a constraint, because an id that names no template is kept and resolves to nothing.
    template = models.ForeignKey(
        Template,
        verbose_name=_("template"),
        null=True,
        blank=True,
        db_constraint=False,
        on_delete=models.DO_NOTHING,
        related_name="agents",
    )
    config = JSONTextField(_("config"), default=dict, blank=True)
    # The schema by which the config is checked; the tenant's without one.
    config_schema = ExactCharField(
        _("config schema"), max_length=50, null=True, blank=True, choices=[(name, name) for name in NAMES]
    )
    config_version = models.PositiveBigIntegerField(_("config version"), default=0, editable=False)
    status = ExactCharField(_("status"), max_length=20, choices=AgentStatus.choices, default=AgentStatus.ACTIVE)
    tags = JSONTextField(_("tags"), default=list, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=timezone.now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        constraints = (models.UniqueConstraint(fields=["tenant", "name_folded"], name="agent_name_unique"),)
        indexes = (
            models.Index(fields=["tenant", "created_at", "id"], name="agent_newest"),
            models.Index(fields=["tenant", "status", "created_at", "id"], name="agent_status_newest"),
            models.Index(fields=["tenant", "status", "name_folded", "id"], name="agent_status_name"),
            models.Index(fields=["tenant", "id"], name="agent_by_id"),
            models.Index(fields=["tenant", "status", "id"], name="agent_status_id"),
            # Of all tenants, for operators. Not in the orders of one tenant's lists, or MariaDB may look for its rows
            # among all tenants'.
            models.Index(fields=["created_at", "name_folded", "id"], name="agent_all_newest"),
            models.Index(fields=["status", "created_at", "name_folded", "id"], name="agent_all_status_newest"),
            models.Index(fields=["name_folded", "created_at"], name="agent_all_name"),
        )

    def count_groups(self) -> list[Group]:
        """Return where `core.counts` counts the row."""
        return [Group(self.tenant_id, Kind.AGENTS, status=self.status)]


class ConfigVersion(PreparedWrites, TenantOwned):
    """An agent's config after one change. A version is never changed."""

    agent = models.ForeignKey(Agent, verbose_name=_("agent"), on_delete=models.CASCADE, related_name="config_versions")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    number = models.PositiveBigIntegerField(_("version"))
    config = JSONTextField(_("config"))
    # The change as a JSON patch (RFC 6902) without secrets.
    patch = JSONTextField(_("changes"))
    author_kind = ExactCharField(_("author kind"), max_length=20)
    author_id = IdField(_("author id"), null=True)
    author = models.CharField(_("author"), max_length=150)
    note = models.CharField(_("note"), max_length=500, null=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta(TenantOwned.Meta):
        verbose_name = _("config version")
        verbose_name_plural = _("config versions")
        constraints = (models.UniqueConstraint(fields=["agent", "number"], name="config_version_unique"),)
        indexes = (models.Index(fields=["agent", "id"], name="config_version_newest"),)

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.number}"

    @property
    def author_name(self) -> str:
        """The name of the author, in the reader's language."""
        return display_name(self.author_kind, self.author)


class PluginSetting(Revised, TenantOwned):
    """The settings of a plugin for a tenant, or for one agent, whose setting overrides the tenant's."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="plugin_settings")
    agent = models.ForeignKey(Agent, null=True, on_delete=models.CASCADE, related_name="plugin_settings")
    # The agent's id or "", because NULLs do not collide in a unique constraint.
    agent_scope = IdField(default="")
    plugin_name = ExactCharField(max_length=100)
    enabled = models.BooleanField(default=True)
    config = JSONTextField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta(TenantOwned.Meta):
        verbose_name = _("plugin setting")
        verbose_name_plural = _("plugin settings")
        constraints = (
            models.UniqueConstraint(fields=["tenant", "agent_scope", "plugin_name"], name="plugin_setting_unique"),
        )

    def __str__(self) -> str:
        return f"{isolated(self.plugin_name)}: {self.agent_id or self.tenant_id}"

    @property
    def public_id(self) -> str:
        """The id that clients know the setting by."""
        return f"{self.id_prefix(self.tenant_id, self.agent_id)}{self.plugin_name}"

    @staticmethod
    def id_prefix(tenant_id: str, agent_id: str | None) -> str:
        """Return the prefix of the ids of an agent's settings, or with None of the tenant's."""
        return f"ps_{tenant_id}_{agent_id or 'global'}_"


class AgentActivity(TenantOwned):
    """An agent's last heartbeat, and when it expires."""

    agent = models.OneToOneField(Agent, primary_key=True, on_delete=models.CASCADE, related_name="activity")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    last_seen_at = models.DateTimeField()
    ttl_seconds = models.PositiveIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantOwned.Meta):
        verbose_name = _("activity")
        verbose_name_plural = _("activities")

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.expires_at}"

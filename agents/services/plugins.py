"""The rules about plugin settings: a tenant's, and an agent's own, which override them."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Length
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agent_config import addresses, secrets, validators
from agent_config.errors import BadConfig
from agents.fields import PLUGIN_FIELDS
from agents.models import Agent, PluginSetting
from agents.services.config_writes import lock_agent
from core import audit
from core.actor import Actor
from core.audit import AuditChange
from core.db import transactional
from core.errors import Invalid, Unavailable
from core.revisions import check_revision
from core.sealing import Unsealable
from core.text import name_error
from tenants.access import check_secrets, lock_tenant
from tenants.models import Tenant

# For an agent, or for a tenant; an exported file with as many can be imported again.
MAX_PLUGINS = 1000
MAX_TOTAL_LENGTH = 1024 * 1024  # characters of JSON
_TOO_LONG = _("All plugin settings together may have at most 1 MiB of JSON")


@transactional
def set_plugin(
    *,
    actor: Actor,
    tenant: Tenant,
    agent: Agent | None,
    plugin_name: str,
    enabled: bool,
    config: dict[str, Any],
    expected: Container[int] | None = None,
) -> PluginSetting:
    """Set a plugin's setting for an agent, or with None for the whole tenant.

    With `expected`, the stored setting must have one of these revisions. A mask keeps the stored secret; in an agent's
    first setting it keeps the tenant's. Raise TenantNotFound, AgentNotFound, PreconditionFailed, and Invalid:

    - for a mask where nothing is stored;
    - for a kept secret beside another address, unless the actor is trusted;
    - for a bad plugin name, if the plugin has no setting yet;
    - for more than 5,000 secrets (agent_config.validators), more than MAX_PLUGINS settings, or more than
      MAX_TOTAL_LENGTH in all. Settings over these limits can still be changed if they do not grow.
    """
    # Locked so that of two first settings of a plugin one is an insert and the other an update.
    lock_tenant(tenant.id)
    if agent is not None:
        lock_agent(agent.id)
    scope = agent.id if agent else ""
    settings = PluginSetting.objects.in_tenants([tenant.id])
    of_scope = {row.agent_scope: row for row in settings.filter(plugin_name=plugin_name, agent_scope__in=["", scope])}
    row, shown = of_scope.get(scope), of_scope.get(scope, of_scope.get(""))
    check_revision(row, expected)
    before, config_before = (None, None) if row is None else (PLUGIN_FIELDS.audit_state(row), row.config)
    if validators.has_too_many_secrets([config], {} if shown is None else shown.config):
        raise Invalid({"config": [_("the config may have at most 5,000 secrets")]})
    config = _sealed(config, {} if shown is None else shown.config, may_move_secrets=actor.is_trusted)
    check_secrets(actor, tenant.id, config, {} if shown is None else shown.config)
    _check_room(settings.filter(agent_scope=scope).exclude(plugin_name=plugin_name), config_before, config)
    if row is None:
        if error := name_error(plugin_name):
            raise Invalid({"plugin_name": [error]})
        row = PluginSetting(tenant=tenant, agent=agent, agent_scope=scope, plugin_name=plugin_name)
    row.enabled, row.config = enabled, config
    after = PLUGIN_FIELDS.audit_state(row)
    if audit.differ([before, config_before], [after, config]):
        row.updated_at = timezone.now()
        row.save()
        change = AuditChange(str(row.pk), tenant.id, before, after)
        audit.record_all(actor=actor, action="plugin.set", changes=[change])
    return row


def _check_room(others: QuerySet[PluginSetting], before: dict[str, Any] | None, config: dict[str, Any]) -> None:
    """Raise Invalid if a setting that changes from `before` exceeds the limits together with the others."""
    found = others.aggregate(number=Count("pk"), length=Sum(Length("config")))
    if before is None and found["number"] >= MAX_PLUGINS:
        raise Invalid({"plugin_name": [_("There may be at most 1,000 plugin settings")]})
    length = _length(config)
    grows = before is None or length > _length(before)
    if grows and (found["length"] or 0) + length > MAX_TOTAL_LENGTH:
        raise Invalid({"config": [_TOO_LONG]})


def _length(config: dict[str, Any]) -> int:
    return len(json.dumps(config, ensure_ascii=False, separators=(",", ":")))


@transactional
def add_plugins(*, actor: Actor, agent: Agent, settings: Sequence[Mapping[str, Any]]) -> None:
    """Store the settings of a new agent as `set_plugin` would, in few statements.

    Raise Invalid for more than 5,000 secrets (agent_config.validators), or MAX_TOTAL_LENGTH, together. The paths of
    other errors begin with `plugins.` and the setting's number.
    """
    rows = PluginSetting.objects.in_tenants([agent.tenant_id])
    if validators.has_too_many_secrets([each.get("config", {}) for each in settings], {}):
        raise Invalid({"plugins": [_("The plugin settings of a file may have at most 5,000 secrets together")]})
    new = [_new_setting(agent, number, setting) for number, setting in enumerate(settings)]
    if sum(_length(row.config) for row in new) > MAX_TOTAL_LENGTH:
        raise Invalid({"plugins": [_TOO_LONG]})
    for row in new:
        check_secrets(actor, agent.tenant_id, row.config, {})
    rows.bulk_create(new, batch_size=500)
    # Read again, because not every database returns the ids of several new rows.
    stored = rows.filter(agent=agent).order_by("pk")
    changes = [AuditChange(str(row.pk), agent.tenant_id, after=PLUGIN_FIELDS.audit_state(row)) for row in stored]
    audit.record_all(actor=actor, action="plugin.set", changes=changes)


def _new_setting(agent: Agent, number: int, setting: Mapping[str, Any]) -> PluginSetting:
    row = PluginSetting(tenant=agent.tenant, agent=agent, agent_scope=agent.id, **setting)
    try:
        if error := name_error(row.plugin_name):
            raise Invalid({"plugin_name": [error]})
        row.config = _sealed(row.config, {}, may_move_secrets=False)
    except Invalid as error:
        raise Invalid({f"plugins.{number}.{path}": sentences for path, sentences in error.errors.items()}) from error
    return row


def _sealed(sent: dict[str, Any], stored: dict[str, Any], *, may_move_secrets: bool) -> dict[str, Any]:
    try:
        meant = secrets.unmasked(sent, stored)
        if not may_move_secrets:
            addresses.check_plugin_moved(sent, stored, meant)
        return secrets.sealed(meant, stored)
    except BadConfig as error:
        raise Invalid({f"config.{path}": sentences for path, sentences in error.errors.items()}) from error


def revealed(config: dict[str, Any]) -> dict[str, Any]:
    """Return a setting's config with its secrets, for a bot.

    Raise Unavailable where a key to the secrets is not configured.
    """
    try:
        return secrets.opened(config)
    except Unsealable as error:
        raise Unavailable(_("A secret is sealed under a key that is not configured here")) from error


def merged_plugins(*, tenant: Tenant, agent: Agent | None) -> list[PluginSetting]:
    """Return the settings that apply to an agent, or with None the tenant's own, by plugin name."""
    scopes = ["", agent.id] if agent else [""]
    rows = PluginSetting.objects.in_tenants([tenant.id]).filter(agent_scope__in=scopes).order_by("agent_scope")
    # The tenant's scope sorts first, so that an agent's setting replaces it.
    return sorted({row.plugin_name: row for row in rows}.values(), key=lambda row: row.plugin_name)


class PluginList:
    """The settings of `merged_plugins`, for paginated lists."""

    def __init__(self, *, tenant: Tenant, agent: Agent | None) -> None:
        self._rows = merged_plugins(tenant=tenant, agent=agent)
        owners = [agent.id, None] if agent else [None]
        self._prefixes = [PluginSetting.id_prefix(tenant.id, owner) for owner in owners]

    def __getitem__(self, part: slice) -> list[PluginSetting]:
        return self._rows[part]

    def count(self) -> int:
        """Return how many settings there are in all."""
        return len(self._rows)

    def after(self, cursor: str) -> list[PluginSetting]:
        """Return the settings after the one with this id, even if an agent's own has replaced it since.

        Raise Invalid for an id that cannot be in this list.
        """
        if not cursor:
            return self._rows
        name = next((cursor[len(prefix) :] for prefix in self._prefixes if cursor.startswith(prefix)), None)
        if name is None:
            raise Invalid({"after": [_("This is no id of a setting in this list")]})
        return [row for row in self._rows if row.plugin_name > name]

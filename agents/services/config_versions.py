"""The rules about an agent's stored config: how it changes, and every version that it ever had."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from agent_config import names, secrets, system
from agent_config.document import Config
from agent_config.errors import BadConfig
from agent_config.layers import Layer
from agent_config.patches import Patch, masked_patch
from agent_config.updates import agent_defaults, by_path, changed, warnings_over
from agents.errors import AgentNotFound, ForeignTemplate, VersionNotFound
from agents.models import Agent, ConfigVersion, Template
from core import audit, change_feed, epoch
from core.actor import Actor
from core.db import transactional
from core.errors import PreconditionFailed
from core.models import FeedEntry


class ConfigWrite(NamedTuple):
    """How a config is written: over the stored one or in its place, only while the agent is as `expected`, as
    `expect` has it, and with `strict` only if nothing in it looks odd."""

    note: str | None = None
    replace: bool = False
    expected: Container[int] | None = None
    strict: bool = False


def lock_agent(agent_id: str) -> Agent:
    """The agent's row, locked until the transaction ends; raises AgentNotFound."""
    row = Agent.unscoped.select_for_update().filter(pk=agent_id).first()
    if row is None:
        raise AgentNotFound
    return row


def stacked(
    defaults: Layer,
    *,
    tenant_id: str,
    tenant_config: dict[str, Any] | None,
    template_tenant_id: str | None,
    template_config: Config | None,
) -> list[Layer]:
    """The layers under an agent's own, lowest first: the system's, its template's and its tenant's.

    `template_config` is None where the agent names no template, or none that there is; another tenant's counts as none.
    """
    below = [defaults]
    if template_config is not None and template_tenant_id in (None, tenant_id):
        below.append(Layer("template", template_config, is_trusted=template_tenant_id is None))
    return [*below, Layer("tenant", agent_defaults(tenant_config))]


def layers_below(agent: Agent) -> list[Layer]:
    """The layers under the agent's own, as they are now."""
    template = Template.unscoped.filter(pk=agent.template_id).first() if agent.template_id is not None else None
    return stacked(
        system.defaults().layer,
        tenant_id=agent.tenant_id,
        tenant_config=agent.tenant.tenant_config,
        template_tenant_id=None if template is None else template.tenant_id,
        template_config=None if template is None else template.config,
    )


def check_template(agent: Agent, stored: Config) -> None:
    """Whether an agent may use the template that it names. An id that names none is kept, and resolves to nothing.

    Raises ForeignTemplate for another tenant's, and BadConfig where the agent's own config takes a name of the
    template's, or would use its provider. What its `stored` config has taken of other layers is let be.
    """
    owners = Template.unscoped.filter(pk=agent.template_id).values_list("tenant_id", flat=True)
    if any(owner not in (None, agent.tenant_id) for owner in owners):
        raise ForeignTemplate
    below = layers_below(agent)
    others = [layer for layer in below if layer.name != "template"]
    names.check_names(agent.config, [below], stored=stored, stored_stacks=[others])


def expect(row: Agent, versions: Container[int] | None) -> None:
    """Raises PreconditionFailed unless a locked agent's revision, or the version of its config, is one of these; None
    stands for any.

    The two are never equal by chance: `core.revisions.first_revision`.
    """
    if versions is not None and row.revision not in versions and row.config_version not in versions:
        raise PreconditionFailed


def change(row: Agent, sent: Config, write: ConfigWrite, *, actor: Actor) -> bool:
    """Changes the config of a locked agent, which its caller saves and `add_version` then records; whether it did.

    Raises BadConfig.
    """
    new = changed(
        row.config,
        sent,
        below=layers_below(row),
        may_move_secrets=actor.is_trusted,
        replace=write.replace,
        strict=write.strict,
    )
    row.found_warnings = new.warnings
    return _set(row, new.config)


def add_version(row: Agent, before: Config, *, actor: Actor, note: str | None = None) -> None:
    """Keeps a changed config as a version, and tells those who follow."""
    version_of(row, before, actor=actor, note=note).save(force_insert=True)
    if row.config_version > 1:  # else there is no verdict yet
        # Verdicts tell the version; nobody is let in or kept out by it, so that no change has to wait.
        epoch.invalidate(row.id, wait=False)
    change_feed.publish(FeedEntry.Kind.AGENT, [row.id], tenant_id=row.tenant_id)


def version_of(row: Agent, before: Config, *, actor: Actor, note: str | None = None) -> ConfigVersion:
    """The version, not stored yet, that an agent's config is after a change."""
    return ConfigVersion(
        agent=row,
        tenant_id=row.tenant_id,
        number=row.config_version,
        config=row.config,
        patch=masked_patch(before, row.config),
        author_kind=actor.kind,
        author_id=actor.id,
        author=actor.label[:150],
        note=note,
        created_at=timezone.now(),
    )


@transactional
def restore(
    *,
    actor: Actor,
    agent: Agent,
    version: int,
    note: str | None = None,
    expected: Container[int] | None = None,
    strict: bool = False,
) -> Agent:
    """Makes what a version held the config again, as a new version; none, if it is what the config holds.

    Raises VersionNotFound, PreconditionFailed, and BadConfig where a layer below has since taken one of its names, or
    with `strict` where something in it looks odd.
    """
    row = lock_agent(agent.pk)
    expect(row, expected)
    config = secrets.sealed(get_version(row, version).config, row.config)
    below = layers_below(row)
    names.check_names(config, [below], stored=row.config)
    row.found_warnings = warnings_over(config, below)
    if strict and row.found_warnings:
        raise BadConfig(by_path(row.found_warnings))
    before, number_before = row.config, row.config_version
    if audit.differ(secrets.comparable(before), secrets.comparable(config)):
        _set(row, config)
        row.updated_at = timezone.now()
        row.save(update_fields=["config", "config_version", "updated_at"])
        add_version(row, before, actor=actor, note=note)
        audit.record(
            actor=actor,
            action="agent.restore",
            object_id=row.id,
            tenant_id=row.tenant_id,
            before={"config_version": number_before},
            after={"config_version": row.config_version, "restored": version},
        )
    return row


def versions_of(agent: Agent) -> QuerySet[ConfigVersion]:
    """The versions of an agent's config, newest first, without what they hold."""
    return ConfigVersion.objects.in_tenants([agent.tenant_id]).filter(agent=agent).defer("config").order_by("-number")


def get_version(agent: Agent, number: int) -> ConfigVersion:
    """One version, with what it holds; raises VersionNotFound."""
    rows = ConfigVersion.objects.in_tenants([agent.tenant_id])
    found = rows.filter(agent=agent, number=number).first()
    if found is None:
        raise VersionNotFound
    return found


def diff(agent: Agent, first: int, second: int) -> Patch:
    """What leads from one version to another; raises VersionNotFound."""
    return masked_patch(get_version(agent, first).config, get_version(agent, second).config)


def _set(row: Agent, config: Config) -> bool:
    if not audit.differ(row.config, config):
        return False
    row.config, row.config_version = config, row.config_version + 1
    return True

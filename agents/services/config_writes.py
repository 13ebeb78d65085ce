"""Writes of stored configs: the row, the layers below it, the change and its record.

A write is part of a transactional service, which saves the row between the change and the record:

    write = AgentConfigWrite.lock(agent, actor=actor, expected=expected)
    write.apply(sent)
    if write.is_changed:
        write.row.save(update_fields=["config", "config_version"])
        write.record()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from functools import cached_property
from typing import Generic, NamedTuple, Self, TypeVar

from django.db.models import QuerySet
from django.utils import timezone

from agent_config import names, schema, secrets, system
from agent_config.document import Config, agent_defaults
from agent_config.errors import BadConfig
from agent_config.layers import Layer, lower_layers
from agent_config.patches import masked_patch
from agent_config.updates import apply_update, errors_by_path, lint_config
from agents.errors import AgentNotFound, ForeignTemplate
from agents.models import Agent, ConfigVersion, Template
from core import audit, change_feed, epoch
from core.actor import Actor
from core.errors import PreconditionFailed
from core.models import FeedEntry
from core.prepared import prepared_query
from core.scrubbing import scrubbed_text
from tenants.access import check_secrets

Row = TypeVar("Row", Agent, Template)


class WriteOptions(NamedTuple):
    """A client's wishes about the write of an agent's config.

    `replace` drops all of the stored config that is not sent. `expected` has the revisions or config versions that the
    agent may be at, None any. `strict` refuses a config that would get warnings.
    """

    note: str | None = None
    replace: bool = False
    expected: Container[int] | None = None
    strict: bool = False


def lock_agent(agent_id: str) -> Agent:
    """Lock and return the agent's row. Raise AgentNotFound."""
    rows = _select_for_update(agent_id)
    if not rows:
        raise AgentNotFound
    return rows[0]


@prepared_query
def _select_for_update(agent_id: str) -> QuerySet[Agent]:
    return Agent.unscoped.select_for_update().filter(pk=agent_id)


def check_expected(row: Agent, expected: Container[int] | None) -> None:
    """Raise PreconditionFailed unless a locked agent is at an expected revision or config version; None allows any.

    The two are never equal by chance: `core.revisions.first_revision`.
    """
    if expected is not None and row.revision not in expected and row.config_version not in expected:
        raise PreconditionFailed


def build_version(row: Agent, before: Config, *, actor: Actor, note: str | None = None) -> ConfigVersion:
    """Return the unsaved version for an agent's config, which was `before` until now."""
    return ConfigVersion(
        agent=row,
        tenant_id=row.tenant_id,
        number=row.config_version,
        config=row.config,
        patch=masked_patch(before, row.config),
        author_kind=actor.kind,
        author_id=actor.id,
        author=actor.label[:150],
        note=scrubbed_text(note),
        created_at=timezone.now(),
    )


class ConfigWrite(ABC, Generic[Row]):
    """A write of the config of one row, which is new or locked."""

    def __init__(self, row: Row, *, actor: Actor) -> None:
        self.row: Row = row
        self.actor = actor
        self.is_changed = False
        self._before: Config = row.config

    @property
    @abstractmethod
    def lower_layers(self) -> Sequence[Layer]:
        """The layers below the row's own, lowest first."""

    @property
    @abstractmethod
    def schema_name(self) -> str:
        """The name of the schema by which the config is checked."""

    @property
    def is_trusted(self) -> bool:
        """The mark of an operator's config, which may change the items of the layers below it."""
        return False

    def apply(self, sent: Config, *, replace: bool = False, strict: bool = False) -> None:
        """Merge a sent config into the row's, or replace it. Raise BadConfig; if `strict`, also for warnings."""
        config, self.row.found_warnings = apply_update(
            self.row.config,
            sent,
            below=self.lower_layers,
            is_trusted=self.is_trusted,
            schema_name=self.schema_name,
            may_move_secrets=self.actor.is_trusted,
            replace=replace,
            strict=strict,
        )
        if audit.differ(self.row.config, config):
            self._set(config)

    def put(self, config: Config) -> None:
        """Set a config whose secrets are sealed, unless the stored one holds the same."""
        if audit.differ(secrets.comparable(self.row.config), secrets.comparable(config)):
            self._set(config)

    @abstractmethod
    def record(self) -> None:
        """Tell the followers of the change feed about the change of a saved row."""

    def _set(self, config: Config) -> None:
        """Set the row's config. Raise Forbidden for a new secret of somebody who may not set secrets."""
        check_secrets(self.actor, self.row.tenant_id or "", config, self.row.config)
        self.row.config, self.is_changed = config, True


class AgentConfigWrite(ConfigWrite[Agent]):
    """A write of an agent's config, whose every change is a version.

    The layers below are read once, so the row's template and schema must be set before the first of them is needed.
    """

    @classmethod
    def lock(cls, agent: Agent, *, actor: Actor, expected: Container[int] | None = None) -> Self:
        """Lock the row of an agent that passed the gate. Raise AgentNotFound, PreconditionFailed.

        The gate's tenant is kept instead of read again. A change of the tenant in between counts as a later one.
        """
        row = lock_agent(agent.pk)
        check_expected(row, expected)
        if Agent.tenant.is_cached(agent):
            row.tenant = agent.tenant
        return cls(row, actor=actor)

    @property
    def schema_name(self) -> str:
        return self.row.config_schema or self.row.tenant.config_schema or schema.DEFAULT

    @cached_property
    def lower_layers(self) -> Sequence[Layer]:
        return lower_layers(
            system.defaults(self.schema_name).layer,
            tenant_id=self.row.tenant_id,
            tenant_defaults=agent_defaults(self.row.tenant.tenant_config),
            template_tenant_id=None if self._template is None else self._template.tenant_id,
            template_config=None if self._template is None else self._template.config,
        )

    def check_template(self) -> None:
        """Check that the agent may use the template that it names. An id that names none is allowed, without effect.

        Raise ForeignTemplate for another tenant's template, and BadConfig where the agent's config takes a name of
        the template's or uses its provider. Names that the stored config takes of other layers are allowed.
        """
        if self._template is not None and self._template.tenant_id not in (None, self.row.tenant_id):
            raise ForeignTemplate
        without_template = [layer for layer in self.lower_layers if layer.name != "template"]
        names.check_names(self.row.config, [self.lower_layers], stored=self._before, stored_stacks=[without_template])

    def restore(self, version: ConfigVersion, *, strict: bool = False) -> None:
        """Set the config of a version. Raise BadConfig where a layer below has taken one of its names since."""
        config = secrets.sealed(version.config, self.row.config)
        names.check_names(config, [self.lower_layers], stored=self.row.config)
        self.row.found_warnings = lint_config(config, self.lower_layers, schema_name=self.schema_name)
        if strict and self.row.found_warnings:
            raise BadConfig(errors_by_path(self.row.found_warnings))
        self.put(config)

    def record(self, *, note: str | None = None) -> None:
        """Store the config of a saved row as a version, and publish the change."""
        build_version(self.row, self._before, actor=self.actor, note=note).save(force_insert=True)
        if self.row.config_version > 1:  # else the agent is new, and no verdict is cached yet
            # Verdicts tell the version, but do not depend on it: the change need not wait for the workers.
            epoch.invalidate(self.row.id, wait=False)
        change_feed.publish(FeedEntry.Kind.AGENT, [self.row.id], tenant_id=self.row.tenant_id)

    @cached_property
    def _template(self) -> Template | None:
        if self.row.template_id is None:
            return None
        return Template.unscoped.filter(pk=self.row.template_id).first()

    def _set(self, config: Config) -> None:
        super()._set(config)
        self.row.config_version += 1

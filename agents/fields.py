"""The fields of agents, templates and plugin settings.

A new one is added here, in the model, and in the serializers.
"""

from __future__ import annotations

from typing import Any, TypedDict

from agent_config.document import Config
from agent_config.secrets import masked
from agent_config.validators import schema_name
from core.resource_fields import ResourceField, ResourceFields
from core.scrubbing import scrubbed_text


class AgentSettings(TypedDict, total=False):
    """The fields that an agent may be created with, besides its name."""

    description: str | None
    template_id: str | None
    config: Config
    config_schema: str | None
    tags: list[str]
    rate_limit: dict[str, Any] | None
    quota: dict[str, Any] | None


class AgentChanges(AgentSettings, total=False):
    """The fields that an update of an agent may change."""

    name: str
    status: str


AGENT_FIELDS = ResourceFields(
    ResourceField("name", in_verdicts=True),
    ResourceField("description", clean=scrubbed_text),
    ResourceField("template_id"),
    ResourceField("status", in_verdicts=True),
    # Its changes are kept as versions, so that the audit log has only the version's number.
    ResourceField("config", audited=False),
    ResourceField("config_version"),
    ResourceField("config_schema", clean=schema_name),
    ResourceField("tags"),
    ResourceField("rate_limit", in_verdicts=True),
    ResourceField("quota", in_verdicts=True),
    changes=AgentChanges,
)


class TemplateChanges(TypedDict, total=False):
    """The fields that an update of a template may change."""

    name: str
    description: str | None
    config: Config


TEMPLATE_FIELDS = ResourceFields(
    ResourceField("name"),
    ResourceField("description", clean=scrubbed_text),
    ResourceField("tenant_id"),
    ResourceField("config", mask=masked),
    changes=TemplateChanges,
)

PLUGIN_FIELDS = ResourceFields(
    ResourceField("agent_id"),
    ResourceField("plugin_name"),
    ResourceField("enabled"),
    ResourceField("config", mask=masked),
)

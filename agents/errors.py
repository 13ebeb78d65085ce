from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, Invalid, NotFound


class AgentNotFound(NotFound):
    code = "AGENT_001"
    message = _("Agent not found")


class AgentNameTaken(Conflict):
    code = "AGENT_002"
    message = _("An agent of this name already exists in the tenant")


class ForeignTemplate(Invalid):
    """The error for a template of another tenant."""

    def __init__(self) -> None:
        super().__init__({"template_id": [_("This template belongs to another tenant")]}, code="AGENT_003")


class VersionNotFound(NotFound):
    message = _("The agent's config has no such version")


class TemplateNotFound(NotFound):
    message = _("Template not found")


class TemplateNameTaken(Conflict):
    message = _("A template of this name, or with this id, already exists")


class AgentStatusForbids(Conflict):
    code = "AGENT_005"
    message = _("The agent's status does not allow this")


class NoActivityFor(NotFound):
    code = "ACTIVITY_002"
    message = _("No such tenant or agent")


class NotActive(Conflict):
    code = "ACTIVITY_002"
    message = _("The tenant or agent is not active")

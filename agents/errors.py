from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from maim.common.errors import Conflict, FieldErrors, Invalid, NotFound


class AgentNotFound(NotFound):
    code = "AGENT_001"
    message = _("Agent not found")


class AgentNameTaken(Conflict):
    code = "AGENT_002"
    message = _("An agent of this name already exists in the tenant")


class BadConfig(Invalid):
    """The config breaks a rule; `errors` names the JSON paths."""

    message = _("The agent's config is not valid")

    def __init__(self, errors: FieldErrors) -> None:
        super().__init__(errors, code="AGENT_004")


class AgentStatusForbids(Conflict):
    code = "AGENT_005"
    message = _("The agent's status does not allow this")


class NoActivityFor(NotFound):
    code = "ACTIVITY_002"
    message = _("No such tenant or agent")


class NotActive(Conflict):
    code = "ACTIVITY_002"
    message = _("The tenant or agent is not active")

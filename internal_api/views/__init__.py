"""The views of the internal surface. They translate; the rules are in the apps' services."""

from internal_api.views.activity import Activity, UsageLog
from internal_api.views.agents import Agent, AgentConfig, Agents, PluginSettings
from internal_api.views.auth import CheckPermission, ParseKey, ValidateKey
from internal_api.views.keys import Key, KeyDisabling, KeyEnabling, Keys
from internal_api.views.system import BotDefaults, Models
from internal_api.views.tenants import Tenant, Tenants

__all__ = [
    "Activity",
    "Agent",
    "AgentConfig",
    "Agents",
    "BotDefaults",
    "CheckPermission",
    "Key",
    "KeyDisabling",
    "KeyEnabling",
    "Keys",
    "Models",
    "ParseKey",
    "PluginSettings",
    "Tenant",
    "Tenants",
    "UsageLog",
    "ValidateKey",
]

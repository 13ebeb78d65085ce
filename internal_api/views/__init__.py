"""The views of the internal surface. They translate; the rules are in the apps' services."""

from internal_api.views.activity import Activity, UsageLog
from internal_api.views.agents import Agent, AgentConfig, Agents, PluginSettings
from internal_api.views.auth import CheckPermission, ParseKey, ValidateKey, ValidateKeys
from internal_api.views.keys import Key, KeyDisabling, KeyEnabling, KeyFinding, KeyRotation, Keys, LeakReport
from internal_api.views.system import BotDefaults, Models
from internal_api.views.tenants import Tenant, Tenants
from internal_api.views.usage import AgentUsage, KeyUsage, TenantUsage

__all__ = [
    "Activity",
    "Agent",
    "AgentConfig",
    "AgentUsage",
    "Agents",
    "BotDefaults",
    "CheckPermission",
    "Key",
    "KeyDisabling",
    "KeyEnabling",
    "KeyFinding",
    "KeyRotation",
    "KeyUsage",
    "Keys",
    "LeakReport",
    "Models",
    "ParseKey",
    "PluginSettings",
    "Tenant",
    "TenantUsage",
    "Tenants",
    "UsageLog",
    "ValidateKey",
    "ValidateKeys",
]

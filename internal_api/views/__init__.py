"""The views of the internal surface. They only translate, because the rules are in the apps' services."""

from internal_api.views.activity import Activity, UsageLog
from internal_api.views.agents import Agent, Agents, PluginSettings
from internal_api.views.auth import CheckPermissionView, ParseKeyView, ValidateKeysView, ValidateKeyView
from internal_api.views.config import (
    AgentConfig,
    ConfigChanges,
    ConfigDiff,
    ConfigRestoring,
    ConfigSchema,
    ConfigVersion,
    ConfigVersions,
    EffectiveConfig,
    Template,
    Templates,
)
from internal_api.views.keys import (
    KeyDetailView,
    KeyDisableView,
    KeyEnableView,
    KeyListView,
    KeyRotateView,
    KeySearchView,
    LeakReportView,
)
from internal_api.views.system import BotDefaults, Models
from internal_api.views.tenants import Tenant, Tenants
from internal_api.views.transfer import AgentDuplication, AgentExport, AgentImport
from internal_api.views.usage import AgentUsage, KeyUsage, TenantUsage

__all__ = [
    "Activity",
    "Agent",
    "AgentConfig",
    "AgentDuplication",
    "AgentExport",
    "AgentImport",
    "AgentUsage",
    "Agents",
    "BotDefaults",
    "CheckPermissionView",
    "ConfigChanges",
    "ConfigDiff",
    "ConfigRestoring",
    "ConfigSchema",
    "ConfigVersion",
    "ConfigVersions",
    "EffectiveConfig",
    "KeyDetailView",
    "KeyDisableView",
    "KeyEnableView",
    "KeyListView",
    "KeyRotateView",
    "KeySearchView",
    "KeyUsage",
    "LeakReportView",
    "Models",
    "ParseKeyView",
    "PluginSettings",
    "Template",
    "Templates",
    "Tenant",
    "TenantUsage",
    "Tenants",
    "UsageLog",
    "ValidateKeyView",
    "ValidateKeysView",
]

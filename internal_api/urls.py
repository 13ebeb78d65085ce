"""The URLs of v2, and two old paths that have v1 in their name (docs/contract.md section 8)."""

from __future__ import annotations

from django.urls import path

from internal_api.views import activity, agents, auth, config, keys, system, tenants, transfer, usage

urlpatterns = [
    path("v2/tenants", tenants.TenantListView.as_view()),
    path("v2/tenants/<str:tenant_id>", tenants.TenantDetailView.as_view()),
    path("v2/tenants/<str:tenant_id>/usage", usage.TenantUsageView.as_view()),
    path("v2/agents", agents.AgentListView.as_view()),
    path("v2/agents/import", transfer.AgentImportView.as_view()),
    path("v2/agents/<str:agent_id>", agents.AgentDetailView.as_view()),
    path("v2/agents/<str:agent_id>/duplicate", transfer.AgentDuplicateView.as_view()),
    path("v2/agents/<str:agent_id>/export", transfer.AgentExportView.as_view()),
    path("v2/agents/<str:agent_id>/config", config.AgentConfigView.as_view()),
    path("v2/agents/<str:agent_id>/config/effective", config.EffectiveConfigView.as_view()),
    path("v2/agents/<str:agent_id>/config/versions", config.ConfigVersionListView.as_view()),
    path("v2/agents/<str:agent_id>/config/versions/<int:number>", config.ConfigVersionDetailView.as_view()),
    path("v2/agents/<str:agent_id>/config/diff", config.ConfigDiffView.as_view()),
    path("v2/agents/<str:agent_id>/config/restore", config.ConfigRestoreView.as_view()),
    path("v2/agents/<str:agent_id>/usage", usage.AgentUsageView.as_view()),
    path("v2/api-keys", keys.KeyListView.as_view()),
    path("v2/api-keys/search", keys.KeySearchView.as_view()),
    path("v2/api-keys/disable", keys.KeysDisableView.as_view()),
    path("v2/api-keys/enable", keys.KeysEnableView.as_view()),
    path("v2/api-keys/<str:key_id>", keys.KeyDetailView.as_view()),
    path("v2/api-keys/<str:key_id>/disable", keys.KeyDisableView.as_view()),
    path("v2/api-keys/<str:key_id>/enable", keys.KeyEnableView.as_view()),
    path("v2/api-keys/<str:key_id>/rotate", keys.KeyRotateView.as_view()),
    path("v2/api-keys/<str:key_id>/usage", usage.KeyUsageView.as_view()),
    path("v2/auth/parse-api-key", auth.ParseKeyView.as_view()),
    path("v2/auth/validate-api-key", auth.ValidateKeyView.as_view()),
    path("v2/auth/validate-api-keys", auth.ValidateKeysView.as_view()),
    path("v2/auth/check-permission", auth.CheckPermissionView.as_view()),
    path("v2/auth/report-leaked-key", keys.LeakReportView.as_view()),
    path("v2/agent-activity", activity.ActivityView.as_view()),
    path("v2/config-changes", config.ConfigChangeListView.as_view()),
    path("v2/templates", config.TemplateListView.as_view()),
    path("v2/templates/<str:template_id>", config.TemplateDetailView.as_view()),
    path("v2/system/config-schema", config.ConfigSchemaView.as_view()),
    path("v2/system/models", system.SystemModelsView.as_view()),
    path("v2/system/bot-defaults", system.BotDefaultsView.as_view()),
    path("v1/plugins/settings", agents.PluginSettingsView.as_view()),
    path("v1/usage/log", activity.UsageLogView.as_view()),
]

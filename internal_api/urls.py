"""The URLs of v2, and two old paths that have v1 in their name (docs/contract.md section 8)."""

from __future__ import annotations

from django.urls import path

from internal_api import views

urlpatterns = [
    path("v2/tenants", views.Tenants.as_view()),
    path("v2/tenants/<str:tenant_id>", views.Tenant.as_view()),
    path("v2/tenants/<str:tenant_id>/usage", views.TenantUsage.as_view()),
    path("v2/agents", views.Agents.as_view()),
    path("v2/agents/import", views.AgentImport.as_view()),
    path("v2/agents/<str:agent_id>", views.Agent.as_view()),
    path("v2/agents/<str:agent_id>/duplicate", views.AgentDuplication.as_view()),
    path("v2/agents/<str:agent_id>/export", views.AgentExport.as_view()),
    path("v2/agents/<str:agent_id>/config", views.AgentConfig.as_view()),
    path("v2/agents/<str:agent_id>/config/effective", views.EffectiveConfig.as_view()),
    path("v2/agents/<str:agent_id>/config/versions", views.ConfigVersions.as_view()),
    path("v2/agents/<str:agent_id>/config/versions/<int:number>", views.ConfigVersion.as_view()),
    path("v2/agents/<str:agent_id>/config/diff", views.ConfigDiff.as_view()),
    path("v2/agents/<str:agent_id>/config/restore", views.ConfigRestoring.as_view()),
    path("v2/agents/<str:agent_id>/usage", views.AgentUsage.as_view()),
    path("v2/api-keys", views.KeyListView.as_view()),
    path("v2/api-keys/search", views.KeySearchView.as_view()),
    path("v2/api-keys/<str:key_id>", views.KeyDetailView.as_view()),
    path("v2/api-keys/<str:key_id>/disable", views.KeyDisableView.as_view()),
    path("v2/api-keys/<str:key_id>/enable", views.KeyEnableView.as_view()),
    path("v2/api-keys/<str:key_id>/rotate", views.KeyRotateView.as_view()),
    path("v2/api-keys/<str:key_id>/usage", views.KeyUsage.as_view()),
    path("v2/auth/parse-api-key", views.ParseKeyView.as_view()),
    path("v2/auth/validate-api-key", views.ValidateKeyView.as_view()),
    path("v2/auth/validate-api-keys", views.ValidateKeysView.as_view()),
    path("v2/auth/check-permission", views.CheckPermissionView.as_view()),
    path("v2/auth/report-leaked-key", views.LeakReportView.as_view()),
    path("v2/agent-activity", views.Activity.as_view()),
    path("v2/config-changes", views.ConfigChanges.as_view()),
    path("v2/templates", views.Templates.as_view()),
    path("v2/templates/<str:template_id>", views.Template.as_view()),
    path("v2/system/config-schema", views.ConfigSchema.as_view()),
    path("v2/system/models", views.Models.as_view()),
    path("v2/system/bot-defaults", views.BotDefaults.as_view()),
    path("v1/plugins/settings", views.PluginSettings.as_view()),
    path("v1/usage/log", views.UsageLog.as_view()),
]

"""v2, and the two old paths that carry v1 in their name (docs/contract.md section 8)."""

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
    path("v2/api-keys", views.Keys.as_view()),
    path("v2/api-keys/search", views.KeyFinding.as_view()),
    path("v2/api-keys/<str:key_id>", views.Key.as_view()),
    path("v2/api-keys/<str:key_id>/disable", views.KeyDisabling.as_view()),
    path("v2/api-keys/<str:key_id>/enable", views.KeyEnabling.as_view()),
    path("v2/api-keys/<str:key_id>/rotate", views.KeyRotation.as_view()),
    path("v2/api-keys/<str:key_id>/usage", views.KeyUsage.as_view()),
    path("v2/auth/parse-api-key", views.ParseKey.as_view()),
    path("v2/auth/validate-api-key", views.ValidateKey.as_view()),
    path("v2/auth/validate-api-keys", views.ValidateKeys.as_view()),
    path("v2/auth/check-permission", views.CheckPermission.as_view()),
    path("v2/auth/report-leaked-key", views.LeakReport.as_view()),
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

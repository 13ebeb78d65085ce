"""v2, and the two old paths that carry v1 in their name (CONTRACT.md section 1)."""

from __future__ import annotations

from django.urls import path

from internal_api import views

urlpatterns = [
    path("v2/tenants", views.Tenants.as_view()),
    path("v2/tenants/<str:tenant_id>", views.Tenant.as_view()),
    path("v2/tenants/<str:tenant_id>/usage", views.TenantUsage.as_view()),
    path("v2/agents", views.Agents.as_view()),
    path("v2/agents/<str:agent_id>", views.Agent.as_view()),
    path("v2/agents/<str:agent_id>/config", views.AgentConfig.as_view()),
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
    path("v2/system/models", views.Models.as_view()),
    path("v2/system/bot-defaults", views.BotDefaults.as_view()),
    path("v1/plugins/settings", views.PluginSettings.as_view()),
    path("v1/usage/log", views.UsageLog.as_view()),
]

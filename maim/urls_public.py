"""URLs of the public surface: the browser console's API and the operators' admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

import accounts.views as accounts
import agents.views.configs as config
import apikeys.views.keys as apikeys
import tenants.views.accounts as registration
from agents.views import agents, templates, transfer
from apikeys.views import usage
from core.http import handlers, probes
from core.http.docs import OpenAPIDocument, SwaggerPage
from core.http.surfaces import PUBLIC
from tenants.views import tenants

handler400 = handlers.bad_request
handler403 = handlers.permission_denied
handler404 = handlers.not_found
handler500 = handlers.server_error

urlpatterns = [
    path("", probes.Welcome.as_view()),
    path("health", probes.Health.as_view()),
    path("docs", SwaggerPage.as_view(surface=PUBLIC)),
    path("api/v1/openapi.json", OpenAPIDocument.as_view(surface=PUBLIC), name="openapi"),
    path("api/v1/auth/register", registration.Register.as_view()),
    path("api/v1/auth/login", accounts.Login.as_view()),
    path("api/v1/auth/refresh", accounts.Refresh.as_view()),
    path("api/v1/auth/logout", accounts.Logout.as_view()),
    path("api/v1/auth/password", accounts.Password.as_view()),
    path("api/v1/auth/me", registration.Me.as_view()),
    path("api/v1/tenants", tenants.TenantCollection.as_view()),
    path("api/v1/tenants/<str:tenant_id>", tenants.TenantResource.as_view()),
    path("api/v1/tenants/<str:tenant_id>/usage", usage.TenantUsage.as_view()),
    path("api/v1/agents", agents.Agents.as_view()),
    path("api/v1/agents/import", transfer.AgentImport.as_view()),
    path("api/v1/agents/<str:agent_id>", agents.AgentResource.as_view()),
    path("api/v1/agents/<str:agent_id>/duplicate", transfer.AgentDuplication.as_view()),
    path("api/v1/agents/<str:agent_id>/export", transfer.AgentExport.as_view()),
    path("api/v1/agents/<str:agent_id>/config", config.AgentConfig.as_view()),
    path("api/v1/agents/<str:agent_id>/config/effective", config.AgentEffectiveConfig.as_view()),
    path("api/v1/agents/<str:agent_id>/config/versions", config.AgentConfigVersions.as_view()),
    path("api/v1/agents/<str:agent_id>/config/versions/<int:number>", config.AgentConfigVersion.as_view()),
    path("api/v1/agents/<str:agent_id>/config/diff", config.AgentConfigDiff.as_view()),
    path("api/v1/agents/<str:agent_id>/config/restore", config.AgentConfigRestoring.as_view()),
    path("api/v1/agents/<str:agent_id>/usage", usage.AgentUsage.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys", apikeys.AgentKeys.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>", apikeys.AgentKeyResource.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>/rotate", apikeys.AgentKeyRotation.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>/usage", usage.AgentKeyUsage.as_view()),
    path("api/v1/api-keys", apikeys.KeyCollection.as_view()),
    path("api/v1/api-keys/search", apikeys.KeySearch.as_view()),
    path("api/v1/api-keys/<str:key_id>", apikeys.KeyResource.as_view()),
    path("api/v1/api-keys/<str:key_id>/disable", apikeys.DisableKey.as_view()),
    path("api/v1/api-keys/<str:key_id>/enable", apikeys.EnableKey.as_view()),
    path("api/v1/api-keys/<str:key_id>/rotate", apikeys.RotateKey.as_view()),
    path("api/v1/api-keys/<str:key_id>/usage", usage.KeyUsage.as_view()),
    path("api/v1/templates", templates.Templates.as_view()),
    path("api/v1/templates/<str:template_id>", templates.Template.as_view()),
    path("api/v1/plugins/settings", agents.PluginSettings.as_view()),
    path("api/v1/system/config-schema", config.AgentConfigSchema.as_view()),
    path("api/v1/system/models", agents.SystemModels.as_view()),
    path("api/v1/system/bot-defaults", agents.BotDefaults.as_view()),
    path("admin/", admin.site.urls),
]

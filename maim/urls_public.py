"""URLs of the public surface: the API for people's browsers, and the operators' admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from accounts import pages
from accounts.views import factors, identities, passwords, sign_in
from agents.views import activity, agents, configs, templates, transfer
from apikeys.views import keys, leaks, notices, refusals, search, usage, usage_log
from core.http import handlers, home, probes
from core.http.docs import OpenAPIView, SwaggerView
from core.http.surfaces import PUBLIC
from tenants.views import accounts as tenant_accounts
from tenants.views import admin_sign_in, audit, invitations, members, tenants, tokens

handler400 = handlers.bad_request
handler403 = handlers.permission_denied
handler404 = handlers.not_found
handler500 = handlers.server_error

urlpatterns = [
    path("", home.WelcomeView.as_view()),
    path("favicon.ico", home.FaviconView.as_view()),
    path("health", probes.HealthView.as_view()),
    path("docs", SwaggerView.as_view(surface=PUBLIC)),
    path("api/v1/openapi.json", OpenAPIView.as_view(surface=PUBLIC), name="openapi"),
    path("api/v1/auth/register", tenant_accounts.RegisterView.as_view()),
    path("api/v1/auth/login", sign_in.LoginView.as_view()),
    path("api/v1/auth/mfa", sign_in.FactorView.as_view()),
    path("api/v1/auth/passkey/options", sign_in.PasskeyOptionsView.as_view()),
    path("api/v1/auth/passkey", sign_in.PasskeySignInView.as_view()),
    path("api/v1/auth/refresh", sign_in.TokenRefreshView.as_view()),
    path("api/v1/auth/logout", sign_in.LogoutView.as_view()),
    path("api/v1/auth/password", passwords.PasswordChangeView.as_view()),
    path("api/v1/auth/sessions", sign_in.SessionListView.as_view()),
    path("api/v1/auth/sessions/<str:session_id>", sign_in.SessionDetailView.as_view()),
    path("api/v1/auth/tokens", tokens.TokenListView.as_view()),
    path("api/v1/auth/tokens/<str:token_id>", tokens.TokenDetailView.as_view()),
    path("api/v1/auth/factors", factors.FactorListView.as_view()),
    path("api/v1/auth/factors/totp", factors.TotpView.as_view()),
    path("api/v1/auth/factors/totp/confirm", factors.TotpConfirmView.as_view()),
    path("api/v1/auth/factors/totp/remove", factors.TotpRemoveView.as_view()),
    path("api/v1/auth/factors/passkeys", factors.PasskeyListView.as_view()),
    path("api/v1/auth/factors/passkeys/confirm", factors.PasskeyConfirmView.as_view()),
    path("api/v1/auth/factors/passkeys/<str:passkey_id>", factors.PasskeyDetailView.as_view()),
    path("api/v1/auth/factors/passkeys/<str:passkey_id>/remove", factors.PasskeyRemoveView.as_view()),
    path("api/v1/auth/factors/recovery-codes", factors.RecoveryCodesView.as_view()),
    path("api/v1/auth/password/forgot", passwords.PasswordForgottenView.as_view()),
    path("api/v1/auth/password/reset", passwords.PasswordResetView.as_view()),
    path("api/v1/auth/email/verify", passwords.EmailVerifyView.as_view()),
    path("api/v1/auth/email/verification", passwords.EmailVerificationView.as_view()),
    path("api/v1/auth/oidc", identities.SignInWaysView.as_view()),
    path("api/v1/auth/oidc/link", identities.OidcLinkView.as_view()),
    path("api/v1/auth/oidc/<str:provider>/start", identities.OidcStartView.as_view()),
    path("api/v1/auth/oidc/<str:provider>/finish", tenant_accounts.OidcFinishView.as_view()),
    path("api/v1/auth/identities", identities.IdentityListView.as_view()),
    path("api/v1/auth/identities/<str:provider>/start", identities.IdentityStartView.as_view()),
    path("api/v1/auth/identities/<str:provider>/finish", identities.IdentityFinishView.as_view()),
    path("api/v1/auth/identities/<str:identity_id>", identities.IdentityDetailView.as_view()),
    path("api/v1/auth/me", tenant_accounts.ProfileView.as_view()),
    path("api/v1/auth/me/close", tenant_accounts.AccountClosureView.as_view()),
    path("api/v1/tenants", tenants.TenantListView.as_view()),
    path("api/v1/tenants/<str:tenant_id>", tenants.TenantDetailView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/members", members.MemberListView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/members/<str:user_id>", members.MemberDetailView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/invitations", invitations.InvitationListView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/invitations/<str:invitation_id>", invitations.InvitationDetailView.as_view()),
    path("api/v1/invitations/show", invitations.InvitationShowView.as_view()),
    path("api/v1/invitations/accept", invitations.InvitationAcceptView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/limits", members.TenantLimitsView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/ownership-offer", members.OwnershipOfferView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/ownership-offer/accept", members.OwnershipAcceptanceView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/usage", usage.TenantUsageView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/audit", audit.TenantAuditView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/agent-activity", activity.TenantActivityView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/usage-log", usage_log.TenantUsageLogView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/refusals", refusals.TenantRefusalsView.as_view()),
    path("api/v1/tenants/<str:tenant_id>/notices", notices.TenantNoticesView.as_view()),
    path("api/v1/agents", agents.AgentListView.as_view()),
    path("api/v1/agents/import", transfer.AgentImportView.as_view()),
    path("api/v1/agents/<str:agent_id>", agents.AgentDetailView.as_view()),
    path("api/v1/agents/<str:agent_id>/duplicate", transfer.AgentDuplicateView.as_view()),
    path("api/v1/agents/<str:agent_id>/export", transfer.AgentExportView.as_view()),
    path("api/v1/agents/<str:agent_id>/config", configs.AgentConfigView.as_view()),
    path("api/v1/agents/<str:agent_id>/config/effective", configs.EffectiveConfigView.as_view()),
    path("api/v1/agents/<str:agent_id>/config/versions", configs.ConfigVersionListView.as_view()),
    path("api/v1/agents/<str:agent_id>/config/versions/<int:number>", configs.ConfigVersionDetailView.as_view()),
    path("api/v1/agents/<str:agent_id>/config/diff", configs.ConfigDiffView.as_view()),
    path("api/v1/agents/<str:agent_id>/config/restore", configs.ConfigRestoreView.as_view()),
    path("api/v1/agents/<str:agent_id>/usage", usage.AgentUsageView.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys", keys.AgentKeyListView.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>", keys.AgentKeyDetailView.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>/rotate", keys.AgentKeyRotateView.as_view()),
    path("api/v1/agents/<str:agent_id>/api_keys/<str:key_id>/usage", usage.AgentKeyUsageView.as_view()),
    path("api/v1/api-keys", keys.KeyListView.as_view()),
    path("api/v1/api-keys/search", keys.KeySearchView.as_view()),
    path("api/v1/api-keys/report-leaked", leaks.LeakReportView.as_view()),
    path("api/v1/api-keys/disable", keys.KeysDisableView.as_view()),
    path("api/v1/api-keys/enable", keys.KeysEnableView.as_view()),
    path("api/v1/api-keys/<str:key_id>", keys.KeyDetailView.as_view()),
    path("api/v1/api-keys/<str:key_id>/disable", keys.KeyDisableView.as_view()),
    path("api/v1/api-keys/<str:key_id>/enable", keys.KeyEnableView.as_view()),
    path("api/v1/api-keys/<str:key_id>/rotate", keys.KeyRotateView.as_view()),
    path("api/v1/api-keys/<str:key_id>/usage", usage.KeyUsageView.as_view()),
    path("api/v1/search", search.SearchView.as_view()),
    path("api/v1/templates", templates.TemplateListView.as_view()),
    path("api/v1/templates/<str:template_id>", templates.TemplateDetailView.as_view()),
    path("api/v1/plugins/settings", agents.PluginSettingsView.as_view()),
    path("api/v1/system/config-schema", configs.ConfigSchemaView.as_view()),
    path("api/v1/system/models", agents.SystemModelsView.as_view()),
    path("api/v1/system/bot-defaults", agents.BotDefaultsView.as_view()),
    path("account/accept-invitation", pages.AcceptInvitationPage.as_view()),
    path("account/join-tenant", pages.JoinTenantPage.as_view()),
    path("account/reset-password", pages.PasswordResetPage.as_view()),
    path("account/verify-email", pages.EmailVerifyPage.as_view()),
    path("admin/oidc/", include((admin_sign_in, "admin_oidc"))),
    path("admin/figures/", include("dashboard.urls")),
    path("admin/", admin.site.urls),
]

"""All changes that requests can make, and the audit entry of each: see `tests/test_audit.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from tests.support.people import PASSWORD

NEW = "NEW"  # an object that the request creates, whose id is in the response
API_KEY, BASE_URL, AUTH_TOKEN = "sk-provider-secret", "https://user:pass@provider.example", "message-token-secret"
SECRET_CONFIG = {
    "config_overrides": {
        "model": {"api_providers": [{"name": "mine", "api_key": API_KEY, "base_url": BASE_URL}]},
        "maim_message": {"auth_token": [AUTH_TOKEN]},
    }
}
MASK = "********"
MASKED_CONFIG = {
    "config_overrides": {
        "model": {"api_providers": [{"name": "mine", "api_key": MASK, "base_url": MASK}]},
        "maim_message": {"auth_token": [MASK]},
    }
}

_AGENT: dict[str, Any] = {
    "name": "new",
    "description": None,
    "template_id": None,
    "config_version": 1,
    "status": "active",
    "config_schema": None,
    "tags": [],
    "rate_limit": None,
    "quota": None,
}
_OLD_AGENT = {**_AGENT, "name": "agent", "config_version": 2, "config": {}}
_KEY: dict[str, Any] = {
    "name": "new",
    "description": None,
    "permissions": [],
    "status": "active",
    "expires_at": None,
    "rate_limit": None,
    "quota": None,
    "allowed_networks": [],
    "metadata": {},
}
_OLD_KEY = {**_KEY, "name": "key", "agent_id": "{agent_id}"}
_TENANT = {
    "tenant_name": "New",
    "tenant_type": "enterprise",
    "description": None,
    "contact_email": None,
    "tenant_config": None,
    "status": "active",
    "owner_id": None,
    "config_schema": None,
    "rate_limit": None,
    "quota": None,
    "limits": None,
    "requires_mfa": False,
}
_PERSONAL = {**_TENANT, "tenant_name": "alice's Personal Tenant", "tenant_type": "personal", "owner_id": "{user_id}"}
_TEMPLATE: dict[str, Any] = {"name": "new", "description": None, "tenant_id": "{tenant_id}", "config": {}}
_PLUGIN: dict[str, Any] = {"agent_id": None, "plugin_name": "weather", "enabled": True, "config": {}}

_TOKEN: dict[str, Any] = {
    "user": "{user_id}",
    "name": "script",
    "scope": "write",
    "tenant_id": None,
    "expires_at": "{token_expiry}",
}


@dataclass(frozen=True)
class Change:
    """A request that changes something, and its audit entry. Braces stand for ids."""

    surface: Surface
    request: str
    body: dict[str, Any] | None
    action: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    in_tenant: bool = True
    anonymous: bool = False
    by: Literal["alice", "bob"] = "alice"
    also: tuple[str, ...] = field(default=())  # actions of further entries

    def __str__(self) -> str:
        return f"{self.surface.name} {self.request} {self.action}"


def _changes_of_members(path: str) -> Iterator[Change]:
    """Return the changes of a tenant's members, and of offers of it."""
    bob = {"user": "{member_id}", "username": "bob"}
    member, offer = f"{path}/members/{{member_id}}", f"{path}/ownership-offer"
    yield Change(
        PUBLIC, f"PUT {member}", {"role": "viewer"}, "membership.set", "{tenant_id}",
        before={**bob, "role": "member"}, after={**bob, "role": "viewer"},
    )  # fmt: skip
    yield Change(
        PUBLIC, f"DELETE {member}", None, "membership.remove", "{tenant_id}",
        before={**bob, "role": "member"}, after=None,
    )  # fmt: skip
    yield Change(
        PUBLIC, f"PUT {offer}", {"user_id": "{member_id}"}, "ownership.offer", "{tenant_id}",
        before=None, after={"owner_id": "{member_id}"},
    )  # fmt: skip
    yield Change(
        PUBLIC, f"DELETE {offer}", None, "ownership.withdraw", "{tenant_id}",
        before={"owner_id": "{offered_to}"}, after=None,
    )  # fmt: skip
    yield Change(
        PUBLIC, "POST /api/v1/tenants/{offered_tenant_id}/ownership-offer/accept", None,
        "ownership.transfer", "{offered_tenant_id}",
        before={"owner_id": "{offered_by}"}, after={"owner_id": "{user_id}"},
        also=("membership.set", "membership.set"),
    )  # fmt: skip


def _changes_of_invitations(path: str) -> Iterator[Change]:
    """Return the changes of a tenant's invitations, and their use."""
    invitation = {"email": "Dora@example.com", "role": "viewer"}
    yield Change(
        PUBLIC, f"POST {path}/invitations", invitation, "invitation.create", NEW, before=None, after=invitation,
    )  # fmt: skip
    yield Change(
        PUBLIC, f"DELETE {path}/invitations/{{invitation_id}}", None, "invitation.revoke", "{invitation_id}",
        before={"email": "somebody@example.org", "role": "member"}, after=None,
    )  # fmt: skip
    yield Change(
        PUBLIC, "POST /api/v1/invitations/accept", {"token": "{invitation_token}"}, "invitation.accept",
        "{accepted_invitation_id}", before=None, after={"email": "alice@example.com", "user": "{user_id}"},
        also=("membership.set",),
    )  # fmt: skip


def _changes_of_keys(surface: Surface, path: str) -> Iterator[Change]:
    """Return the changes of one key, by its path on a surface."""
    renamed = {"name": "renamed", "description": None}
    yield Change(
        surface, f"PUT {path}", renamed, "key.update", "{key_id}", before={"name": "key"}, after={"name": "renamed"}
    )
    limits = {"rate_limit": {"limit": 5, "window_seconds": 60}, "quota": {"limit": 100, "period": "day"}}
    yield Change(
        surface,
        f"PUT {path}",
        {**limits, "allowed_networks": ["10.0.0.1"], "metadata": {"team": "sales"}},
        "key.update",
        "{key_id}",
        before={"rate_limit": None, "quota": None, "allowed_networks": [], "metadata": {}},
        after={**limits, "allowed_networks": ["10.0.0.1/32"], "metadata": {"team": "sales"}},
    )
    yield Change(
        surface,
        f"POST {path}/rotate",
        {"grace_seconds": 60},
        "key.rotate",
        "{key_id}",
        before=None,
        after={"hint": "{newest_hint}", "old_hint": "{hint}", "grace_seconds": 60},
    )
    yield Change(surface, f"DELETE {path}", None, "key.delete", "{key_id}", before=_OLD_KEY, after=None)


def _changes_of_a_config(surface: Surface, path: str) -> Iterator[Change]:
    """Return the changes of a config. The audit log does not have its values, because the versions have them."""
    yield Change(
        surface,
        f"PUT {path}/config",
        SECRET_CONFIG,
        "agent.update",
        "{agent_id}",
        before={"config_version": 2},
        after={"config_version": 3},
    )
    yield Change(
        surface,
        f"POST {path}/config/restore",
        {"version": 1},
        "agent.restore",
        "{agent_id}",
        before={"config_version": 2, "restored": None},
        after={"config_version": 3, "restored": 1},
    )


def _changes_of_templates(surface: Surface, path: str) -> Iterator[Change]:
    yield Change(
        surface,
        f"POST {path}",
        {"name": "new", "tenant_id": "{tenant_id}", "config": SECRET_CONFIG},
        "template.create",
        NEW,
        before=None,
        after={**_TEMPLATE, "config": MASKED_CONFIG},
    )
    yield Change(
        surface,
        f"PUT {path}/{{template_id}}",
        {"name": "template", "config": SECRET_CONFIG},
        "template.update",
        "{template_id}",
        before={"config": {}},
        after={"config": MASKED_CONFIG},
    )
    yield Change(
        surface,
        f"DELETE {path}/{{template_id}}",
        None,
        "template.delete",
        "{template_id}",
        before={**_TEMPLATE, "name": "template"},
        after=None,
    )


CHANGES = [
    Change(
        PUBLIC,
        "POST /api/v1/auth/register",
        {"username": "dora", "password": PASSWORD, "email": "Dora@example.com"},
        "user.create",
        NEW,
        before=None,
        after={
            "username": "dora",
            "email": "Dora@example.com",
            "is_active": True,
            "operator_role": None,
            "key_notices": True,
        },
        in_tenant=False,
        anonymous=True,
        also=("tenant.create",),
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/login",
        {"username": "alice", "password": PASSWORD},
        "session.create",
        NEW,
        before=None,
        after={"user": "{user_id}"},
        in_tenant=False,
        anonymous=True,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/mfa",
        {"challenge": "{challenge}", "method": "recovery_code", "code": "{code}"},
        "user.recovery_code",
        "{user_id}",
        before=None,
        after={"left": 9},
        in_tenant=False,
        anonymous=True,
        also=("session.create",),
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/logout",
        {"refresh_token": "{refresh_token}"},
        "session.delete",
        NEW,
        before={"user": "{user_id}"},
        after=None,
        in_tenant=False,
        anonymous=True,
    ),
    Change(
        PUBLIC,
        "DELETE /api/v1/auth/sessions/{session_id}",
        None,
        "session.delete",
        "{session_id}",
        before={"user": "{user_id}"},
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "DELETE /api/v1/auth/sessions",
        None,
        "session.delete",
        "{session_id}",
        before={"user": "{user_id}"},
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/tokens",
        {
            "name": "script",
            "scope": "read",
            "tenant_id": "{tenant_id}",
            "expires_at": "{token_expiry}",
            "password": PASSWORD,
        },
        "token.create",
        NEW,
        before=None,
        after={**_TOKEN, "scope": "read", "tenant_id": "{tenant_id}"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "PATCH /api/v1/auth/tokens/{token_id}",
        {"name": "another"},
        "token.update",
        "{token_id}",
        before={"name": "script"},
        after={"name": "another"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "DELETE /api/v1/auth/tokens/{token_id}",
        None,
        "token.delete",
        "{token_id}",
        before=_TOKEN,
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/factors/totp/confirm",
        {"code": "{code}"},
        "user.factor_add",
        "{user_id}",
        before=None,
        after={"method": "totp"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/factors/totp/remove",
        {"password": PASSWORD},
        "user.factor_remove",
        "{user_id}",
        before={"method": "totp"},
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/passkey",
        {"challenge": "{challenge}", "credential": "{credential}"},
        "session.create",
        NEW,
        before=None,
        after={"user": "{user_id}"},
        anonymous=True,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/factors/passkeys/confirm",
        {"challenge": "{challenge}", "credential": "{credential}", "name": "laptop"},
        "user.factor_add",
        "{user_id}",
        before=None,
        after={"method": "passkey", "passkey": "{newest_passkey_id}", "name": "laptop"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "PATCH /api/v1/auth/factors/passkeys/{passkey_id}",
        {"name": "phone"},
        "user.factor_rename",
        "{user_id}",
        before={"passkey": "{passkey_id}", "name": "key"},
        after={"passkey": "{passkey_id}", "name": "phone"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/factors/passkeys/{passkey_id}/remove",
        {"password": PASSWORD},
        "user.factor_remove",
        "{user_id}",
        before={"method": "passkey", "passkey": "{passkey_id}", "name": "key"},
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/factors/recovery-codes",
        {"password": PASSWORD},
        "user.recovery_codes",
        "{user_id}",
        before=None,
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/password",
        {"old_password": PASSWORD, "new_password": "another password"},
        "user.password",
        "{user_id}",
        before=None,
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/password/reset",
        {"token": "{reset_token}", "new_password": "another password"},
        "user.password",
        "{user_id}",
        before=None,
        after=None,
        in_tenant=False,
        anonymous=True,
        also=("user.remove_credentials",),
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/email/verify",
        {"token": "{verify_token}"},
        "user.verify_email",
        "{user_id}",
        before={"email": None, "pending_email": "alice@example.com", "email_verified": False},
        after={"email": "alice@example.com", "pending_email": None, "email_verified": True},
        in_tenant=False,
        anonymous=True,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/identities/{provider}/finish",
        {"flow": "{flow}", "code": "{code}", "state": "{state}"},
        "identity.create",
        NEW,
        before=None,
        after={"user": "{user_id}", "provider": "acme", "issuer": "{iss}", "subject": "alice-at-acme"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/oidc/{provider}/finish",
        {"flow": "{flow}", "code": "{code}", "state": "{state}"},
        "session.create",
        NEW,
        before=None,
        after={"user": "{user_id}"},
        in_tenant=False,
        anonymous=True,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/oidc/link",
        {"challenge": "{challenge}", "password": PASSWORD},
        "identity.create",
        NEW,
        before=None,
        after={
            "user": "{user_id}",
            "provider": "acme",
            "issuer": "https://acme.example",
            "subject": "alice-linked",
        },
        in_tenant=False,
        anonymous=True,
        also=("session.create",),
    ),
    Change(
        PUBLIC,
        "DELETE /api/v1/auth/identities/{identity_id}",
        None,
        "identity.delete",
        "{identity_id}",
        before={"user": "{user_id}", "provider": "acme", "issuer": "https://acme.example", "subject": "alice"},
        after=None,
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "PATCH /api/v1/auth/me",
        {"email": "a@example.com"},
        "user.update",
        "{user_id}",
        before={"email": None},
        after={"email": "a@example.com"},
        in_tenant=False,
    ),
    Change(
        PUBLIC,
        "POST /api/v1/auth/me/close",
        {"password": PASSWORD},
        "user.delete",
        "{bob_id}",
        before={
            "username": "bob",
            "email": None,
            "is_active": True,
            "operator_role": None,
            "key_notices": True,
        },
        after=None,
        also=("membership.remove",),
        in_tenant=False,
        by="bob",
    ),
    *(
        Change(
            surface,
            f"POST {path}",
            {"tenant_name": "New", "tenant_type": "enterprise"},
            "tenant.create",
            NEW,
            before=None,
            after={**_TENANT, "owner_id": owner},
        )
        for surface, path, owner in (
            (PUBLIC, "/api/v1/tenants", "{user_id}"),
            (INTERNAL, "/api/v2/tenants", None),
        )
    ),
    *(
        change
        for surface, path in ((PUBLIC, "/api/v1/tenants/{tenant_id}"), (INTERNAL, "/api/v2/tenants/{tenant_id}"))
        for change in (
            Change(
                surface,
                f"PUT {path}",
                {"description": "changed", "tenant_name": "alice's Personal Tenant"},
                "tenant.update",
                "{tenant_id}",
                before={"description": None},
                after={"description": "changed"},
            ),
            Change(surface, f"DELETE {path}", None, "tenant.delete", "{tenant_id}", before=_PERSONAL, after=None),
        )
    ),
    *_changes_of_members("/api/v1/tenants/{tenant_id}"),
    *_changes_of_invitations("/api/v1/tenants/{tenant_id}"),
    *(
        Change(
            surface,
            f"POST {path}",
            {"name": "new", "tenant_id": "{tenant_id}", "config": SECRET_CONFIG},
            "agent.create",
            NEW,
            before=None,
            after={**_AGENT, "config": MASKED_CONFIG},
        )
        for surface, path in ((PUBLIC, "/api/v1/agents"), (INTERNAL, "/api/v2/agents"))
    ),
    *(
        Change(
            surface,
            request,
            {"name": "agent", "status": "inactive", "tags": ["a"]},
            "agent.update",
            "{agent_id}",
            before={"status": "active", "tags": []},
            after={"status": "inactive", "tags": ["a"]},
        )
        for surface, request in (
            (PUBLIC, "PUT /api/v1/agents/{agent_id}"),
            (PUBLIC, "PATCH /api/v1/agents/{agent_id}"),
            (INTERNAL, "PUT /api/v2/agents/{agent_id}"),
        )
    ),
    *_changes_of_a_config(PUBLIC, "/api/v1/agents/{agent_id}"),
    *_changes_of_a_config(INTERNAL, "/api/v2/agents/{agent_id}"),
    *(
        change
        for surface, path in ((PUBLIC, "/api/v1/agents"), (INTERNAL, "/api/v2/agents"))
        for change in (
            Change(
                surface,
                f"POST {path}/{{agent_id}}/duplicate",
                {"name": "new"},
                "agent.duplicate",
                NEW,
                before=None,
                after={**_AGENT, "config": {}, "duplicate_of": "{agent_id}", "plugins": []},
            ),
            Change(
                surface,
                f"POST {path}/import?tenant_id={{tenant_id}}",
                {
                    "maim_export": 1,
                    "name": "new",
                    "config": SECRET_CONFIG,
                    "plugins": [{"plugin_name": "weather", "enabled": True}],
                },
                "agent.create",
                NEW,
                before=None,
                after={**_AGENT, "config": MASKED_CONFIG},
                also=("plugin.set",),
            ),
        )
    ),
    *_changes_of_templates(PUBLIC, "/api/v1/templates"),
    *_changes_of_templates(INTERNAL, "/api/v2/templates"),
    Change(
        INTERNAL,
        "POST /api/v2/templates",
        {"name": "new"},
        "template.create",
        NEW,
        before=None,
        after={**_TEMPLATE, "tenant_id": None},
        in_tenant=False,
    ),
    *(
        Change(surface, f"DELETE {path}", None, "agent.delete", "{agent_id}", before=_OLD_AGENT, after=None)
        for surface, path in ((PUBLIC, "/api/v1/agents/{agent_id}"), (INTERNAL, "/api/v2/agents/{agent_id}"))
    ),
    *(
        Change(
            surface,
            f"POST {path}",
            {"name": "new", "tenant_id": "{tenant_id}", "agent_id": "{agent_id}"},
            "key.create",
            NEW,
            before=None,
            after={**_KEY, "agent_id": "{agent_id}"},
        )
        for surface, path in (
            (PUBLIC, "/api/v1/agents/{agent_id}/api_keys"),
            (PUBLIC, "/api/v1/api-keys"),
            (INTERNAL, "/api/v2/api-keys"),
        )
    ),
    *_changes_of_keys(PUBLIC, "/api/v1/agents/{agent_id}/api_keys/{key_id}"),
    *_changes_of_keys(PUBLIC, "/api/v1/api-keys/{key_id}"),
    *_changes_of_keys(INTERNAL, "/api/v2/api-keys/{key_id}"),
    *(
        Change(
            surface,
            f"POST {path}",
            {"api_key": "{api_key}", "where": "https://example.com/?key={api_key}"},
            "key.report_leak",
            "{key_id}",
            before=None,
            after={"hint": "{hint}", "where": "https://example.com/?key=mmc_…"},
        )
        for surface, path in ((PUBLIC, "/api/v1/api-keys/report-leaked"), (INTERNAL, "/api/v2/auth/report-leaked-key"))
    ),
    Change(
        PUBLIC,
        "PATCH /api/v1/agents/{agent_id}/api_keys/{key_id}",
        {"permissions": ["chat", "chat"]},
        "key.update",
        "{key_id}",
        before={"permissions": []},
        after={"permissions": ["chat"]},
    ),
    *(
        Change(
            surface,
            f"POST {path}/{verb}",
            body,
            "key.update",
            key,
            before={"status": before},
            after={"status": after},
        )
        for surface, path in ((PUBLIC, "/api/v1/api-keys"), (INTERNAL, "/api/v2/api-keys"))
        for verb, body, key, before, after in (
            ("{key_id}/disable", None, "{key_id}", "active", "disabled"),
            ("{disabled_key_id}/enable", None, "{disabled_key_id}", "disabled", "active"),
            ("disable", {"api_key_ids": ["{key_id}"]}, "{key_id}", "active", "disabled"),
            ("enable", {"api_key_ids": ["{disabled_key_id}"]}, "{disabled_key_id}", "disabled", "active"),
        )
    ),
    *(
        Change(
            surface,
            f"POST /api/v1/plugins/settings?tenant_id={{tenant_id}}{query}",
            {"plugin_name": "weather", "enabled": True},
            "plugin.set",
            NEW,
            before=None,
            after={**_PLUGIN, "agent_id": agent},
        )
        for surface in (PUBLIC, INTERNAL)
        for query, agent in (("", None), ("&agent_id={agent_id}", "{agent_id}"))
    ),
    *(
        Change(
            surface,
            "POST /api/v1/plugins/settings?tenant_id={tenant_id}",
            {"plugin_name": "news", "enabled": False},
            "plugin.set",
            "{plugin_id}",
            before={"enabled": True},
            after={"enabled": False},
        )
        for surface in (PUBLIC, INTERNAL)
    ),
]

# Requests that write without an audit entry, each with its reason.
MEASUREMENTS = {
    "public: POST /api/v1/invitations/show": "reads",
    "public: POST /api/v1/api-keys/search": "reads",
    "internal: POST /api/v2/api-keys/search": "reads",
    "public: POST /api/v1/search": "reads",
    "public: POST /api/v1/auth/password/forgot": "changes nothing; the link has an entry when it is made",
    "public: POST /api/v1/auth/passkey/options": "stores nothing",
    "public: POST /api/v1/auth/factors/passkeys": "stores nothing",
    "public: POST /api/v1/auth/factors/totp": "changes nothing before a code confirms the app",
    "public: POST /api/v1/auth/email/verification": "changes nothing; the link has an entry when it is made",
    "public: POST /api/v1/auth/oidc/{provider}/start": "changes nothing; what it leads to has an entry",
    "public: POST /api/v1/auth/identities/{provider}/start": "changes nothing; what it leads to has an entry",
    "public: POST /api/v1/auth/refresh": "the session goes on, only its tokens change",
    "internal: POST /api/v2/auth/parse-api-key": "reads",
    "internal: POST /api/v2/auth/validate-api-key": "counts a use",
    "internal: POST /api/v2/auth/validate-api-keys": "counts uses",
    "internal: POST /api/v2/auth/check-permission": "reads",
    "internal: PUT /api/v2/agent-activity": "a heartbeat",
    "internal: POST /api/v1/usage/log": "is a log itself",
}

"""The examples in the OpenAPI documents: a value for each name, out of which a body for each operation is made."""

from __future__ import annotations

from typing import Any

JSON = "application/json"
TENANT, AGENT, KEY = "tenant_3f0c9a71b2de", "agent_77aa01c4e9f2", "key_5d1e88b03c7a"
EARLIER, NOW, LATER = "2026-11-01T08:00:00Z", "2026-11-28T12:00:00Z", "2027-11-28T12:00:00Z"

# By the name of a property; `Component.property` where a name means different things.
VALUES: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiIs…",
    "action": "reply",
    "added_at": EARLIER,
    "agent_id": AGENT,
    "agent_name": "Support bot",
    "agents": 3,
    "all_permissions": ["chat", "config.read"],
    "allowed_networks": ["203.0.113.0/24"],
    "api_key": "mmc_dGVuYW50XzNmMGM5YTcxYjJkZV9hZ2VudF83N2FhMDFjNGU5ZjJf…",
    "AgentKeyResponse.api_key": "mmc_…94bb",
    "KeyResponse.api_key": "mmc_…94bb",
    "api_key_id": KEY,
    "api_key_ids": [KEY, "key_9c02f7ab41de"],
    "api_key_status": "active",
    "architecture": "one Django application, two surfaces",
    "author": "ada",
    "base_url": "https://api.deepseek.com/v1",
    "challenge": "kC3vXh0Qm4yq8RZt…",
    "check_rate_limit": True,
    "client_ip": "203.0.113.7",
    "client_type": "openai",
    "code": "VALID",
    "PasskeyOptionsResponse.challenge": "Zm9yIGEgcGFzc2tleQ…:1vQ3yM:8kQx…",
    "PasskeySignInRequest.challenge": "Zm9yIGEgcGFzc2tleQ…:1vQ3yM:8kQx…",
    "PasskeyConfirmRequest.challenge": "Zm9yIGEgcGFzc2tleQ…:1vQ3yM:8kQx…",
    "credential": {"id": "dGhlIGtleQ…", "rawId": "dGhlIGtleQ…", "type": "public-key", "response": {}},
    "FactorItemResponse.id": "passkey_0b6f2c9d41ae",
    "FactorItemResponse.name": "laptop",
    "PasskeyAddedResponse.id": "passkey_0b6f2c9d41ae",
    "PasskeyConfirmRequest.name": "laptop",
    "PasskeyNameRequest.name": "laptop",
    "options": {"challenge": "b3VyIGNoYWxsZW5nZQ…", "rpId": "maim.example.com", "userVerification": "required"},
    "FactorRequest.code": "492039",
    "TotpConfirmRequest.code": "492039",
    "ErrorResponse.code": "NOT_FOUND",
    "config": {"persona": {"personality": "calm and helpful"}, "config_overrides": {"chat": {"talk_value": 0.8}}},
    "PluginRequest.config": {"city": "Shanghai"},
    "PluginResponse.config": {"city": "Shanghai"},
    "InternalPluginResponse.config": {"city": "Shanghai"},
    "config_schema": "maibot-0.12",
    "config_version": 4,
    "config_warnings": [],
    "contact_email": "ops@example.com",
    "count": 1,
    "created_at": EARLIER,
    "cursor": "1024",
    "date": "2026-11-28",
    "defaults": {},
    "deleted": False,
    "description": "Answers customers' questions",
    "AboutResponse.description": "The control plane for multi-tenant AI agents",
    "InfoResponse.description": "The control plane for multi-tenant AI agents",
    "device": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "detail": "There is no such agent",
    "details": {"tokens": 412},
    "dry_run": False,
    "email": "ada@example.com",
    "ProfileRequest.email": "ada.lovelace@example.com",
    "email_verified": True,
    "enabled": True,
    "endpoints": {"agents": "/api/v2/agents"},
    "error": None,
    "error_code": None,
    "errors": {"name": ["This field is required."]},
    "execution_time": 0.000412,
    "expires_at": LATER,
    "expires_in": 691200,
    "features": ["API key issuing and verification"],
    "format_valid": True,
    "grace_seconds": 3600,
    "has_more": False,
    "has_next": False,
    "has_permission": True,
    "has_prev": False,
    "id": AGENT,
    "AgentKeyResponse.id": KEY,
    "ProfileResponse.id": "user_0b5c77d1e4a9",
    "TemplateDeletionResponse.id": "template_c02be1f9d873",
    "TemplateListItemResponse.id": "template_c02be1f9d873",
    "TemplateResponse.id": "template_c02be1f9d873",
    "TenantDeletionResponse.id": TENANT,
    "TenantResponse.id": TENANT,
    "UserResponse.id": "user_0b5c77d1e4a9",
    "UsageResponse.id": 1,
    "invitation": None,
    "is_active": True,
    "is_server_provider": False,
    "key_name": "production",
    "last_seen_at": NOW,
    "last_used_at": NOW,
    "leaked_at": None,
    "limit": 100,
    "maim_export": 1,
    "message": "Done",
    "MailRequestedResponse.message": "A mail with a link is on its way",
    "metadata": {"team": "support"},
    "name": "Support bot",
    "AgentKeyCreateRequest.name": "production",
    "AgentKeyResponse.name": "production",
    "InfoResponse.name": "maim",
    "KeyCreateRequest.name": "production",
    "KeyResponse.name": "production",
    "KeyUpdateRequest.name": "production",
    "ProviderResponse.name": "DeepSeek",
    "new_password": "a long new password 2026",
    "next_after": None,
    "note": "speaks more",
    "old_password": "a long old password 2025",
    "old_secret_last_used_at": None,
    "owner_id": "user_0b5c77d1e4a9",
    "page": 1,
    "page_size": 20,
    "pages": 1,
    "password": "a long password 2026",
    "path": "/config_overrides/chat/talk_value",
    "pending_email": "ada.lovelace@example.com",
    "period": "day",
    "permission": "chat",
    "permissions": ["chat", "config.read"],
    "platform": "qq",
    "plugin_name": "weather",
    "qr_code": "data:image/svg+xml;charset=utf-8,%3Csvg…",
    "random_hash": "9c41…94bb",
    "recovery_codes": ["k2vq-7xma-3t5b-w6cd", "…"],
    "FactorsResponse.recovery_codes": 10,
    "refresh_token": "eyJhbGciOiJIUzI1NiIs…",
    "remaining": 99,
    "request_id": "req_8a1f0c55d2e7b340",
    "required_permission": "chat",
    "reset": LATER,
    "retry_after": None,
    "revision": 4,
    "role": "owner",
    "secret": "JBSWY3DPEHPK3PXP…",
    "services": {"api": "healthy", "database": "healthy"},
    "size": 20,
    "sources": {"/persona/personality": "agent"},
    "stale": False,
    "status": "active",
    "HealthResponse.status": "healthy",
    "ReadyResponse.status": "healthy",
    "success": True,
    "supported_features": ["API key issuing and verification"],
    "tags": ["support"],
    "template_id": "template_c02be1f9d873",
    "tenant_config": {},
    "tenant_id": TENANT,
    "tenant_name": "Acme",
    "tenant_status": "active",
    "tenant_type": "enterprise",
    "timestamp": NOW,
    "HealthResponse.timestamp": 1795867200.0,
    "ReadyResponse.timestamp": 1795867200.0,
    "token": "0uXw1s8Gm5o4c7nQ…",
    "token_type": "bearer",
    "total": 1,
    "total_pages": 1,
    "ttl_seconds": 43200,
    "updated_at": NOW,
    "uri": "otpauth://totp/maim:ada?secret=JBSWY3DPEHPK3PXP…&issuer=maim",
    "usage_count": 1024,
    "user_id": "10001",
    "username": "ada",
    "uses": 512,
    "valid": True,
    "ParsedKeyResponse.version": "v2",
    "version": 4,
    "AboutResponse.version": "0.1.0",
    "HealthResponse.version": "0.1.0",
    "InfoResponse.version": "0.1.0",
    "ReadyResponse.version": "0.1.0",
    "warnings": [],
    "was_current": True,
    "where": "https://github.com/example/bot/blob/main/.env",
    "window_seconds": 60,
}


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Give each JSON body that a request or a successful response has an example."""
    components = result["components"]["schemas"]
    for methods in result["paths"].values():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {})]
            bodies += [body for status, body in operation["responses"].items() if int(status) < 300]
            for body in bodies:
                if JSON in body.get("content", {}):
                    media = body["content"][JSON]
                    media["example"] = _example(media["schema"], components)
    return result


def _example(schema: dict[str, Any], components: dict[str, Any], component: str = "", name: str = "") -> Any:
    """Return a value of the schema. `name` is the property that it is of, and `component` has that property."""
    for known in (f"{component}.{name}", name):
        if known in VALUES and _fits(VALUES[known], schema):
            return VALUES[known]
    if "$ref" in schema:
        component = schema["$ref"].rpartition("/")[2]
        return _example(components[component], components, component)
    for parts in ("allOf", "oneOf"):
        if parts in schema:
            return _example(schema[parts][0], components, component, name)
    if "properties" in schema:
        properties = schema["properties"].items()
        return {key: _example(part, components, component, key) for key, part in properties}
    if schema.get("type") == "array":
        return [_example(schema["items"], components)]
    return schema["enum"][0] if "enum" in schema else _EMPTY[schema.get("type", "object")]


_EMPTY: dict[str, Any] = {"object": {}, "string": "text", "integer": 1, "number": 1.0, "boolean": True}
_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
}


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value is of the schema's type and among its choices, if it has any."""
    if value is None:
        return bool(schema.get("nullable"))
    if "type" not in schema:
        return not {"$ref", "allOf", "properties"} & set(schema)
    return type(value) is _TYPES[schema["type"]] and value in schema.get("enum", [value])

"""The settings that the environment may give: their types, defaults and descriptions.

The descriptions are the table in docs/operations.md, which a test keeps in step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FilePath, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from maim.email_url import check_email_url, check_links, check_sender
from maim.environment_values import (
    check_auth_rate,
    check_bind,
    check_database_url,
    check_encryption_keys,
    check_host,
    check_key_peppers,
    check_network,
    check_redis_url,
    check_secret_key,
    check_secret_keys,
    check_secret_name,
    check_time_zone,
    parse_origin,
)
from maim.oidc_providers import check_oidc_providers

BindText = Annotated[str, AfterValidator(check_bind)]
HostNames = Annotated[list[Annotated[str, AfterValidator(check_host)]], NoDecode]
SecretNames = Annotated[list[Annotated[str, AfterValidator(check_secret_name)]], NoDecode]
Networks = Annotated[list[Annotated[str, AfterValidator(check_network)]], NoDecode]
Origins = Annotated[list[Annotated[str, AfterValidator(parse_origin)]], NoDecode]


class EnvironmentFields(BaseSettings):
    """Every setting, with its type, default and description."""

    # An empty variable means "not given", so that it hides no NAME_FILE.
    model_config = SettingsConfigDict(
        extra="ignore", case_sensitive=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    MAIM_PUBLIC_BIND: BindText = Field(
        "0.0.0.0:8880", description="Address and port of the public surface (console, operators, admin)."
    )
    MAIM_INTERNAL_BIND: BindText = Field(
        "127.0.0.1:8000",
        description="Address and port of the internal surface. No authentication: keep it on a private network.",
    )
    DATABASE_URL: Annotated[str, AfterValidator(check_database_url)] | None = Field(
        None,
        description="`mysql://user:password@host:3306/name` (MariaDB too) or `sqlite:///path`. "
        "Default: SQLite under `MAIM_DATA_DIR`.",
    )
    REDIS_URL: Annotated[str, AfterValidator(check_redis_url)] | None = Field(
        None,
        description="`redis://host:6379/0`; counts shared by several workers live there. "
        "Default: none, which allows one worker a surface.",
    )
    MAIM_CONNECTION_MAX_AGE_SECONDS: int = Field(
        60,
        ge=1,
        le=3600,
        description="How long a connection to the database or Redis is kept, and so how long after a failover one "
        "may still lead to a server that only the proxy has left.",
    )
    MAIM_WAIT_FOR_DATABASE: int = Field(
        60,
        ge=0,
        le=24 * 3600,
        description="How many seconds `serve` waits at its start for a database server that does not answer. "
        "Meanwhile it is live and not ready.",
    )
    MAIM_DATA_DIR: Path = Field(Path("var"), description="Where the embedded database and the generated secrets live.")
    MAIM_SECRET_KEY: Annotated[SecretStr, AfterValidator(check_secret_key)] | None = Field(
        None,
        description="Signs tokens and admin sessions; 32 characters or more. "
        "Generated once into `MAIM_DATA_DIR` for the embedded default, required with a `DATABASE_URL`.",
    )
    MAIM_SECRET_KEY_FALLBACKS: Annotated[SecretStr, AfterValidator(check_secret_keys)] | None = Field(
        None,
        description="Comma-separated former values of `MAIM_SECRET_KEY`, newest first. The tokens and admin sessions "
        "that they signed stay good.",
    )
    MAIM_KEY_PEPPERS: Annotated[SecretStr, AfterValidator(check_key_peppers)] | None = Field(
        None,
        description="The peppers (HMAC keys) that API keys are stored under, as `2:PEPPER,1:PEPPER`, newest first; 32 "
        "characters or more each. Keep old ones: the keys stored under them die with them. Generated or "
        "required like `MAIM_SECRET_KEY`.",
    )
    MAIM_KEY_SECRETS: Annotated[SecretStr, AfterValidator(check_key_peppers)] | None = Field(
        None, description="The former name of `MAIM_KEY_PEPPERS`, which goes on working."
    )
    MAIM_ENCRYPTION_KEYS: Annotated[SecretStr, AfterValidator(check_encryption_keys)] | None = Field(
        None,
        description="Comma-separated Fernet keys, newest first, that secrets which must be read again are sealed "
        "with; make one with `openssl rand -base64 32 | tr '+/' '-_'`. Keep old ones: what was sealed with them "
        "dies with them. Generated or required like `MAIM_SECRET_KEY`.",
    )
    MAIM_CORS_ORIGINS: Origins = Field(
        [], description="Comma-separated origins of browser consoles that may call the public surface."
    )
    MAIM_PUBLIC_URL: Annotated[str, AfterValidator(parse_origin)] | None = Field(
        None,
        description="Where people reach the public surface, such as `https://maim.example.com`. Sets the host "
        "it answers to, the CSRF origin, secure cookies and HSTS behind TLS, and links. Default: any host.",
    )
    MAIM_HSTS_DAYS: int = Field(
        30,
        ge=0,
        le=730,
        description="How many days browsers that came by HTTPS come by nothing else (HSTS), where `MAIM_PUBLIC_URL` is "
        "`https://…`. 0: maim sends no such header.",
    )
    MAIM_PASSKEY_DOMAIN: Annotated[str, AfterValidator(check_host)] | None = Field(
        None,
        description="The domain that passkeys belong to: the host of `MAIM_PUBLIC_URL`, or a domain above it, such as "
        "`example.com`, if consoles on hosts beside it are to use them. Passkeys of another domain do not work any "
        "more after a change. Default: the host of `MAIM_PUBLIC_URL`.",
    )
    MAIM_TRUSTED_PROXIES: Networks = Field(
        [],
        description="Comma-separated networks (CIDR) of reverse proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed.",
    )
    MAIM_INTERNAL_HOSTS: HostNames = Field(
        [],
        description="Comma-separated host names, besides IP addresses, `localhost` and single-label names, "
        "that the internal surface answers to.",
    )
    MAIM_SECRET_NAMES: SecretNames = Field(
        [],
        description="Comma-separated names, `*` standing for any part, under which configs and plugin settings hold "
        "secrets, besides those that maim knows by itself. Run `manage.py rotate_secrets` after a change.",
    )
    MAIM_EMAIL_URL: Annotated[SecretStr, AfterValidator(check_email_url)] | None = Field(
        None,
        description="The mail server: `smtp+tls://user:password@host:587`, `smtps://…:465` or `smtp://…:25`, with "
        "`?timeout=10` seconds; or `file:///directory`, `console:`. Default: links to set a password, and nothing "
        "else, are written to files under `MAIM_DATA_DIR/mail`.",
    )
    MAIM_EMAIL_FROM: Annotated[str, AfterValidator(check_sender)] | None = Field(
        None, description="The sender of mails. Default: `noreply@` the host of `MAIM_PUBLIC_URL`."
    )
    MAIM_EMAIL_LINKS: Annotated[str, AfterValidator(check_links)] | None = Field(
        None,
        description="The links in mails, if the console has pages for them: "
        "`https://console.example.com/{action}#token={token}`, where the action is `reset-password`, `verify-email`, "
        "`accept-invitation` or `join-tenant`. "
        "Default: maim's own pages under `MAIM_PUBLIC_URL`.",
    )
    MAIM_REGISTRATION: Literal["open", "invited", "closed"] = Field(
        "open",
        description="`open`: anybody may register; `invited`: people whom operators invited, or owners and admins of a "
        "tenant into it; `closed`: only operators make users.",
    )
    MAIM_TENANT_MAX_AGENTS: int | None = Field(
        None, ge=0, description="How many agents a tenant may have, unless its own number is set. Default: any number."
    )
    MAIM_TENANT_MAX_KEYS: int | None = Field(None, ge=0, description="The same for the keys of a tenant.")
    MAIM_TENANT_MAX_MEMBERS: int | None = Field(None, ge=0, description="The same for its members, with the owner.")
    MAIM_TIME_ZONE: Annotated[str, AfterValidator(check_time_zone)] = Field(
        "UTC",
        description="The zone of the times that operators see and type in the admin, such as `Asia/Shanghai`. The APIs "
        "write UTC.",
    )
    MAIM_UNDO_DAYS: int = Field(
        7,
        ge=0,
        le=365,
        description="For how many days a deleted tenant or agent can be restored (`manage.py deleted`). "
        "`0` deletes for good.",
    )
    MAIM_ADMIN_REQUIRE_MFA: bool = Field(
        False,
        description="`true`: operators need a second factor in the admin; those without one may only add one there.",
    )
    MAIM_ADMIN_NETWORKS: Networks = Field(
        [],
        description="Comma-separated networks (CIDR) from which the admin answers; for others there is none (404). "
        "Default: it answers everybody.",
    )
    MAIM_ADMIN_SESSION_HOURS: int = Field(
        12, ge=1, le=30 * 24, description="How long a session in the admin may last, in hours since the sign-in."
    )
    MAIM_ADMIN_IDLE_MINUTES: int = Field(
        60, ge=5, le=7 * 24 * 60, description="How long a session in the admin may be unused, in minutes."
    )
    MAIM_PASSWORD_LOGIN: Literal["on", "off"] = Field(
        "on",
        description="`off`: people sign in by the providers of `MAIM_OIDC_PROVIDERS` alone. No password is good for a "
        "login, registered, forgotten or changed any more; tokens that exist stay good.",
    )
    MAIM_OIDC_PROVIDERS: Annotated[SecretStr, AfterValidator(check_oidc_providers)] | None = Field(
        None,
        description="The providers of OpenID Connect that people may sign in with, as a JSON list of objects: see "
        "[sign-in by OpenID Connect](#sign-in-by-openid-connect). Default: none.",
    )
    MAIM_AUTH_RATE: Annotated[str, AfterValidator(check_auth_rate)] = Field(
        "10,60",
        description="Attempts to sign in, to register, to use links and to report leaked keys a minute, on an account "
        "from one address (from all together three times as many), and from an address; `off` for load tests.",
    )
    MAIM_AUTH_IPV6_PREFIX: int = Field(
        64,
        ge=16,
        le=128,
        description="The length of the network that counts as one address of IPv6 in `MAIM_AUTH_RATE`, because a "
        "provider gives each customer a whole network. 128: each address counts for itself.",
    )
    MAIM_TOKEN_MAX_DAYS: int = Field(
        365, ge=1, le=3650, description="How long a new personal access token may be good, in days."
    )
    MAIM_WORKERS: int = Field(
        1, ge=1, le=64, description="Worker processes of each surface; more than one needs `REDIS_URL`."
    )
    MAIM_MAX_CONNECTIONS: int | None = Field(
        None,
        ge=100,
        le=1_000_000,
        description="How many connections a surface serves on this machine, over all its workers; more are refused "
        "with 503. Default: the limit of open files less 1,000, up to 20,000.",
    )
    MAIM_REQUEST_TIMEOUT_SECONDS: int = Field(
        10,
        ge=1,
        le=300,
        description="How long the headers of a request may take to arrive, and then its body. An idle connection is "
        "closed after that time, too.",
    )
    MAIM_REMEMBERED_KEYS: int = Field(
        100_000,
        ge=1_000,
        le=10_000_000,
        description="How many keys' verdicts an internal worker keeps in memory, about 1 KiB each.",
    )
    MAIM_SERVE_STALE_SECONDS: int = Field(
        0,
        ge=0,
        le=24 * 3600,
        description="How long remembered keys are still answered, marked `stale`, when the database is away. "
        "In that time a disabled key may pass. 0: they are answered 503.",
    )
    MAIM_LIMITS_FAIL: Literal["open", "closed"] = Field(
        "closed",
        description="What becomes of keys with a rate limit or quota when Redis is away: `closed` answers 503, "
        "`open` lets them pass uncounted by their limits.",
    )
    MAIM_OWNER_OFF: Literal["keys_on", "keys_off"] = Field(
        "keys_on",
        description="What becomes of the API keys of a tenant whose owner is deactivated: `keys_on` leaves them good, "
        "`keys_off` refuses them (`AUTH_007`) until the owner is activated again.",
    )
    MAIM_LOG_FORMAT: Literal["console", "json"] = Field(
        "console", description="`console` for people, `json` for log collectors (one object a line)."
    )
    MAIM_ACCESS_TOKEN_HOURS: int = Field(
        8 * 24, ge=1, le=366 * 24, description="How long an access token lives. A changed password ends it sooner."
    )
    MAIM_USAGE_LOG_DAYS: int = Field(30, ge=1, le=3660, description="How long entries of the bots' usage log are kept.")
    MAIM_REFUSAL_DAYS: int = Field(
        7, ge=1, le=90, description="How long refused verifications are kept; at most 10,000 of a tenant."
    )
    MAIM_AUDIT_DAYS: int | None = Field(
        None,
        ge=30,
        le=36600,
        description="How long audit entries are kept. Default: for ever.",
    )
    MAIMBOT_MODEL_CONFIG_PATH: FilePath | None = Field(
        None, description="TOML file with the system's model providers and models. Default: built in."
    )
    MAIMBOT_BOT_CONFIG_TEMPLATE_PATH: FilePath | None = Field(
        None, description="TOML file with the bots' default sections. Default: built in."
    )

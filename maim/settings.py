"""Django settings. Everything that differs between deployments comes from `maim.environment`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from maim import __version__, console, environment

try:
    ENV = environment.load()
    SECRET_KEY = ENV.secret_key()
    SECRET_KEY_FALLBACKS = ENV.secret_key_fallbacks
    KEY_PEPPERS = ENV.key_peppers()
    ENCRYPTION_KEYS = ENV.encryption_keys()
    if not ENV.DATABASE_URL:
        ENV.make_data_dir()
except environment.InvalidEnvironment as error:
    raise ImproperlyConfigured(f"maim cannot start, the environment is wrong:\n{error}") from error

VERSION = __version__
BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = False

# Both surfaces check the host themselves, each by its own rule (core.http.middleware).
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    # Before Django's own apps, some of whose commands and templates they replace.
    "maim.server",
    "dashboard",
    "core",
    "accounts",
    "unfold.apps.BasicAppConfig",  # before django.contrib.admin, whose templates it replaces
    "accounts.apps.OperatorsAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tenants",
    "agents",
    "apikeys",
    "operations",
    "legacy",
    "internal_api",
    "provisioning",
    "demo",
]

UNFOLD = console.UNFOLD

# ---- surfaces: each has its own URLs and only the middleware it uses (core.http.surfaces)

ROOT_URLCONF = "maim.urls_public"
PUBLIC_MIDDLEWARE = [
    "core.http.middleware.RequestContextMiddleware",
    "corsheaders.middleware.CorsMiddleware",  # first, so that a browser may read the errors of the others
    "core.http.middleware.PublicSurfaceMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "core.http.propagation.PropagationMiddleware",
]
MIDDLEWARE = [  # of the admin, which alone has sessions and forms
    *PUBLIC_MIDDLEWARE,
    "core.http.admin_middleware.AdminNetworksMiddleware",
    "core.http.admin_middleware.CrossOriginMiddleware",
    "core.http.middleware.AdminContentSecurityMiddleware",
    "core.http.middleware.AdminTimeZoneMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.admin_sessions.AdminSessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
INTERNAL_URLCONF = "maim.urls_internal"
INTERNAL_MIDDLEWARE = [
    "core.http.middleware.RequestContextMiddleware",
    "core.http.middleware.InternalSurfaceMiddleware",
    "core.http.propagation.PropagationMiddleware",
]
WSGI_APPLICATION = "maim.wsgi.application"
APPEND_SLASH = False  # a trailing slash is optional, and never a redirect (docs/contract.md section 1)

MAX_BODY_BYTES = 1024 * 1024
REQUEST_TIMEOUT_SECONDS = ENV.MAIM_REQUEST_TIMEOUT_SECONDS
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# ---- data

CONNECTION_MAX_AGE_SECONDS = ENV.MAIM_CONNECTION_MAX_AGE_SECONDS


def _database(url: str) -> dict[str, Any]:
    config: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=None, conn_health_checks=True))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["ENGINE"] = "core.sqlite"
        config["OPTIONS"] = {
            "timeout": 20,
            # A transaction takes the write lock at its start, because one that upgrades later may only fail.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL",
        }
        # On disk, because the threads of a test cannot share a database in memory.
        config["TEST"] = {"NAME": f"{config['NAME']}.test"}
    else:
        config["ENGINE"] = "core.mysql"
        config["CONN_MAX_AGE"] = CONNECTION_MAX_AGE_SECONDS
        config["OPTIONS"] = {
            "charset": "utf8mb4",
            "connect_timeout": 5,
            "read_timeout": 30,
            "write_timeout": 30,
            # Without intersections of indexes, which MariaDB prefers to the one index that has a list in its order.
            "init_command": "SET sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout=10, "
            "optimizer_switch='index_merge_intersection=off'",
            "isolation_level": "read committed",
        }
        config["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"}
    return config


DATABASES = {"default": _database(ENV.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENV.REDIS_URL
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "maim",
        "OPTIONS": {"CONNECTION_FACTORY": "core.redis.CacheConnectionFactory", "SOCKET_TIMEOUT": 2},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# ---- people

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.AccountBackend"]
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # usernames are unique by their folded form, see accounts.models
    # Redirects to HTTPS are the proxy's, which has the certificate; HSTS and secure cookies are maim.W004.
    *(f"security.{number}" for number in ("W004", "W008", "W012", "W016")),
]
PASSWORD_HASHERS = [  # new ones are made by the first
    "accounts.hashers.BoundedArgon2PasswordHasher",
    "accounts.hashers.FormerPasswordHasher",
]
AUTH_RATE = ENV.auth_rate
AUTH_IPV6_PREFIX = ENV.MAIM_AUTH_IPV6_PREFIX
TENANT_LIMITS = {
    "agents": ENV.MAIM_TENANT_MAX_AGENTS,
    "keys": ENV.MAIM_TENANT_MAX_KEYS,
    "members": ENV.MAIM_TENANT_MAX_MEMBERS,
}
ADMIN_TIME_ZONE = ENV.MAIM_TIME_ZONE
ADMIN_NETWORKS = ENV.MAIM_ADMIN_NETWORKS
ADMIN_SESSION_AGE = timedelta(hours=ENV.MAIM_ADMIN_SESSION_HOURS)
ADMIN_IDLE_TIME = timedelta(minutes=ENV.MAIM_ADMIN_IDLE_MINUTES)
SESSION_COOKIE_AGE = int(ADMIN_SESSION_AGE.total_seconds())
UNDO_FOR = timedelta(days=ENV.MAIM_UNDO_DAYS)
UNDO_PARTS = [  # of deleted objects (core.undo), each after those that it refers to
    "tenants.undo.Tenants",
    "tenants.undo.Memberships",
    "agents.undo.Templates",
    "agents.undo.Agents",
    "agents.undo.ConfigVersions",
    "agents.undo.PluginSettings",
    "apikeys.undo.Keys",
]
USER_DEPARTURE = "tenants.departure.leave_tenants"  # before a user is deleted (accounts.services.users)
ADMIN_DELETIONS = "operations.deletions.DELETIONS"  # by the label of a model (core.admin_deletion)
ADMIN_REQUIRE_MFA = ENV.MAIM_ADMIN_REQUIRE_MFA
PASSWORD_LOGIN = ENV.MAIM_PASSWORD_LOGIN != "off"  # noqa: S105  # a switch
OIDC_PROVIDERS = ENV.oidc_providers
REGISTRATION = ENV.MAIM_REGISTRATION
ACCESS_TOKEN_LIFETIME = timedelta(hours=ENV.MAIM_ACCESS_TOKEN_HOURS)
REFRESH_TOKEN_LIFETIME = max(timedelta(days=30), ACCESS_TOKEN_LIFETIME)
TOKEN_MAX_LIFETIME = timedelta(days=ENV.MAIM_TOKEN_MAX_DAYS)
USAGE_LOG_RETENTION = timedelta(days=ENV.MAIM_USAGE_LOG_DAYS)
REFUSAL_RETENTION = timedelta(days=ENV.MAIM_REFUSAL_DAYS)
AUDIT_RETENTION = None if ENV.MAIM_AUDIT_DAYS is None else timedelta(days=ENV.MAIM_AUDIT_DAYS)

# ---- mail

MAIL_IS_SET_UP = ENV.MAIM_EMAIL_URL is not None
EMAIL_BACKEND = ENV.mail_server.backend
EMAIL_HOST, EMAIL_PORT = ENV.mail_server.host, ENV.mail_server.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = ENV.mail_server.user, ENV.mail_server.password
EMAIL_USE_TLS, EMAIL_USE_SSL = ENV.mail_server.use_tls, ENV.mail_server.use_ssl
EMAIL_TIMEOUT = ENV.mail_server.timeout
EMAIL_FILE_PATH = ENV.mail_server.directory
MAIL_DIRECTORY = ENV.mail_directory
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.email_from
EMAIL_LINKS = ENV.email_links

# ---- verification of keys

REMEMBERED_KEYS = ENV.MAIM_REMEMBERED_KEYS
SERVE_STALE_SECONDS = ENV.MAIM_SERVE_STALE_SECONDS
KEYS_OFF_WITH_OWNER = ENV.MAIM_OWNER_OFF == "keys_off"
LIMITS_FAIL_OPEN = ENV.MAIM_LIMITS_FAIL == "open"

# ---- browsers and proxies of the public surface

PUBLIC_URL = ENV.MAIM_PUBLIC_URL
PEOPLE_URL = ENV.people_url
PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname if PUBLIC_URL else None
PASSKEY_DOMAIN = ENV.MAIM_PASSKEY_DOMAIN
CSRF_FAILURE_VIEW = "core.http.handlers.csrf_failure"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
BEHIND_TLS = bool(PUBLIC_URL and PUBLIC_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_HSTS_SECONDS = ENV.MAIM_HSTS_DAYS * 24 * 3600 if BEHIND_TLS else 0
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
TRUSTED_PROXIES = ENV.MAIM_TRUSTED_PROXIES
INTERNAL_HOSTS = frozenset(ENV.MAIM_INTERNAL_HOSTS)
CORS_ALLOWED_ORIGINS = ENV.MAIM_CORS_ORIGINS
CORS_URLS_REGEX = r"^/(api/|health$|$)"
CORS_ALLOW_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
CORS_ALLOW_HEADERS = [
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "idempotency-key",
    "prefer",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = [
    "X-Total-Count",
    "X-Next-Cursor",
    "X-Config-Warnings",
    "X-Ignored-Fields",
    "Preference-Applied",
    "ETag",
    "X-Request-ID",
    "Retry-After",
]

# ---- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["core.http.rest.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["core.http.rest.CompactJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.http.rest.AlwaysJSON",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "core.http.openapi.ContractSchema",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "VERSION": __version__,
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,  # every field of a change is optional, PUT or PATCH
    "GET_LIB_DOC_EXCLUDES": "core.http.openapi.bases_without_description",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [
        "core.http.openapi_hooks.without_enum_ids",
        "core.http.openapi_hooks.with_shared_errors",
        "tenants.openapi.describe_roles",
        "maim.openapi_examples.add_examples",
    ],
}

# ---- the system's own models and bot defaults (docs/contract.md section 8)

MODEL_CONFIG_PATH = ENV.MAIMBOT_MODEL_CONFIG_PATH
BOT_CONFIG_PATH = ENV.MAIMBOT_BOT_CONFIG_TEMPLATE_PATH
SECRET_NAMES = tuple(ENV.MAIM_SECRET_NAMES)

# ---- language, time, pages

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale", BASE_DIR / "locale/libraries"]  # the second overrides texts of Django and DRF
USE_I18N = True
FORMAT_MODULE_PATH = "core.formats"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# ---- logging: one line an event, each with the request it belongs to

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "core.http.request_id.RequestIdFilter"},
        "refusals": {"()": "core.http.refusals.RefusalFilter"},
        "secrets": {"()": "apikeys.log_filter.SecretsFilter"},
    },
    "formatters": {
        "console": {"format": "{asctime} {levelname:<7} {name} [{request_id}] {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "{asctime}{levelname}{name}{request_id}{message}",
            "style": "{",
            "json_ensure_ascii": False,  # for people who search a log for what they read elsewhere
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": ENV.MAIM_LOG_FORMAT,
            "filters": ["request_id", "refusals", "secrets"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # 4xx responses are in the access log already.
        "django.request": {"level": "ERROR"},
        # It would log the ids of credentials.
        "fido2": {"level": "WARNING"},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
    },
}

"""The private and undocumented parts of libraries that this code builds on: see `tests/test_private_apis.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivateApi:
    """A part of a library that our code overrides, calls, reads or sets.

    `parameters` are those of a callable. `used_by` is a function or class of the library whose source has to mention
    the attribute, because what we override or set has an effect only where the library uses it.
    """

    user: str
    verb: str
    owner: str
    attribute: str
    why: str
    parameters: str | None = None
    used_by: str | None = None

    def __str__(self) -> str:
        return f"{self.user} {self.verb} {self.owner.rpartition('.')[2]}.{self.attribute}"


HANDLER, MODEL_ADMIN = "django.core.handlers.base.BaseHandler", "django.contrib.admin.options.ModelAdmin"
CONNECTION, REDIS = "django.db.backends.base.base.BaseDatabaseWrapper", "redis.connection.AbstractConnection"
ADMIN_UTILS = "django.contrib.admin.utils"
SCHEMA = "drf_spectacular.openapi.AutoSchema"
SURFACES, OPERATORS = "core.http.surfaces.SurfaceHandler", "core.admin_base.OperatorAdmin"
COMPILER, MODEL_ROWS = "django.db.models.sql.compiler.SQLCompiler", "django.db.models.query.ModelIterable.__iter__"
PREPARED, PREPARED_WRITES = "core.prepared.prepared_query", "core.prepared_writes.PreparedWrites"
OPENAPI, OUR_MYSQL = "core.http.openapi.ContractSchema", "core.mysql.base.DatabaseWrapper"
NO_HISTORY = "the audit log is the history of objects, so that Django's LogEntry must stay empty"
NO_HOOKS = "a surface's middleware has no hooks of this kind, and Django would fail on None"

PRIVATE_APIS = [
    # ---- Django: handlers
    PrivateApi(
        SURFACES,
        "overrides",
        HANDLER,
        "load_middleware",
        "each surface has its own middleware in place of settings.MIDDLEWARE",
        "self, is_async",
        used_by="django.core.handlers.wsgi.WSGIHandler",
    ),
    PrivateApi(
        SURFACES, "calls", HANDLER, "_get_response", "it is the innermost handler of the middleware", "self, request"
    ),
    PrivateApi(
        SURFACES,
        "sets",
        HANDLER,
        "_middleware_chain",
        "Django calls it for every request",
        used_by="django.core.handlers.base.BaseHandler.get_response",
    ),
    PrivateApi(SURFACES, "sets", HANDLER, "_view_middleware", NO_HOOKS, used_by=f"{HANDLER}._get_response"),
    PrivateApi(
        SURFACES, "sets", HANDLER, "_template_response_middleware", NO_HOOKS, used_by=f"{HANDLER}._get_response"
    ),
    PrivateApi(
        SURFACES,
        "sets",
        HANDLER,
        "_exception_middleware",
        NO_HOOKS,
        used_by=f"{HANDLER}.process_exception_by_middleware",
    ),
    PrivateApi(
        "core.http.surfaces.Request",
        "overrides",
        "django.http.request.HttpRequest",
        "_set_content_type_params",
        "a malformed Content-Type must not raise before there is a handler to answer",
        "self, meta",
        used_by="django.core.handlers.wsgi.WSGIRequest",
    ),
    # ---- Django: admin
    *(
        PrivateApi(
            "core.admin_urls.quote_dots",
            "sets",
            ADMIN_UTILS,
            attribute,
            "an id of dots has to be quoted in URLs, or browsers resolve it away",
            used_by=f"{ADMIN_UTILS}.{function}",
        )
        for attribute, function in (("QUOTE_MAP", "quote"), ("UNQUOTE_MAP", "unquote"), ("UNQUOTE_RE", "unquote"))
    ),
    PrivateApi(
        OPERATORS,
        "calls",
        MODEL_ADMIN,
        "_changeform_view",
        "changeform_view would wrap the page in a transaction, in which it might hash a password",
        "self, request, object_id, form_url, extra_context",
        used_by=f"{MODEL_ADMIN}.changeform_view",
    ),
    PrivateApi(
        OPERATORS, "overrides", MODEL_ADMIN, "action_checkbox", "names must be isolated in its label", "self, obj"
    ),
    PrivateApi(
        OPERATORS,
        "overrides",
        MODEL_ADMIN,
        "construct_change_message",
        NO_HISTORY,
        "self, request, form, formsets, add",
        used_by=f"{MODEL_ADMIN}._changeform_view",
    ),
    PrivateApi(
        OPERATORS,
        "overrides",
        MODEL_ADMIN,
        "log_addition",
        NO_HISTORY,
        "self, request, obj, message",
        used_by=f"{MODEL_ADMIN}._changeform_view",
    ),
    PrivateApi(
        OPERATORS,
        "overrides",
        MODEL_ADMIN,
        "log_change",
        NO_HISTORY,
        "self, request, obj, message",
        used_by=f"{MODEL_ADMIN}._changeform_view",
    ),
    PrivateApi(
        OPERATORS,
        "overrides",
        MODEL_ADMIN,
        "log_deletions",
        NO_HISTORY,
        "self, request, queryset",
        used_by=f"{MODEL_ADMIN}._delete_view",
    ),
    PrivateApi(
        "apikeys.admin.AgentIdWidget",
        "overrides",
        "django.contrib.admin.widgets.ForeignKeyRawIdWidget",
        "label_and_url_for_value",
        "Django's own would query a tenant's objects without its tenant",
        "self, value",
        used_by="django.contrib.admin.widgets.ForeignKeyRawIdWidget.get_context",
    ),
    # ---- Django: runserver
    PrivateApi(
        "maim.server.management.commands.runserver.Command",
        "overrides",
        "django.core.management.commands.runserver.Command",
        "run",
        "a port of no surface must be refused",
        "self, options",
        used_by="django.core.management.commands.runserver.Command.handle",
    ),
    PrivateApi(
        "maim.server.management.commands.runserver.Command",
        "overrides",
        "django.core.management.commands.runserver.Command",
        "get_handler",
        "our application serves the static files itself",
        "self, args, options",
        used_by="django.core.management.commands.runserver.Command.inner_run",
    ),
    PrivateApi(
        "maim.server.management.commands.runserver.Command",
        "reads",
        "django.core.management.commands.runserver.Command",
        "port",
        "the port decides which surface is served",
        used_by="django.core.management.commands.runserver.Command.handle",
    ),
    # ---- Django: database and models
    PrivateApi(
        OUR_MYSQL,
        "overrides",
        CONNECTION,
        "get_new_connection",
        "a new connection has to be to the primary",
        "self, conn_params",
        used_by=f"{CONNECTION}.connect",
    ),
    PrivateApi(
        OUR_MYSQL,
        "overrides",
        CONNECTION,
        "is_usable",
        "a server that takes no writes is not usable",
        "self",
        used_by=f"{CONNECTION}.close_if_health_check_failed",
    ),
    PrivateApi(
        OUR_MYSQL,
        "overrides",
        CONNECTION,
        "close_if_unusable_or_obsolete",
        "a connection ends when a newer one is to another server",
        "self",
        used_by="django.db.close_old_connections",
    ),
    PrivateApi(
        "core.db.retry_if_disconnected",
        "sets",
        CONNECTION,
        "health_check_done",
        "the read itself is the health check, which saves a round trip",
        used_by=f"{CONNECTION}.close_if_health_check_failed",
    ),
    PrivateApi(
        "core.db.bulk_overwrite",
        "reads",
        "accounts.models.User",
        "_base_manager",
        "bulk writes need the manager that sees every row",
    ),
    PrivateApi(
        "core.revisions.Revised",
        "reads",
        "django.db.models.base.ModelState",
        "adding",
        "only the save of a stored row raises its revision",
        used_by="django.db.models.base.Model.save_base",
    ),
    PrivateApi(
        "core.epoch.current",
        "calls",
        "django.db.models.sql.query.Query",
        "sql_with_params",
        "hot queries are written by the ORM once and run as SQL",
        "self",
    ),
    PrivateApi(
        PREPARED,
        "calls",
        "django.db.models.sql.query.Query",
        "get_compiler",
        "a prepared query keeps the compiler of its queryset",
        "self, using, connection, elide_empty",
        used_by=MODEL_ROWS,
    ),
    *(
        PrivateApi(
            PREPARED,
            "calls",
            COMPILER,
            name,
            "a prepared query makes models of rows as ModelIterable does",
            parameters,
            used_by=f"{COMPILER}.{caller}",
        )
        for name, parameters, caller in (
            ("as_sql", "self, with_limits, with_col_aliases", "execute_sql"),
            ("get_converters", "self, expressions", "results_iter"),
            ("apply_converters", "self, rows, converters", "results_iter"),
        )
    ),
    PrivateApi(PREPARED, "reads", COMPILER, "klass_info", "it tells which columns are whose", used_by=MODEL_ROWS),
    PrivateApi(
        PREPARED,
        "calls",
        "django.db.models.query",
        "get_related_populators",
        "it makes the models of select_related",
        "klass_info, select, db",
        used_by=MODEL_ROWS,
    ),
    PrivateApi(
        PREPARED_WRITES,
        "overrides",
        "django.db.models.base.Model",
        "_do_insert",
        "the SQL of an insert is written once",
        "self, manager, using, fields, returning_fields, raw",
        used_by="django.db.models.base.Model._save_table",
    ),
    PrivateApi(
        PREPARED_WRITES,
        "overrides",
        "django.db.models.base.Model",
        "_do_update",
        "the SQL of an update is written once",
        "self, base_qs, using, pk_val, values, update_fields, forced_update",
        used_by="django.db.models.base.Model._save_table",
    ),
    PrivateApi(
        "core.scoping.TenantScopedManager",
        "reads",
        "django.db.models.sql.query.Query",
        "values_select",
        "it tells a queryset of ids from one of tenants",
    ),
    PrivateApi(
        "accounts.models.User",
        "overrides",
        "django.contrib.auth.base_user.AbstractBaseUser",
        "get_session_auth_fallback_hash",
        "a deactivation ends the admin's sessions under every fallback key",
        "self",
        used_by="django.contrib.auth.get_user",
    ),
    # ---- Django REST framework
    PrivateApi(
        "core.http.views.BaseView",
        "reads",
        "rest_framework.request.Request",
        "_request",
        "conditional requests and preferences are read from Django's request",
        used_by="rest_framework.request.Request.__init__",
    ),
    PrivateApi(
        "core.http.fields.RequestSerializer",
        "reads",
        "rest_framework.serializers.Serializer",
        "_declared_fields",
        "optional fields of a request accept null",
        used_by="rest_framework.serializers.Serializer.get_fields",
    ),
    PrivateApi(
        "core.http.fields.RequestSerializer",
        "sets",
        "rest_framework.fields.Field",
        "_kwargs",
        "the copies of a field, one for each serializer, are made from them",
        used_by="rest_framework.fields.Field.__deepcopy__",
    ),
    # ---- drf-spectacular
    PrivateApi(
        OPENAPI,
        "calls",
        SCHEMA,
        "_map_serializer_field",
        "a response may be a single field",
        "self, field, direction, bypass_extensions",
    ),
    PrivateApi(
        OPENAPI,
        "overrides",
        SCHEMA,
        "_get_serializer_name",
        "no component is to be called RequestRequest",
        "self, serializer, direction, bypass_extensions",
        used_by=f"{SCHEMA}.resolve_serializer",
    ),
    PrivateApi(
        OPENAPI,
        "overrides",
        SCHEMA,
        "_get_request_body",
        "a body is required, even where all of its fields are optional",
        "self, direction",
        used_by=f"{SCHEMA}.get_operation",
    ),
    # ---- Django: commands
    PrivateApi(
        "core.management.commands.migrate.Command",
        "overrides",
        "django.core.management.commands.migrate.Command",
        "migration_progress_callback",
        "it is called before each migration, which needs the lock",
        "self, action, migration, fake",
    ),
    # ---- redis-py and django-redis
    PrivateApi(
        "core.redis._PrimaryConnection",
        "overrides",
        REDIS,
        "connect",
        "the pool calls it for each use, where an obsolete connection is made anew",
        "self",
        used_by="redis.connection.ConnectionPool.get_connection",
    ),
    PrivateApi(
        "core.redis._PrimaryConnection",
        "overrides",
        REDIS,
        "_connect",
        "a name lookup takes part in the limit of connecting",
        "self",
        used_by=f"{REDIS}.connect_check_health",
    ),
    PrivateApi(
        "core.redis._PrimaryConnection",
        "overrides",
        REDIS,
        "on_connect_check_health",
        "it is called for each new connection, whose time is noted there",
        "self, check_health",
        used_by=f"{REDIS}.connect_check_health",
    ),
    PrivateApi(
        "core.redis._PrimaryConnection",
        "overrides",
        REDIS,
        "read_response",
        "a refused write shows there",
        "self, disable_decoding, disconnect_on_error, push_request",
        used_by="redis.client.Redis.parse_response",
    ),
    PrivateApi(
        "core.redis.CacheConnectionFactory",
        "overrides",
        "django_redis.pool.ConnectionFactory",
        "get_connection_pool",
        "Django's cache must follow the primary too",
        "self, params",
        used_by="django_redis.pool.ConnectionFactory.get_or_create_connection_pool",
    ),
    # ---- prometheus_client, and Python's own regex parser
    PrivateApi(
        "core.http.metrics.use_shared_directory",
        "sets",
        "prometheus_client.values",
        "ValueClass",
        "the variable alone is read at import, which is too early",
        used_by="prometheus_client.metrics",
    ),
    PrivateApi(
        "agent_config.schema.regex_parts",
        "calls",
        "re._parser",
        "parse",
        "a config's regexes are checked for their cost",
        "str, flags, state",
    ),
    PrivateApi(
        "agent_config.schema.regex_parts", "reads", "re._constants", "MAXREPEAT", "it stands for a repeat without end"
    ),
]

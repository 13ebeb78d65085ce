"""Tables of a large installation, which MariaDB fills by itself from sequences, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.utils import timezone

from apikeys.recount import recount

_numbers = count()


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows. Half of the keys are in the large tenant, and a tenth of all with its large agent."""

    agents: int = 100_000  # of the large tenant
    rows: int = 100_000  # of keys, of versions of one config, and of each log
    tenants: int = 20_000


TENANT, AGENT, USER = "tenant_large", "agent_large", "user_large"
# Times before now, at which rows were created, one each second.
_CREATED = "TIMESTAMPADD(SECOND, seq - {rows}, UTC_TIMESTAMP(6))"


def fill(sizes: Sizes) -> None:
    """Fill the empty tables of a migrated MariaDB."""
    rows = sizes.rows
    with connection.cursor() as cursor:
        # Nothing is checked, because it takes most of the time.
        cursor.execute("SET SESSION unique_checks = 0, foreign_key_checks = 0")
        cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_UNSIGNED_SUBTRACTION')")
    _insert("accounts.User", sizes.tenants, id="CONCAT('user_', seq)", username="CONCAT('Person ', seq)",
            username_folded="CONCAT('person ', seq)", is_staff="seq % 1000 = 0")  # fmt: skip
    _insert("accounts.User", 1, id=f"'{USER}'", username="'Large'", username_folded="'large'")
    _insert("accounts.Invitation", sizes.tenants, id="CONCAT('invitation_', seq)", email="'dora@example.com'",
            expires_at="TIMESTAMPADD(DAY, 7, UTC_TIMESTAMP(6))")  # fmt: skip
    _insert("accounts.PersonalToken", sizes.tenants, id="CONCAT('token_', seq)", user_id="CONCAT('user_', seq)",
            name="'script'", scope="'read'", tenant_id="CONCAT('tenant_', seq)", digest="SHA2(seq, 256)", hint="'00ff'",
            expires_at="TIMESTAMPADD(DAY, 90, UTC_TIMESTAMP(6))")  # fmt: skip
    _insert("tenants.Tenant", sizes.tenants, id="CONCAT('tenant_', seq)", tenant_name="CONCAT('Tenant ', seq)",
            name_folded="CONCAT('tenant ', seq)", tenant_type="'enterprise'",
            status="IF(seq % 100 = 0, 'suspended', 'active')")  # fmt: skip
    _insert("tenants.Tenant", 1, id=f"'{TENANT}'", tenant_name="'Large'", name_folded="'large'")
    _insert("tenants.Membership", 1, tenant_id=f"'{TENANT}'", user_id=f"'{USER}'", role="'owner'")
    _insert("accounts.Invitation", 500, id="CONCAT('invitation_of_', seq)", email="CONCAT('dora', seq, '@example.com')",
            inviter_id=f"'{USER}'", expires_at="TIMESTAMPADD(DAY, 7, UTC_TIMESTAMP(6))")  # fmt: skip
    _insert("tenants.TenantInvitation", 500, invitation_ptr_id="CONCAT('invitation_of_', seq)",
            tenant_id=f"'{TENANT}'", role="'member'", sent_at=_CREATED.format(rows=500))  # fmt: skip
    _insert("agents.Template", sizes.tenants, id="CONCAT('template_', seq)", tenant_id="CONCAT('tenant_', seq)",
            tenant_scope="CONCAT('tenant_', seq)", name="'Template'", name_folded="'template'",
            config="'{}'")  # fmt: skip
    status = "ELT(1 + (seq % 100 = 0) + (seq % 10000 = 0), 'active', 'inactive', 'archived')"
    agent = {"config": '\'{"persona": "friendly"}\'', "status": status, "config_version": "1", "tags": "'[]'"}
    _insert("agents.Agent", sizes.agents, id="CONCAT('agent_', seq)", tenant_id=f"'{TENANT}'",
            name="CONCAT('Bot ', seq)", name_folded="CONCAT('bot ', seq)", **agent)  # fmt: skip
    _insert("agents.Agent", 1, id=f"'{AGENT}'", tenant_id=f"'{TENANT}'", name="'Large'", name_folded="'large'",
            **{**agent, "status": "'active'", "config_version": str(rows)})  # fmt: skip
    _insert("agents.Agent", sizes.tenants, id="CONCAT('agent_of_', seq)", tenant_id="CONCAT('tenant_', seq)",
            name="'Bot'", name_folded="'bot'", **agent)  # fmt: skip
    _insert("agents.ConfigVersion", rows, agent_id=f"'{AGENT}'", tenant_id=f"'{TENANT}'", number="seq",
            config="'{}'", patch="'[]'", author_kind="'command'", author="'tests'")  # fmt: skip
    _insert("apikeys.ApiKey", rows, id="CONCAT('key_', LEFT(SHA1(seq), 12))", name="CONCAT('Key ', seq)",
            name_folded="CONCAT('key ', seq)", permissions="'[\"chat\"]'", allowed_networks="'[]'", metadata="'{}'",
            tenant_id=f"IF(seq % 2, '{TENANT}', CONCAT('tenant_', seq % {sizes.tenants} + 1))",
            agent_id=f"IF(seq % 2, IF(seq % 10 = 1, '{AGENT}', CONCAT('agent_', seq % {sizes.agents} + 1)),"
                     f" CONCAT('agent_of_', seq % {sizes.tenants} + 1))",
            status="IF(seq % 100 = 1, 'disabled', 'active')",
            expires_at="IF(seq % 7 = 0, TIMESTAMPADD(HOUR, seq % 2000 - 200, UTC_TIMESTAMP(6)), NULL)",
            last_used_at="IF(seq % 3 = 0, NULL, TIMESTAMPADD(HOUR, 0 - seq % 5000, UTC_TIMESTAMP(6)))")  # fmt: skip
    _insert("apikeys.KeySecret", rows, key_id="CONCAT('key_', LEFT(SHA1(seq), 12))",
            digest="SHA2(CONCAT('d', seq), 256)", pepper_id="1", hint="LPAD(HEX(seq % 65536), 4, '0')",
            leaked_at="IF(seq % 100 = 0, UTC_TIMESTAMP(6), NULL)")  # fmt: skip
    _insert("agents.AgentActivity", sizes.agents, agent_id="CONCAT('agent_', seq)", tenant_id=f"'{TENANT}'",
            last_seen_at="UTC_TIMESTAMP(6)", ttl_seconds="86400",
            expires_at="TIMESTAMPADD(DAY, 1, UTC_TIMESTAMP(6))")  # fmt: skip
    _insert("apikeys.UsageLogEntry", rows, tenant_id=f"IF(seq % 2, '{TENANT}', CONCAT('tenant_', seq % 100))",
            agent_id="CONCAT('agent_', seq % 1000)", user_id="CONCAT('u', seq % 500)", action="'chat'",
            timestamp=_CREATED.format(rows=rows))  # fmt: skip
    _insert("apikeys.Refusal", rows, at=_CREATED.format(rows=rows), agent_id="CONCAT('agent_', seq % 1000)",
            key_id="CONCAT('key_', seq % 1000)", code="ELT(1 + seq % 3, 'AUTH_002', 'AUTH_004', 'AUTH_006')",
            tenant_id=f"IF(seq % 2, '{TENANT}', CONCAT('tenant_', seq % 100))",
            request_id="CONCAT('request_', seq)")  # fmt: skip
    _insert("apikeys.Notice", rows, tenant_id=f"IF(seq % 2, '{TENANT}', CONCAT('tenant_', seq % 100))",
            kind="ELT(1 + seq % 3, 'key_leaked', 'key_expires', 'quota_reached')", subject="CONCAT('key_', seq % 1000)",
            occasion="CONCAT('', seq)", details="'{}'")  # fmt: skip
    # The changes of an agent, before all others, so that no list has to pass over them.
    _insert("common.AuditEntry", 100, at="TIMESTAMPADD(DAY, -2, UTC_TIMESTAMP(6))", action="'agent.update'",
            actor_kind="'user'", object_type="'agent'", object_id=f"'{AGENT}'", tenant_id=f"'{TENANT}'",
            request_id="seq", address="'127.0.0.1'")  # fmt: skip
    _insert("common.AuditEntry", rows, at=_CREATED.format(rows=rows), action="ELT(1 + seq % 3, 'key.create',"
            " 'key.update', 'agent.update')",
            actor_kind="IF(seq % 2, 'user', IF(seq % 10000 = 0, 'operator', 'internal'))",
            actor_id=f"IF(seq % 2, '{USER}', NULL)", object_type="'key'", object_id="CONCAT('key_', seq % 1000)",
            tenant_id=f"IF(seq % 2, '{TENANT}', CONCAT('tenant_', seq % 100))",
            request_id="SHA2(seq, 224)", address="'127.0.0.1'")  # fmt: skip
    _fill_counts(sizes)
    recount()
    with connection.cursor() as cursor:
        tables = (model._meta.db_table for model in apps.get_models() if model._meta.managed)
        cursor.execute(f"ANALYZE TABLE {', '.join(tables)} PERSISTENT FOR COLUMNS () INDEXES ()")
        cursor.fetchall()


def _fill_counts(sizes: Sizes) -> None:
    """Count verifications in every period that is kept: of the installation, a tenant, an agent, a key, and others."""
    begin = {
        "MINUTE": "TIMESTAMPADD(MINUTE, 0 - {ago}, DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%d %H:%i:00'))",
        "HOUR": "TIMESTAMPADD(HOUR, 0 - {ago}, DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%d %H:00:00'))",
        "FIVE": "TIMESTAMPADD(MINUTE, 0 - 5 * ({ago}), FROM_UNIXTIME(300 * (UNIX_TIMESTAMP() DIV 300)))",
        "DAY": "TIMESTAMPADD(DAY, 0 - ({ago}), UTC_DATE())",
    }
    outcome = "ELT(1 + seq % 2, 'VALID', 'AUTH_004')"
    for model, unit, periods in (("MinuteCount", "MINUTE", 2880), ("HourCount", "HOUR", 2160)):
        for tenant_id in ("", TENANT):
            _insert(f"apikeys.{model}", 2 * periods, tenant_id=f"'{tenant_id}'", outcome=outcome, number="seq",
                    start=begin[unit].format(ago="(seq DIV 2)"))  # fmt: skip
    for code in ("VALID", "AUTH_007"):
        # Of each tenant, in this hour and the last, and in this minute and the last.
        for model, unit in (("MinuteCount", "MINUTE"), ("HourCount", "HOUR")):
            _insert(f"apikeys.{model}", 2 * sizes.tenants, outcome=f"'{code}'", number="seq % 1000",
                    tenant_id="CONCAT('tenant_', 1 + seq DIV 2)",
                    start=begin[unit].format(ago="(seq % 2)"))  # fmt: skip
    key = "CONCAT('key_', LEFT(SHA1(1), 12))"
    for subject in (f"'{AGENT}'", key):
        _insert("apikeys.FiveMinuteCount", 600, subject=subject, outcome=outcome, number="seq",
                start=begin["FIVE"].format(ago="seq DIV 2"))  # fmt: skip
    _insert("apikeys.FiveMinuteCount", sizes.rows, subject="CONCAT('key_of_', seq)", outcome=outcome, number="seq",
            start=begin["FIVE"].format(ago="0"))  # fmt: skip
    for subject, tenant in (("''", ""), (f"'{TENANT}'", TENANT), (f"'{AGENT}'", TENANT), (key, TENANT)):
        _insert("apikeys.DailyUse", 400, subject=subject, day=begin["DAY"].format(ago="seq - 1"), uses="seq",
                tenant_id=f"'{tenant}'")  # fmt: skip
        _insert("apikeys.DailyRefusals", 180, subject=subject, day=begin["DAY"].format(ago="seq DIV 2"),
                outcome="ELT(1 + seq % 2, 'AUTH_002', 'AUTH_004')", number="seq")  # fmt: skip
    _insert("apikeys.DailyUse", sizes.rows, subject="CONCAT('key_of_', seq)", day="UTC_DATE()", uses="seq",
            tenant_id=f"'{TENANT}'")  # fmt: skip
    for minutes, unit in ((1, "MINUTE"), (60, "HOUR"), (1440, "DAY")):
        _insert("apikeys.VerificationTime", 19 * 90, minutes=str(minutes), bucket="seq % 19", number="seq",
                start=begin[unit].format(ago="seq DIV 19"))  # fmt: skip


def empty_tables() -> None:
    """Delete all rows, where Django would delete them one by one."""
    with connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        for model in apps.get_models():
            if model._meta.managed:
                cursor.execute(f"TRUNCATE {model._meta.db_table}")
        cursor.execute("SET foreign_key_checks = 1")


def _insert(label: str, number: int, /, **values: str) -> None:
    """Insert rows, with an SQL expression of `seq` for each column that has not its model's default."""
    model = apps.get_model(label)
    fields = {field.attname: field for field in model._meta.local_concrete_fields}
    if "created_at" in fields:
        values.setdefault("created_at", _CREATED.format(rows=number))
    for name, field in fields.items():
        if name not in values and not isinstance(field, models.AutoField):
            values[name] = _literal(field)
    columns = ", ".join(connection.ops.quote_name(str(fields[name].column)) for name in values)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {', '.join(values.values())} FROM seq_1_to_{number}"
        )


def _literal(field: Any) -> str:
    value = field.get_db_prep_save(field.get_default(), connection)
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(int(value))
    return f"'{value}'" if isinstance(value, str) else f"'{timezone.now():%Y-%m-%d %H:%M:%S}'"

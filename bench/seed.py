"""Seeding of an empty database with active keys, and of a file with `id secret` of each.

    python -m bench.seed FILE KEYS [--limited] [--copies N]

It inserts in bulk without services, because audit entries would take minutes. Copies are N rows for each key, made
by MariaDB, with unknown secrets.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import django
from django.db import connection, transaction
from django.db.models import Model

TENANTS = 100
BATCH = 2000
# Never reached, so that every use is admitted.
RATE_LIMIT = {"limit": 10_000, "window_seconds": 1}


def seed(path: Path, number: int, *, limited: bool, copies: int) -> None:
    """Create the keys, in a hundred tenants with one agent each."""
    from agents.models import Agent  # after django.setup()
    from apikeys import keyformat
    from apikeys.bulk_import import build_secret
    from apikeys.models import ApiKey, KeySecret
    from apikeys.recount import recount
    from tenants.models import Tenant, TenantType

    agents, keys, secrets, lines = [], [], [], []
    for index in range(TENANTS):
        tenant = Tenant(tenant_type=TenantType.ENTERPRISE)
        tenant.set_name(f"Tenant {index}")
        agent = Agent(tenant=tenant)
        agent.set_name("Agent")
        agents.append(agent)
    for index in range(number):
        agent = agents[index % TENANTS]
        key = ApiKey(
            tenant_id=agent.tenant_id,
            agent=agent,
            permissions=["chat", "config_read"],
            rate_limit=RATE_LIMIT if limited else None,
        )
        key.set_name(f"Key {index}")
        secret = keyformat.generate(agent.tenant_id, agent.id)
        keys.append(key)
        secrets.append(build_secret(key, secret))
        lines.append(f"{key.id} {secret}")
    with transaction.atomic():
        Tenant.objects.bulk_create([agent.tenant for agent in agents])
        Agent.unscoped.bulk_create(agents)
        ApiKey.unscoped.bulk_create(keys, batch_size=BATCH)
        KeySecret.objects.bulk_create(secrets, batch_size=BATCH)
    if copies:
        _copy(ApiKey, copies, {"id": _mark("id"), "name": _mark("name"), "name_folded": _mark("name_folded")})
        _copy(KeySecret, copies, {"key_id": _mark("key_id"), "digest": f"SHA2({_mark('digest')}, 256)"})
    recount()
    path.write_text("\n".join(lines))


def _mark(column: str) -> str:
    return f"CONCAT(original.{column}, '-', copy.seq)"


def _copy(model: type[Model], copies: int, changed: dict[str, str]) -> None:
    columns = [str(field.column) for field in model._meta.concrete_fields if field is not model._meta.auto_field]
    values = [changed.get(column, f"original.{column}") for column in columns]
    table = model._meta.db_table
    # The SQL contains only the names of the model's table and columns.
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE originals AS SELECT * FROM {table}")
        # One copy of each at a time, because on a busy machine all at once take longer than a statement may.
        for number in range(1, copies + 1):
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)})"
                f" SELECT {', '.join(values)} FROM originals AS original CROSS JOIN (SELECT %s AS seq) AS copy",
                [number],
            )
        cursor.execute("DROP TEMPORARY TABLE originals")


def main() -> None:
    """Parse the command line and seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("number", type=int)
    parser.add_argument("--limited", action="store_true")
    parser.add_argument("--copies", type=int, default=0)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
    django.setup()
    seed(given.path, given.number, limited=given.limited, copies=given.copies)


if __name__ == "__main__":
    main()

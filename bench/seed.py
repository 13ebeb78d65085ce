"""Fills an empty database with active keys, and writes `id secret` of each into a file.

    python -m bench.seed FILE KEYS [--limited] [--copies N]

Bulk inserts, without services: there is nobody to tell, and audit rows would take minutes. Copies are rows
like all others whose secrets nobody knows, made by MariaDB itself: N of each key.
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
# Never reached, so that each use is taken.
RATE_LIMIT = {"limit": 10_000, "window_seconds": 1}


def seed(path: Path, number: int, *, limited: bool, copies: int) -> None:
    """Makes the keys, in a hundred tenants with one agent each."""
    from agents.models import Agent  # after django.setup()
    from apikeys import digests, keyformat
    from apikeys.models import ApiKey, KeySecret
    from tenants.models import Tenant, TenantType

    agents, keys, secrets, lines = [], [], [], []
    for index in range(TENANTS):
        tenant = Tenant(tenant_type=TenantType.ENTERPRISE)
        tenant.set_name(f"Tenant {index}")
        agent = Agent(tenant=tenant)
        agent.set_name("Agent")
        agents.append(agent)
    version = digests.current_version()
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
        secrets.append(
            KeySecret(
                key=key,
                digest=digests.digest(secret, version),
                pepper_id=version,
                hint=keyformat.parse(secret).hint,
            )
        )
        lines.append(f"{key.id} {secret}")
    with transaction.atomic():
        Tenant.objects.bulk_create([agent.tenant for agent in agents])
        Agent.unscoped.bulk_create(agents)
        ApiKey.unscoped.bulk_create(keys, batch_size=BATCH)
        KeySecret.objects.bulk_create(secrets, batch_size=BATCH)
    if copies:
        _copy(ApiKey, copies, {"id": _mark("id"), "name": _mark("name"), "name_folded": _mark("name_folded")})
        _copy(KeySecret, copies, {"key_id": _mark("key_id"), "digest": f"SHA2({_mark('digest')}, 256)"})
    path.write_text("\n".join(lines))


def _mark(column: str) -> str:
    return f"CONCAT(original.{column}, '-', copy.seq)"


def _copy(model: type[Model], copies: int, changed: dict[str, str]) -> None:
    columns = [str(field.column) for field in model._meta.concrete_fields if field is not model._meta.auto_field]
    values = [changed.get(column, f"original.{column}") for column in columns]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        # Of trusted names alone: those of the model's table and columns.
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {', '.join(values)} FROM {table} AS original CROSS JOIN seq_1_to_{copies} AS copy"
        )


def main() -> None:
    """Reads the command line."""
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

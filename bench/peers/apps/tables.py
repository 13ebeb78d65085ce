"""The tables of the two FastAPI peers: tenants, agents and API keys, as an application of the old shape has them."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache

from sqlalchemy import JSON, Engine, ForeignKey, String, create_engine, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TENANTS = 100
AGENTS_OF_A_TENANT = 20
POOL = 20


class Base(DeclarativeBase):
    """The base of all tables."""


class Tenant(Base):
    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(String(50), primary_key=True)
    status: Mapped[str] = mapped_column(String(20), default="active")


class Agent(Base):
    __tablename__ = "agents"
    id: Mapped[str] = mapped_column(String(50), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20), default="active")
    config: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=datetime.now)


class ApiKey(Base):
    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(50), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    # The secret itself, or its digest, as the peer stores it.
    secret: Mapped[str] = mapped_column(String(255), unique=True)
    permissions: Mapped[list[str]] = mapped_column(JSON, default=list)
    status: Mapped[str] = mapped_column(String(20), default="active")
    expires_at: Mapped[datetime | None]
    usage_count: Mapped[int] = mapped_column(default=0)
    last_used_at: Mapped[datetime | None]


@cache
def engine() -> Engine:
    """Return a pool of connections to the database of DATABASE_URL."""
    url = os.environ["DATABASE_URL"].replace("mysql://", "mysql+mysqldb://")
    return create_engine(url, pool_size=POOL, max_overflow=POOL)


def seed(number: int, stored: Callable[[str], str] = str) -> Iterator[tuple[str, str]]:
    """Create the tables and so many keys, and yield the id and secret of each. `stored` makes the column's text."""
    tenants = [f"tenant_{secrets.token_hex(6)}" for _ in range(TENANTS)]
    agents = {tenant: [f"agent_{secrets.token_hex(6)}" for _ in range(AGENTS_OF_A_TENANT)] for tenant in tenants}
    keys = []
    for index in range(number):
        tenant = tenants[index % TENANTS]
        agent = agents[tenant][0]
        payload = f"{tenant}_{agent}_{secrets.token_hex(8)}_v1"
        keys.append(
            (f"key_{secrets.token_hex(6)}", tenant, agent, "mmc_" + base64.b64encode(payload.encode()).decode())
        )
    pool = engine()
    Base.metadata.create_all(pool)
    with pool.begin() as connection:
        connection.execute(insert(Tenant), [{"id": tenant} for tenant in tenants])
        connection.execute(
            insert(Agent),
            [
                {"id": agent, "tenant_id": tenant, "name": f"Bot {index}", "config": {"persona": "calm"}}
                for tenant, several in agents.items()
                for index, agent in enumerate(several)
            ],
        )
        connection.execute(
            insert(ApiKey),
            [
                {
                    "id": key_id,
                    "tenant_id": tenant,
                    "agent_id": agent,
                    "name": f"Key {index}",
                    "secret": stored(secret),
                    "permissions": ["chat", "config_read"],
                }
                for index, (key_id, tenant, agent, secret) in enumerate(keys)
            ],
        )
    for key_id, _tenant, _agent, secret in keys:
        yield key_id, secret

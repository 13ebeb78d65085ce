"""A verifier with FastAPI and a cache in Redis: asynchronous, digests of keys, uses counted in Redis.

It is written with care: a verification takes one round trip to Redis, and a revocation deletes the cached entry.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from bench.peers.apps import tables
from bench.peers.apps.tables import Agent, ApiKey, Tenant

INTERFACE = "asgi"
CACHED_SECONDS = 60


class ValidateRequest(BaseModel):
    api_key: str


def seed(number: int) -> Iterator[tuple[str, str]]:
    """Store digests of keys."""
    return tables.seed(number, _digest)


def application() -> FastAPI:
    """Return the verifier."""
    app, pool, redis = FastAPI(), tables.engine(), Redis.from_url(os.environ["REDIS_URL"])

    @app.post("/validate")
    async def validate(request: ValidateRequest) -> dict[str, Any]:
        digest = _digest(request.api_key)
        async with redis.pipeline(transaction=False) as pipe:
            pipe.get(f"key:{digest}")
            pipe.incr(f"uses:{digest}")
            cached, _uses = await pipe.execute()
        if cached is None:
            cached = json.dumps(await run_in_threadpool(_read, pool, digest))
            await redis.set(f"key:{digest}", cached, ex=CACHED_SECONDS)
        facts = json.loads(cached)
        if facts is None:
            raise HTTPException(401)
        if facts["expires_at"] is not None and datetime.fromisoformat(facts["expires_at"]) <= datetime.now():
            raise HTTPException(401)
        return {"success": True, "data": facts}

    @app.post("/keys/{key_id}/disable")
    async def disable(key_id: str) -> dict[str, Any]:
        digest = await run_in_threadpool(_disable, pool, key_id)
        await redis.delete(f"key:{digest}")
        return {"success": True}

    return app


def _read(pool: Engine, digest: str) -> dict[str, Any] | None:
    query = (
        select(ApiKey, Agent.status, Tenant.status)
        .join(Agent, Agent.id == ApiKey.agent_id)
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .where(ApiKey.secret == digest)
    )
    with Session(pool) as session:
        row = session.execute(query).first()
        if row is None:
            return None
        key, *statuses = row
        if [key.status, *statuses] != ["active"] * 3:
            return None
        return {
            "valid": True,
            "tenant_id": key.tenant_id,
            "agent_id": key.agent_id,
            "api_key_id": key.id,
            "permissions": key.permissions,
            "key_name": key.name,
            "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
        }


def _disable(pool: Engine, key_id: str) -> str:
    with Session(pool) as session:
        key = session.get_one(ApiKey, key_id)
        key.status = "disabled"
        session.commit()
        return key.secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""A pair of services in the shape that maim replaces: FastAPI and SQLAlchemy, keys in clear, every use at once.

One service verifies keys for bots, the other lists agents for people with a JWT. Here both are one application.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from bench.peers.apps import tables
from bench.peers.apps.tables import Agent, ApiKey, Tenant

INTERFACE = "asgi"
TOKEN_SECRET = "a secret of the benchmark, thirty-two or more"


def _session() -> Iterator[Session]:
    with Session(tables.engine()) as session:
        yield session


Opened = Annotated[Session, Depends(_session)]


class ValidateRequest(BaseModel):
    api_key: str
    required_permission: str | None = None
    check_rate_limit: bool = True


def seed(number: int) -> Iterator[tuple[str, str]]:
    """Store keys in clear."""
    return tables.seed(number)


def application() -> FastAPI:
    """Return both services."""
    app = FastAPI()

    @app.post("/api/v2/auth/validate-api-key")
    def validate(request: ValidateRequest, session: Opened) -> dict[str, Any]:
        began = time.perf_counter()
        code, key = _verify(session, request.api_key)
        if key is None:
            return _envelope(began, error_code=code, data={"valid": False, "code": code})
        key.usage_count += 1
        key.last_used_at = datetime.now()
        data = {
            "valid": True,
            "tenant_id": key.tenant_id,
            "agent_id": key.agent_id,
            "api_key_id": key.id,
            "permissions": key.permissions,
            "has_permission": request.required_permission in (None, *key.permissions),
            "status": key.status,
            "key_name": key.name,
            "expires_at": None,
            "code": "VALID",
        }
        session.commit()
        return _envelope(began, tenant_id=data["tenant_id"], data=data)

    @app.post("/api/v2/api-keys/{key_id}/disable")
    def disable(key_id: str, session: Opened) -> dict[str, Any]:
        began = time.perf_counter()
        key = session.get(ApiKey, key_id)
        if key is None:
            raise HTTPException(404)
        key.status = "disabled"
        session.commit()
        return _envelope(began, data={"api_key_id": key_id, "status": "disabled"})

    @app.get("/token/{key_id}")
    def token(key_id: str, session: Opened) -> dict[str, str]:
        """Sign in as the tenant of a key, for want of people in this benchmark."""
        key = session.get_one(ApiKey, key_id)
        claims = {"sub": key.tenant_id, "exp": time.time() + 3600}
        return {"access_token": jwt.encode(claims, TOKEN_SECRET, algorithm="HS256")}

    @app.get("/api/v1/agents")
    def agents(session: Opened, authorization: Annotated[str, Header()], limit: int = 100) -> list[dict[str, Any]]:
        try:
            claims = jwt.decode(authorization.removeprefix("Bearer "), TOKEN_SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error
        found = select(Agent).where(Agent.tenant_id == claims["sub"]).order_by(Agent.created_at.desc()).limit(limit)
        return [
            {
                "id": agent.id,
                "tenant_id": agent.tenant_id,
                "name": agent.name,
                "status": agent.status,
                "config": agent.config,
                "created_at": agent.created_at,
            }
            for agent in session.scalars(found)
        ]

    return app


def _verify(session: Session, secret: str) -> tuple[str, ApiKey | None]:
    try:
        payload = base64.b64decode(secret.removeprefix("mmc_"), validate=True).decode()
    except ValueError:
        return "AUTH_001", None
    if not payload.endswith("_v1"):
        return "AUTH_001", None
    key = session.scalars(select(ApiKey).where(ApiKey.secret == secret)).first()
    code = "AUTH_005" if key is None else _code(session, key)
    return code, key if code == "VALID" else None


def _code(session: Session, key: ApiKey) -> str:
    if key.status != "active":
        return "AUTH_004"
    if key.expires_at is not None and key.expires_at <= datetime.now():
        return "AUTH_002"
    agent, tenant = session.get_one(Agent, key.agent_id), session.get_one(Tenant, key.tenant_id)
    return "VALID" if (agent.status, tenant.status) == ("active", "active") else "AUTH_007"


def _envelope(
    began: float, *, data: Any, tenant_id: str | None = None, error_code: str | None = None
) -> dict[str, Any]:
    return {
        "success": error_code is None,
        "message": "refused" if error_code else "done",
        "data": data,
        "timestamp": datetime.now(),
        "tenant_id": tenant_id,
        "request_id": "req_0123456789ab",
        "execution_time": time.perf_counter() - began,
        "error": error_code,
        "error_code": error_code,
    }

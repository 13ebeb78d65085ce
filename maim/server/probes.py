"""Replies to probes on the event loop, where neither a hanging dependency nor a full queue delays them.

An orchestrator gives a probe a second or two before it restarts the process or takes it out of service. To a probe that
is not plain, such as one from a browser's page, the views of `core.http.probes` reply the same, in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from agent_config import system
from apikeys import verification
from core.http import dependencies, hosts, metrics, probes
from core.http.dependencies import SingleFlight
from core.http.request_context import RequestContext
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from internal_api.fastpath import Reply, Request
from internal_api.fastpath.replies import json_reply


class Probe(NamedTuple):
    """A plain probe, which no middleware would refuse. `route` is its label in metrics."""

    request: Request
    route: str
    view: View

    async def reply(self) -> Reply:
        """Return the reply, and count it in the metrics."""
        context = self.request.context()
        reply = await self.view(context)
        seconds = time.perf_counter() - context.started
        metrics.record_fastpath_request(self.request.port, self.request.method, self.route, reply.status, seconds)
        return reply


def match(surface: Surface, request: Request) -> Probe | None:
    """Return the probe that a plain request is, else None."""
    if request.path not in _PATHS:
        return None
    route = request.path.strip("/")
    view = _VIEWS[surface].get(route)
    if view is not None and request.method in ("GET", "HEAD") and not request.is_from_page():
        return Probe(request, route, view)
    if hosts.is_load_balancer_check(request.method, request.path, request.header("host")):
        return Probe(request, "none", _load_balancer_check)
    return None


async def _health(context: RequestContext) -> Reply:
    """Reply from the last reading of the epoch, without a query."""
    return json_reply(context, 200, probes.health(has_database=verification.database_is_available()))


async def _public_health(context: RequestContext) -> Reply:
    """Reply from a query, because workers of the public surface do not read the epoch."""
    query = asyncio.wrap_future(dependencies.database.start())
    done, _pending = await asyncio.wait([query], timeout=probes.HEALTH_SECONDS)
    return json_reply(context, 200, probes.health(has_database=query in done and query.result()))


async def _ready(context: RequestContext) -> Reply:
    readiness = await asyncio.wrap_future(_readiness.start())
    return json_reply(context, readiness.status, readiness.body, readiness.headers)


async def _load_balancer_check(context: RequestContext) -> Reply:
    return Reply(204, [("X-Request-ID", context.request_id)], b"")


View = Callable[[RequestContext], Awaitable[Reply]]
_VIEWS: dict[Surface, dict[str, View]] = {
    PUBLIC: {"health": _public_health},
    INTERNAL: {"health": _health, "ready": _ready},
}
_PATHS = frozenset({"/", "/health", "/health/", "/ready", "/ready/"})
_readiness = SingleFlight("readiness", lambda: probes.check_readiness(system.problems))

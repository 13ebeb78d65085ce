"""A limiter in Redis, for any number of workers on any number of machines."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.utils import timezone
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from apikeys.verification.limits.base import (
    LimiterUnavailable,
    QuotaState,
    RateLimitState,
    Use,
    counted_so_far,
    limit_status,
    period_name,
)
from apikeys.verification.verdicts import LimitStatus
from core import redis
from core.redis import WriteRefused

log = logging.getLogger("maim.keys")

# Longer than any script takes, and short enough that requests for limited keys do not occupy all threads.
TIMEOUT_SECONDS = 0.5
RETRY_SECONDS = 1.0

_SCRIPT = Path(__file__).with_name("take.lua").read_text()
_MICRO = 1_000_000
_KEPT_AFTER_PERIOD_SECONDS = 86_400


class RedisLimiter:
    """A limiter for any number of workers on any number of machines. Many uses take one round trip."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_pool(redis.pool(url, TIMEOUT_SECONDS))
        self._script = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
        self._retry_at = 0.0

    def take(self, uses: Sequence[Use]) -> list[LimitStatus]:
        if time.monotonic() < self._retry_at:
            raise LimiterUnavailable
        try:
            return self._take(uses)
        except RedisError as error:
            log.warning("limits cannot be counted, Redis does not answer or takes no writes: %s", error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            raise LimiterUnavailable from error

    def _take(self, uses: Sequence[Use]) -> list[LimitStatus]:
        now = timezone.now().timestamp()
        statuses: dict[int, LimitStatus] = {}
        counted: dict[tuple[int, int], int] = {}
        was_refused = False
        while waiting := [number for number in range(len(uses)) if number not in statuses]:
            replies = self._run(uses, waiting, counted, now)
            is_first_refusal = not was_refused
            for number, reply in zip(waiting, replies, strict=True):
                if isinstance(reply, NoScriptError):
                    self._redis.script_load(_SCRIPT)
                elif isinstance(reply, WriteRefused) and is_first_refusal:
                    was_refused = True  # nothing was counted, so try again on a new connection
                elif isinstance(reply, RedisError):
                    raise reply
                elif len(reply) == 1:
                    limits = uses[number].limits
                    counted[number, reply[0]] = counted_so_far(limits.quotas[reply[0]], limits.tenant_id, now)
                else:
                    statuses[number] = _parse_reply(uses[number], reply)
        return [statuses[number] for number in range(len(uses))]

    def _run(self, uses: Sequence[Use], numbers: Sequence[int], counted: dict[tuple[int, int], int], now: float) -> Any:
        with self._redis.pipeline(transaction=False) as pipeline:
            for number in numbers:
                keys, arguments = _script_arguments(uses[number], number, counted, now)
                pipeline.evalsha(self._script, len(keys), *keys, *arguments)
            return pipeline.execute(raise_on_error=False)


def _script_arguments(
    use: Use, number: int, counted: dict[tuple[int, int], int], now: float
) -> tuple[list[str], list[str | int]]:
    limits = use.limits
    # The braces put all keys of a tenant on one node of a Redis cluster.
    keys = [f"maim:{{{limits.tenant_id}}}:rate:{each.subject}" for each in limits.rate_limits]
    arguments: list[str | int] = [int(use.consume), len(limits.rate_limits)]
    for rate_limit in limits.rate_limits:
        arguments += [rate_limit.limit, rate_limit.window_seconds * _MICRO]
    for index, quota in enumerate(limits.quotas):
        keys.append(f"maim:{{{limits.tenant_id}}}:quota:{quota.subject}:{period_name(quota, now)}")
        end = quota.period.end(datetime.fromtimestamp(now, UTC))
        kept = 0 if end is None else math.ceil(end.timestamp() - now) + _KEPT_AFTER_PERIOD_SECONDS
        arguments += [quota.limit, counted.get((number, index), -1), kept]
    return keys, arguments


def _parse_reply(use: Use, reply: Any) -> LimitStatus:
    now, is_exceeded, states = int(reply[0]) / _MICRO, bool(reply[1]), iter(reply[2:])
    rate_limits = []
    for rate_limit in use.limits.rate_limits:
        used, oldest, blocking = next(states)
        rate_limits.append(RateLimitState(rate_limit, used, _seconds(oldest), _seconds(blocking)))
    quotas = [QuotaState(quota, next(states)) for quota in use.limits.quotas]
    return limit_status(rate_limits, quotas, now, is_exceeded=use.consume and is_exceeded)


def _seconds(microseconds: Any) -> float | None:
    return None if int(microseconds) < 0 else int(microseconds) / _MICRO

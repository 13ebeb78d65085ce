"""Limits of any number of workers on any number of machines, in Redis."""

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
    RateState,
    Use,
    counted_so_far,
    period_name,
    standing,
)
from apikeys.verification.verdicts import Standing
from core import redis
from core.redis import WriteRefused

log = logging.getLogger("maim.keys")

# Longer than any script takes, shorter than what would let limited keys hold all threads.
TIMEOUT_SECONDS = 0.5
TRY_AGAIN_SECONDS = 1.0

_TAKE = Path(__file__).with_name("take.lua").read_text()
_MICRO = 1_000_000
_KEPT_AFTER_PERIOD = 86_400


class RedisLimiter:
    """For any number of workers on any number of machines. Many uses take one round trip."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_pool(redis.pool(url, TIMEOUT_SECONDS))
        self._script = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()
        self._try_again_at = 0.0

    def take(self, uses: Sequence[Use]) -> list[Standing]:
        if time.monotonic() < self._try_again_at:
            raise LimiterUnavailable
        try:
            return self._taken(uses)
        except RedisError as error:
            log.warning("limits cannot be counted, Redis does not answer or takes no writes: %s", error)
            self._try_again_at = time.monotonic() + TRY_AGAIN_SECONDS
            raise LimiterUnavailable from error

    def _taken(self, uses: Sequence[Use]) -> list[Standing]:
        now = timezone.now().timestamp()
        standings: dict[int, Standing] = {}
        begin: dict[tuple[int, int], int] = {}
        was_refused = False
        while waiting := [number for number in range(len(uses)) if number not in standings]:
            answers = self._run(uses, waiting, begin, now)
            is_first_refusal = not was_refused
            for number, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, NoScriptError):
                    self._redis.script_load(_TAKE)
                elif isinstance(answer, WriteRefused) and is_first_refusal:
                    was_refused = True  # nothing of it is counted: once more, on a new connection
                elif isinstance(answer, RedisError):
                    raise answer
                elif len(answer) == 1:
                    pools = uses[number].pools
                    begin[number, answer[0]] = counted_so_far(pools.quotas[answer[0]], pools.tenant_id, now)
                else:
                    standings[number] = _read(uses[number], answer)
        return [standings[number] for number in range(len(uses))]

    def _run(self, uses: Sequence[Use], numbers: Sequence[int], begin: dict[tuple[int, int], int], now: float) -> Any:
        with self._redis.pipeline(transaction=False) as pipeline:
            for number in numbers:
                keys, arguments = _script_arguments(uses[number], number, begin, now)
                pipeline.evalsha(self._script, len(keys), *keys, *arguments)
            return pipeline.execute(raise_on_error=False)


def _script_arguments(
    use: Use, number: int, begin: dict[tuple[int, int], int], now: float
) -> tuple[list[str], list[str | int]]:
    pools = use.pools
    # The braces put all keys of a tenant on one node of a Redis cluster.
    keys = [f"maim:{{{pools.tenant_id}}}:rate:{pool.subject}" for pool in pools.rates]
    arguments: list[str | int] = [int(use.consume), len(pools.rates)]
    for pool in pools.rates:
        arguments += [pool.limit, pool.window_seconds * _MICRO]
    for index, quota in enumerate(pools.quotas):
        keys.append(f"maim:{{{pools.tenant_id}}}:quota:{quota.subject}:{period_name(quota, now)}")
        end = quota.period.end(datetime.fromtimestamp(now, UTC))
        kept = 0 if end is None else math.ceil(end.timestamp() - now) + _KEPT_AFTER_PERIOD
        arguments += [quota.limit, begin.get((number, index), -1), kept]
    return keys, arguments


def _read(use: Use, answer: Any) -> Standing:
    """What the script says."""
    now, is_over, states = int(answer[0]) / _MICRO, bool(answer[1]), iter(answer[2:])
    rates = []
    for pool in use.pools.rates:
        used, oldest, blocking = next(states)
        rates.append(RateState(pool, used, _seconds(oldest), _seconds(blocking)))
    quotas = [QuotaState(quota, next(states)) for quota in use.pools.quotas]
    return standing(rates, quotas, now, is_over=use.consume and is_over)


def _seconds(microseconds: Any) -> float | None:
    return None if int(microseconds) < 0 else int(microseconds) / _MICRO

"""Rate limits and quotas: counting a use against all of a key's pools at once, or against none.

A rate limit keeps the times of its last uses, so that it is exact in every window and not only in some. A
quota keeps one number for its period, which begins as what the database has counted (apikeys.usage).
Both live in Redis, where one script sees all workers and machines at one moment; without Redis there is
one worker, and they live in its memory.
"""

from apikeys.verification.limits.base import Limiter, LimiterUnavailable, Use
from apikeys.verification.limits.memory import LocalLimiter
from apikeys.verification.limits.redis import RedisLimiter

__all__ = ["Limiter", "LimiterUnavailable", "LocalLimiter", "RedisLimiter", "Use"]

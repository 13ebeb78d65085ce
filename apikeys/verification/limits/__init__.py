"""Rate limits and quotas: a use is counted against all limits of a key at once, or against none.

A rate limit keeps the times of its last uses, so that it is exact in every window. A quota keeps one number for its
period, which starts at what the database has counted (apikeys.usage). Both are in Redis, where one script sees all
workers and machines at one moment. Without Redis there is one worker, and they are in its memory.
"""

from apikeys.verification.limits.base import Limiter, LimiterUnavailable, Use
from apikeys.verification.limits.memory import InMemoryLimiter
from apikeys.verification.limits.redis import RedisLimiter

__all__ = ["InMemoryLimiter", "Limiter", "LimiterUnavailable", "RedisLimiter", "Use"]

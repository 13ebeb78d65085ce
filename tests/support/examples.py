"""The number of examples that Hypothesis tries: few in short runs, which draw different ones, and many in long runs."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `make test-long` sets it.
TIMES = int(os.environ.get("EXAMPLES_TIMES", "1"))


def examples(number: int) -> settings:
    """Return Hypothesis settings with this number of examples in a short run, and more in a long one."""
    return settings(max_examples=number * TIMES, deadline=None, suppress_health_check=list(HealthCheck))

"""The number of examples that Hypothesis tries: few in a short run, because each draws others, many in a long one."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `make test-long` sets it.
_TIMES = int(os.environ.get("EXAMPLES_TIMES", "1"))


def examples(number: int) -> settings:
    """Return the settings of a test that takes some milliseconds an example, for so many of them in a short run."""
    return settings(max_examples=number * _TIMES, deadline=None, suppress_health_check=list(HealthCheck))

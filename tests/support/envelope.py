"""The keys of every v2 answer, in their order (CONTRACT.md section 3)."""

from __future__ import annotations

ENVELOPE = [
    "success",
    "message",
    "data",
    "timestamp",
    "request_id",
    "tenant_id",
    "execution_time",
    "error",
    "error_code",
]

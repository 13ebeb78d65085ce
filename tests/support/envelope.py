"""The keys of every v2 response, in order (docs/contract.md section 8)."""

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

"""The schema of a config: its known parts, what they may be, and what they mean (docs/contract.md section 13)."""

from __future__ import annotations

from agent_config.schema.json_schema import json_schema
from agent_config.schema.lint import Notice, Warned, named_models, unknown_models
from agent_config.schema.paths import Place, as_sent, path
from agent_config.schema.root import defaults
from agent_config.schema.validation import (
    Fault,
    TooManyFaults,
    checked,
    faults,
    is_mergeable,
    replaced,
    too_many,
    warnings,
)

__all__ = [
    "Fault",
    "Notice",
    "Place",
    "TooManyFaults",
    "Warned",
    "as_sent",
    "checked",
    "defaults",
    "faults",
    "is_mergeable",
    "json_schema",
    "named_models",
    "path",
    "replaced",
    "too_many",
    "unknown_models",
    "warnings",
]

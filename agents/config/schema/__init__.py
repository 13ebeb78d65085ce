"""The schema of a config: its known parts, what they may be, and what they mean (docs/contract.md section 13)."""

from __future__ import annotations

from agents.config.schema.checking import (
    Fault,
    TooManyFaults,
    checked,
    faults,
    is_mergeable,
    replaced,
    too_many,
    warnings,
)
from agents.config.schema.drawing import json_schema
from agents.config.schema.notices import Notice, Warned, named_models, unknown_models
from agents.config.schema.places import Place, as_sent, path
from agents.config.schema.root import defaults

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

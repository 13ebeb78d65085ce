"""The schema of a config: what its known parts are, what they may be, and what they mean (CONTRACT.md section 4)."""

from __future__ import annotations

from agents.config.schema.checking import Fault, check, faults, is_mergeable
from agents.config.schema.drawing import json_schema
from agents.config.schema.notices import Notice, check_models, warnings
from agents.config.schema.places import Place, path
from agents.config.schema.root import defaults

__all__ = [
    "Fault",
    "Notice",
    "Place",
    "check",
    "check_models",
    "defaults",
    "faults",
    "is_mergeable",
    "json_schema",
    "path",
    "warnings",
]

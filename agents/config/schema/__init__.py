"""The schema of a config: what its known parts are, what they may be, and what they mean (CONTRACT.md section 4)."""

from __future__ import annotations

from agents.config.schema.checking import Fault, check, faults
from agents.config.schema.drawing import json_schema
from agents.config.schema.notices import Notice, unknown_models, warnings
from agents.config.schema.places import Place, path
from agents.config.schema.root import defaults

__all__ = [
    "Fault",
    "Notice",
    "Place",
    "check",
    "defaults",
    "faults",
    "json_schema",
    "path",
    "unknown_models",
    "warnings",
]

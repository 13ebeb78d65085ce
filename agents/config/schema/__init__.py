"""The schema of a config: what its known parts are, what they may be, and what they mean (CONTRACT.md section 4)."""

from __future__ import annotations

from agents.config.schema.checking import check
from agents.config.schema.drawing import json_schema
from agents.config.schema.notices import Notice, unknown_models, warnings
from agents.config.schema.root import defaults

__all__ = ["Notice", "check", "defaults", "json_schema", "unknown_models", "warnings"]

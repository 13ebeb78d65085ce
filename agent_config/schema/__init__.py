"""The schema of a config: its known sections and fields, and their validation (docs/contract.md section 13)."""

from __future__ import annotations

from agent_config.schema.json_schema import json_schema
from agent_config.schema.lint import ConfigWarning, Finding, named_models, unknown_models
from agent_config.schema.mistakes import names_others, unknown_providers
from agent_config.schema.paths import Place, path, sent_place
from agent_config.schema.validation import (
    Fault,
    TooManyFaults,
    faults,
    is_mergeable,
    replace_values,
    too_many_faults,
    validate,
    warnings,
)
from agent_config.schema.versions import DEFAULT, NAMES, defaults

__all__ = [
    "DEFAULT",
    "NAMES",
    "ConfigWarning",
    "Fault",
    "Finding",
    "Place",
    "TooManyFaults",
    "defaults",
    "faults",
    "is_mergeable",
    "json_schema",
    "named_models",
    "names_others",
    "path",
    "replace_values",
    "sent_place",
    "too_many_faults",
    "unknown_models",
    "unknown_providers",
    "validate",
    "warnings",
]

"""Exported agents as files: JSON or TOML."""

from __future__ import annotations

import json
from typing import Any

from agents.serializers.transfer import ExportDocument
from agents.services.transfer import Document
from core import strict_json
from core.errors import Invalid
from core.http import toml


def written(document: Document, form: str) -> str:
    """What a file of the format holds; raises Invalid for what TOML cannot hold."""
    if form == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    try:
        return toml.dumps(document)
    except strict_json.NotAcceptable as error:
        raise Invalid({"format": [str(error)]}) from error


def read(raw: bytes, form: str, **instead: Any) -> dict[str, Any]:
    """What a file of the format says, in shape, with other values in place of its own.

    Raises Invalid, and ValidationError.
    """
    try:
        document = strict_json.loads(raw) if form == "json" else toml.loads(raw)
        strict_json.check(instead)
    except strict_json.NotAcceptable as error:
        raise Invalid({"file": [str(error)]}) from error
    body = ExportDocument(data={**document, **instead} if isinstance(document, dict) else document)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)

"""Exported agents as files: JSON or TOML."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext_lazy as _

from agents.serializers.transfer import AgentExportDocument
from agents.services.transfer import Document, check_import, import_agent
from core import strict_json
from core.actor import Actor
from core.errors import Invalid
from core.file_text import decode_file
from core.http import toml
from tenants.models import Tenant


def dumps(document: Document, file_format: str) -> str:
    """Return the content of a file. Raise Invalid if the format is TOML and the document has a null."""
    if file_format == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    try:
        return toml.dumps(document)
    except strict_json.NotAcceptable as error:
        raise Invalid({"format": [str(error)]}) from error


def loads(raw: bytes, file_format: str, **overrides: Any) -> dict[str, Any]:
    """Return the validated document in a file, with these values in place of its own.

    Raise Invalid if the file is malformed, and ValidationError if the document is not valid.
    """
    try:
        text = decode_file(raw).encode()
        document = strict_json.loads(text) if file_format == "json" else toml.loads(text)
        strict_json.check(overrides)
    except strict_json.NotAcceptable as error:
        raise Invalid({"file": [str(error)]}) from error
    if not isinstance(document, dict):
        raise Invalid({"file": [_("must be an object")]})
    body = AgentExportDocument(data={**document, **overrides})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def import_document(actor: Actor, tenant: Tenant, document: Document, *, dry_run: bool) -> dict[str, Any]:
    """Make an agent from the document of a file, or only check it, and return what an import responds with."""
    if dry_run:
        checked = check_import(actor=actor, tenant=tenant, **document)
        return {
            "dry_run": True,
            "agent": None,
            "config_warnings": checked.warnings,
            "preview": checked,
        }
    agent = import_agent(actor=actor, tenant=tenant, **document)
    return {
        "dry_run": False,
        "agent": agent,
        "config_warnings": agent.config_warnings,
        "preview": None,
    }

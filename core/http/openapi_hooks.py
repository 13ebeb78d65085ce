"""Steps after drf-spectacular has made an OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

_JSON = "application/json"
# RFC 9110's name for it, which Python has from 3.13 on.
_PHRASES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large"}
_ERROR_SHAPES = {"#/components/schemas/ErrorResponse": "", "#/components/schemas/ErrorEnvelope": "Enveloped"}


def without_enum_ids(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Remove the ids by which drf-spectacular tells enumerations apart."""

    def clean(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: clean(value) for key, value in node.items() if key != "x-spec-enum-id"}
        return [clean(value) for value in node] if isinstance(node, list) else node

    cleaned: dict[str, Any] = clean(result)
    return cleaned


def with_shared_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Move the responses of errors to the components, because most operations have the same ones.

    Raise ValueError if two would have the same name.
    """
    shared: dict[str, Any] = {}
    for methods in result["paths"].values():
        for operation in methods.values():
            responses = operation["responses"]
            for status, response in responses.items():
                shape = response.get("content", {}).get(_JSON, {}).get("schema", {}).get("$ref")
                if shape in _ERROR_SHAPES:
                    name = f"{_ERROR_SHAPES[shape]}{_kind(response)}{_phrase(status)}"
                    if shared.setdefault(name, response) != response:
                        raise ValueError(f"{name} names two responses")
                    responses[status] = {"$ref": f"#/components/responses/{name}"}
    result["components"]["responses"] = dict(sorted(shared.items()))
    return result


def _kind(response: dict[str, Any]) -> str:
    """Return what tells responses with the same status apart."""
    if "Idempotency-Key" in response["description"]:
        return "Idempotent"
    return "Strict" if "Preference-Applied" in response.get("headers", {}) else ""


def _phrase(status: str) -> str:
    known = HTTPStatus(int(status))
    return _PHRASES.get(known, known.phrase).title().replace(" ", "")

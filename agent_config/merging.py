"""The merge of a sent config into a stored one (docs/contract.md section 13).

Objects merge key by key, lists and scalars replace, null removes. Two lists have named items: the sent list decides
which items there are and in which order, and each is merged into the stored item of the same name.
"""

from __future__ import annotations

from typing import Any

from agent_config.document import NAMED_LISTS, Config, is_object


def merge(stored: Config, sent: Config) -> Config:
    """Return the stored config with the sent one, whose structure was validated, merged into it. Change neither."""
    result = _merge_object(stored, sent, ())
    if "persona" in sent:
        persona = _merge_persona(stored.get("persona"), sent["persona"])
        if persona is not None:
            result["persona"] = persona
    return result


def with_api_provider(model: Config) -> Config:
    """Return a model whose `provider_name`, the older spelling, is written as `api_provider`."""
    if "provider_name" not in model:
        return model
    older = {"api_provider": model["provider_name"]}
    return {**older, **{key: value for key, value in model.items() if key != "provider_name"}}


def persona_object(persona: Any) -> Any:
    """Return a persona as an object. A text stands for its `personality`."""
    return {"personality": persona} if isinstance(persona, str) else persona


def _merge_object(stored: Config, sent: Config, path: tuple[str, ...]) -> Config:
    result = dict(stored)
    for key, value in sent.items():
        here = (*path, key)
        if value is None:
            result.pop(key, None)
        elif here in NAMED_LISTS:
            result[key] = _merge_named(stored.get(key), value, here)
        elif is_object(value):
            old = stored.get(key)
            result[key] = _merge_object(old if is_object(old) else {}, value, here)
        else:
            result[key] = _without_nulls(value)
    return result


def _merge_named(stored: Any, sent: list[Config], path: tuple[str, ...]) -> list[Config]:
    spelled = with_api_provider if path[-1] == "models" else dict
    old = {item.get("name"): item for item in stored or () if isinstance(item, dict)}
    return [_merge_object(spelled(old.get(item["name"], {})), spelled(item), (*path, "*")) for item in sent]


def _merge_persona(stored: Any, sent: Any) -> Any:
    """Return the merged persona, as a text while nothing but its `personality` is set."""
    if sent is None:
        return None
    if isinstance(sent, str):
        return {**stored, "personality": sent} if isinstance(stored, dict) else sent
    stored = persona_object(stored)
    return _merge_object(stored if isinstance(stored, dict) else {}, sent, ("persona",))


def _without_nulls(value: Any) -> Any:
    """Return a sent value without the members of objects that are null, because null is never stored."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in value]
    return value

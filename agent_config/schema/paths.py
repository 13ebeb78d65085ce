"""Places in a config, and how errors and notices name them."""

from __future__ import annotations

from typing import Any

Place = tuple[str | int, ...]

MODEL: Place = ("config_overrides", "model")


def path(place: Place) -> str:
    """The place in words: `config_overrides.model.models[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def as_sent(place: Place, sent: Any) -> Place | None:
    """Return where what stands in a place of a config was sent; None if it was not.

    A persona may be sent as a text, and a model's `api_provider` as its `provider_name`.
    """
    found: Place = ()
    for step in place:
        if isinstance(sent, str) and place == ("persona", "personality"):
            return found
        is_older = step == "api_provider" and isinstance(sent, dict) and step not in sent
        key = "provider_name" if is_older else step
        if not isinstance(sent, dict | list):
            return None
        try:
            sent = sent[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
        found = (*found, key)
    return found

"""Places in a config, and their paths in errors and warnings."""

from __future__ import annotations

from typing import Any

Place = tuple[str | int, ...]

MODEL: Place = ("config_overrides", "model")


def path(place: Place) -> str:
    """Return the path of a place, such as `config_overrides.model.models[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def topmost(places: set[Place]) -> list[Place]:
    """Return the places that are not within others, last items first, so that removals do not renumber the others."""
    found = [place for place in places if not any(place[:length] in places for length in range(1, len(place)))]
    return sorted(found, key=_order, reverse=True)


def holder_of(config: Any, place: Place) -> Any:
    """Return the object or list that a place is in."""
    for step in place[:-1]:
        config = config[step]
    return config


def _order(place: Place) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in place]


def sent_place(place: Place, sent: Any) -> Place | None:
    """Return the place in a sent config of a value of the merged config; None if it was not sent.

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
            sent = sent[key]  # type: ignore[index]  # a wrong kind of key is caught below
        except (KeyError, IndexError, TypeError):
            return None
        found = (*found, key)
    return found

"""Places in a config, and how errors and notices name them."""

from __future__ import annotations

Place = tuple[str | int, ...]

MODEL: Place = ("config_overrides", "model")


def path(place: Place) -> str:
    """The place in words: `config_overrides.model.models[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")

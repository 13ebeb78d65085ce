"""Secrets are written, never read back: a mask stands in their place."""

from __future__ import annotations

import copy

from agents.config.document import MASK, Config, secret_places


def masked(config: Config) -> Config:
    """A copy in which every secret that is set reads as the mask."""
    result = copy.deepcopy(config)
    for holder, key, _path in secret_places(result):
        holder[key] = MASK
    return result

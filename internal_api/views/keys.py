"""API keys behind the internal door: the views of `apikeys`, open to every tenant."""

from __future__ import annotations

from apikeys.views import DisableKey, EnableKey, KeyCollection, KeyResource
from maim.http.views import InternalDoor


class Keys(InternalDoor, KeyCollection):
    pass


class Key(InternalDoor, KeyResource):
    pass


class KeyDisabling(InternalDoor, DisableKey):
    pass


class KeyEnabling(InternalDoor, EnableKey):
    pass

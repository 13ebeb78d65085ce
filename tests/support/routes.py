"""Every route that the two surfaces serve, read from their urlconfs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from core.http.surfaces import SURFACES, Surface

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, order=True, slots=True)
class Route:
    """A method of a path of a surface; `path` reads `/api/v1/agents/{agent_id}`."""

    surface: str
    path: str
    method: str

    def __str__(self) -> str:
        return f"{self.surface}: {self.method} {self.path}"


def routes(surface: Surface) -> list[Route]:
    """The surface's routes. GET stands for HEAD too, which Django answers alike.

    Left out are Django admin, whose pages sign operators in by themselves and are tested beside it, and
    the static files, public assets that never reach a urlconf.
    """
    return [
        Route(surface.name, path, method)
        for path, view in _views(get_resolver(surface.urlconf), "/")
        for method in METHODS
        if callable(getattr(view, method.lower(), None))
    ]


def all_routes() -> list[Route]:
    """The routes of both surfaces."""
    return [route for surface in SURFACES for route in routes(surface)]


def methods_of(surface: Surface) -> dict[str, list[str]]:
    """The methods that each path of the surface has."""
    found: dict[str, list[str]] = {}
    for route in routes(surface):
        found.setdefault(route.path, []).append(route.method)
    return found


def fill(template: str, **values: str) -> str:
    """The path with its parameters filled in; what is not given names nothing that exists."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], _NOTHING.get(match[1], "no_such_thing")), template)


_NOTHING = {"number": "0"}


def _views(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, type[Any]]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            view = entry.callback
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), getattr(view, "view_class", None) or view.cls  # type: ignore[attr-defined]
        elif entry.app_name != "admin":
            yield from _views(entry, path)

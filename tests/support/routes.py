"""The routes that the two surfaces serve, read from their urlconfs."""

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
    """Return the surface's routes. GET stands for HEAD too, which Django handles alike.

    The admin is left out, because its pages sign operators in by themselves and have tests of their own, and so
    are the static files, which are public and never reach a urlconf.
    """
    return [
        Route(surface.name, path, method)
        for path, view in _views(get_resolver(surface.urlconf), "/")
        for method in METHODS
        if callable(getattr(view, method.lower(), None))
    ]


def all_routes() -> list[Route]:
    """Return the routes of both surfaces."""
    return [route for surface in SURFACES for route in routes(surface)]


def methods_of(surface: Surface) -> dict[str, list[str]]:
    """Return the methods of each path of the surface."""
    found: dict[str, list[str]] = {}
    for route in routes(surface):
        found.setdefault(route.path, []).append(route.method)
    return found


def fill(template: str, **values: str) -> str:
    """Return the path with its parameters filled in. A missing one names an object that does not exist."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], _NOTHING.get(match[1], "no_such_thing")), template)


def fill_value(value: Any, **values: Any) -> Any:
    """Return a value with its parameters filled in, if it is text. A parameter alone may stand for any value."""
    if not isinstance(value, str):
        return value
    whole = values.get(value.strip("{}"))
    return fill(value, **values) if whole is None or isinstance(whole, str) else whole


_NOTHING = {"number": "0"}


def _views(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, type[Any]]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            view: Any = entry.callback  # with an attribute of Django or of DRF
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path), getattr(view, "view_class", None) or view.cls
        elif entry.app_name not in ("admin", "admin_oidc", "admin_figures"):
            yield from _views(entry, path)

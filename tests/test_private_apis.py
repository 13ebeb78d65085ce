"""The private and undocumented parts of libraries that this code builds on.

An upgrade may remove or change them without notice. Each entry of the table fails with a sentence that names our
code, the library's object, and the reason why the one needs the other.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from tests.private_apis import HANDLER, OUR_MYSQL, PRIVATE_APIS, SURFACES, PrivateApi

pytestmark = pytest.mark.embedded


def resolve(path: str) -> Any:
    """Import a module, or the member of one."""
    try:
        return import_module(path)
    except ModuleNotFoundError:
        parent, _, name = path.rpartition(".")
        return getattr(resolve(parent), name)


def problem_with(api: PrivateApi) -> str | None:
    """Return a sentence if the library no longer has the attribute as our code needs it."""
    reason = f"{api}: {api.why}."
    try:
        owner = resolve(api.owner)
    except (AttributeError, ValueError, ImportError):
        return f"{reason} But {api.owner} is gone."
    is_of_instances = api.parameters is None and f"self.{api.attribute}" in source_of(owner)
    if not hasattr(owner, api.attribute) and not is_of_instances:
        return f"{reason} But it is gone from {api.owner}."
    if api.parameters is not None:
        found = ", ".join(inspect.signature(getattr(owner, api.attribute)).parameters)
        if found != api.parameters:
            return f"{reason} But its parameters are ({found}), which were ({api.parameters})."
    if api.used_by is None:
        return None
    try:
        is_used = api.attribute in source_of(resolve(api.used_by))
    except AttributeError:
        is_used = False
    return None if is_used else f"{reason} But {api.used_by} no longer uses it."


def source_of(library_object: Any) -> str:
    """Return the source of a library's object, or an empty text if it is not written in Python."""
    try:
        return inspect.getsource(inspect.unwrap(library_object))
    except (TypeError, OSError):
        return ""


@pytest.mark.parametrize("api", PRIVATE_APIS, ids=str)
def test_library_still_has_what_our_code_needs(api: PrivateApi) -> None:
    assert problem_with(api) is None


@pytest.mark.parametrize("api", PRIVATE_APIS, ids=str)
def test_our_code_that_needs_it_exists(api: PrivateApi) -> None:
    if api.user == OUR_MYSQL:
        pytest.importorskip("MySQLdb", reason="mysqlclient is not installed", exc_type=ImportError)
    assert resolve(api.user)


def test_missing_attribute_is_reported_in_a_sentence() -> None:
    api = PrivateApi(SURFACES, "overrides", HANDLER, "load_all_middleware", "each surface has its own middleware")

    assert problem_with(api) == (
        "core.http.surfaces.SurfaceHandler overrides BaseHandler.load_all_middleware: each surface has its own "
        "middleware. But it is gone from django.core.handlers.base.BaseHandler."
    )


def test_changed_parameters_are_reported_in_a_sentence() -> None:
    api = PrivateApi(SURFACES, "overrides", HANDLER, "load_middleware", "each surface has its own", "self")

    assert problem_with(api) == (
        "core.http.surfaces.SurfaceHandler overrides BaseHandler.load_middleware: each surface has its own. "
        "But its parameters are (self, is_async), which were (self)."
    )


def test_attribute_that_the_library_ignores_is_reported_in_a_sentence() -> None:
    api = PrivateApi(SURFACES, "sets", HANDLER, "_view_middleware", "it is unused", used_by=f"{HANDLER}.get_response")

    assert problem_with(api) == (
        "core.http.surfaces.SurfaceHandler sets BaseHandler._view_middleware: it is unused. "
        "But django.core.handlers.base.BaseHandler.get_response no longer uses it."
    )

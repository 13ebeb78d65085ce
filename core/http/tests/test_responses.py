"""The shapes of responses, and times in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.urls import resolve

from core.http.responses import is_enveloped, utc_text
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES, Surface
from tests.support.routes import fill, methods_of

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-01-31T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=8))), "2026-01-31T12:00:00Z"),
        (NOON + timedelta(microseconds=1), "2026-01-31T12:00:00.000001Z"),
        (NOON + timedelta(milliseconds=500), "2026-01-31T12:00:00.500000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_time_is_iso_8601_in_utc(moment: datetime, text: str) -> None:
    assert utc_text(moment) == text


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_path_tells_whether_its_view_uses_the_envelope(surface: Surface) -> None:
    paths = [fill(template) for template in methods_of(surface)]

    told = {path: is_enveloped(surface, path) for path in paths}
    views = {path: resolve(path, surface.urlconf).func for path in paths}

    assert told == {path: getattr(getattr(view, "cls", None), "enveloped", False) for path, view in views.items()}
    assert {True, False} == set(told.values())


@pytest.mark.parametrize(
    ("surface", "path", "enveloped"),
    [
        (INTERNAL, "/api/v2/nothing", True),
        (INTERNAL, "/api/v1/plugins/nothing", False),
        (INTERNAL, "/nothing", True),
        (PUBLIC, "/api/v1/tenants/nothing/here", True),
        (PUBLIC, "/api/v1/nothing", False),
        (PUBLIC, "/nothing", False),
    ],
)
def test_path_without_a_view_has_the_shape_of_those_around_it(surface: Surface, path: str, enveloped: bool) -> None:
    assert is_enveloped(surface, path) == enveloped

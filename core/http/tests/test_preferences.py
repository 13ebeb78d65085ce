"""Preferences of requests (RFC 7240), and what browsers may send and read of them."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import RequestFactory

from core.http import preferences

pytestmark = pytest.mark.embedded


def is_strict(header: str) -> bool:
    return preferences.is_strict(RequestFactory().put("/", headers={"Prefer": header}))


@pytest.mark.parametrize(
    "header",
    [
        "handling=strict",
        "Handling=Strict",
        'handling="strict"',
        "handling = strict",
        "handling=strict; reason=x",
        "return=minimal, handling=strict",
        "respond-async,wait=10 , handling=strict",
        'foo="a, handling=lenient", handling=strict',
        'foo; bar="x;y,z", handling=strict',
        "handling=strict, handling=lenient",
    ],
)
def test_strict_handling_is_recognized_however_it_is_written(header: str) -> None:
    assert is_strict(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "handling",
        "handling=lenient",
        "handling=strictly",
        "handling=lenient, handling=strict",
        'foo="handling=strict"',
        "foo; handling=strict",
        "x-handling=strict",
        "return=strict",
        "=,;",
        '"handling=strict"',
        "handling=" + "s" * 8000,
        ";" * 8000,
        '"' * 8000,
    ],
)
def test_anything_else_is_not_strict(header: str) -> None:
    assert not is_strict(header)


def test_browsers_may_send_the_preference_and_read_that_it_was_applied() -> None:
    assert "prefer" in settings.CORS_ALLOW_HEADERS
    assert {preferences.APPLIED, "X-Config-Warnings"} <= set(settings.CORS_EXPOSE_HEADERS)

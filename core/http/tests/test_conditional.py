"""Conditional requests: the grammar of `If-None-Match` and `If-Match` (RFC 9110 sections 8.8.3 and 13.1)."""

from __future__ import annotations

from collections.abc import Container

import pytest
from django.test import RequestFactory

from core import revisions
from core.errors import Invalid
from core.http import conditional

pytestmark = pytest.mark.embedded

ETAG = "abc"


@pytest.mark.parametrize(
    "header",
    [
        '"abc"',
        'W/"abc"',  # compared weakly, as the RFC has it for reads
        '"x", "abc"',
        '"x","abc"',
        '"x" ,\t"abc" , "y"',
        'W/"x", W/"abc"',
        ', "abc",',  # empty members of a list count for nothing
        ',,"x",,"abc"',
        "*",
        " * ",
        ' "abc" ',
        'W/"abc-gzip"',
        '"abc-gzip"',  # Apache, Caddy
        '"abc-br"',
        '"abc-zstd"',
        '"abc;gzip"',
        '"abc--gzip"',  # Jetty
    ],
)
def test_a_state_that_is_named_is_known(header: str) -> None:
    assert conditional.matches(header, ETAG)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "abc",
        '"ABC"',
        '"abc',
        'abc"',
        '""',
        '"abcd"',
        'w/"abc"',  # W is an upper-case letter
        'W /"abc"',
        '"x" "abc"',
        '"abc" x',
        '"x", *',
        "'abc'",
        ",",
        '"a bc"',
        '"abcgzip"',
        '"abc-lz4"',
        '"-gzip"',
        "\x00",
        '"' * 10_000,
        ',"' * 10_000,
        '"x",' * 10_000,
    ],
)
def test_what_names_another_state_or_none_is_ignored(header: str) -> None:
    assert not conditional.matches(header, ETAG)


def test_without_the_header_nothing_is_known() -> None:
    assert not conditional.matches(None, ETAG)


def test_what_is_given_out_is_known_again() -> None:
    request = RequestFactory().get("/", headers={"If-None-Match": conditional.quoted("7-explained")})

    assert conditional.is_unchanged(request, "7-explained")
    assert not conditional.is_unchanged(request, "7")


def expected(header: str | None) -> Container[int] | None:
    """Return the versions that a write with this `If-Match` is meant for."""
    headers = {} if header is None else {"If-Match": header}
    return conditional.expected_versions(RequestFactory().put("/", headers=headers))


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ('"3"', {3}),
        (' "3" ', {3}),
        ('"3", "12"', {3, 12}),
        ('"3" ,\t"12",', {3, 12}),
        (',"3"', {3}),
        ('W/"3"', {3}),  # as a proxy leaves it that compresses; a version is never two states
        ('"3", W/"4"', {3, 4}),
        ('"3-gzip"', {3}),
        ('W/"3-br"', {3}),
        ('"3;gzip", "4--zstd"', {3, 4}),
        ('"3",, ,W/"4-gzip"', {3, 4}),
        ('"a b"', set()),
        ('"3-gzip-gzip"', set()),
        ('"another"', set()),
        ('""', set()),
        ('"-3"', set()),
        ('"3.0"', set()),
        ('"03"', set()),
        ('"' + "9" * 5000 + '"', set()),
    ],
)
def test_a_write_is_meant_for_the_versions_that_are_named(header: str | None, versions: set[int] | None) -> None:
    assert expected(header) == versions


@pytest.mark.parametrize("header", ["*", " * "])
def test_a_star_allows_every_version_that_there_is(header: str) -> None:
    found = expected(header)

    assert found is not None
    assert all(version in found for version in (1, 3, revisions.UNKNOWN_REVISION, revisions.first_revision()))


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "3",
        '"3',
        '3"',
        "'3'",
        'w/"3"',
        '"3" "4"',
        "*, *",
        '"3", 4',
        '4, "3"',
        '"3", *',
        '"3", w/"4"',
        '"3", "4',
        '"3", "4"5',
        '"3" W/"4", "5"',
        "\x00",
        "🤖",
        '"' * 9999,
    ],
)
def test_what_is_no_list_of_etags_is_refused(header: str) -> None:
    with pytest.raises(Invalid) as refused:
        expected(header)

    assert list(refused.value.errors) == ["If-Match"]

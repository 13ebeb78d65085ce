"""Plain bodies of validate requests, which one regex reads to what the strict parser reads."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import strict_json
from internal_api.fastpath.keys import _plain_validate, _validate_key

pytestmark = pytest.mark.embedded

TEXTS = st.text(max_size=20) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
DOCUMENTS = st.fixed_dictionaries(
    {"api_key": TEXTS},
    optional={"required_permission": st.none() | TEXTS, "check_rate_limit": st.booleans() | st.none()},
)
CHANGES = st.tuples(st.integers(0, 80), st.integers(0, 3), st.binary(max_size=3))
UNCHANGED = (0, 0, b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"api_key": "mmc_a+/="}', {"api_key": "mmc_a+/="}),
        (b'{"api_key":"x","required_permission":"chat"}', {"api_key": "x", "required_permission": "chat"}),
        (b'{"api_key": "x", "required_permission": null}', {"api_key": "x"}),
        (b'{"api_key": "x", "check_rate_limit": false}', {"api_key": "x", "check_rate_limit": False}),
    ],
)
def test_plain_bodies_are_read(content: bytes, expected: dict[str, object]) -> None:
    plain = _plain_validate(content)

    assert plain is not None
    assert plain == _validate_key(expected)


@given(document=DOCUMENTS, separators=st.sampled_from([(", ", ": "), (",", ":")]), change=CHANGES)
@example(document={"api_key": "a\\b"}, separators=(",", ":"), change=UNCHANGED)
@example(document={"api_key": "\x7f"}, separators=(",", ":"), change=UNCHANGED)
@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
def test_what_the_regex_reads_the_strict_parser_reads_alike(
    document: dict[str, object], separators: tuple[str, str], change: tuple[int, int, bytes]
) -> None:
    at, removed, inserted = change
    content = json.dumps(document, separators=separators).encode()
    content = content[:at] + inserted + content[at + removed :]

    plain = _plain_validate(content)

    assert plain is None or plain == _validate_key(strict_json.loads(content))

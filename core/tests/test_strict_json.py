"""The strict JSON parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation

from core import strict_json
from core.strict_json import MAX_DEPTH, NotAcceptable

pytestmark = pytest.mark.embedded


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def nested(depth: int) -> Any:
    """Return nested objects and lists of this depth."""
    value: Any = {}
    for level in range(depth - 1):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "null",
        '"🤖 \\ud83e\\udd16 \\u00e9 é \\u2028"',
        "9223372036854775807",
        "-9223372036854775808",
        "1.7976931348623157e308",
        "5e-324",
        "1e-999",
        "-0.0",
        '{"a": {"b": 1}, "b": {"b": 1}}',
        ' {"a" : 1 } \n',
    ],
)
def test_valid_json_is_parsed(text: str) -> None:
    assert strict_json.loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON at line 1, column 1"),
        (b'{\n"a":,}', "not JSON at line 2, column 5"),
        (b"\xef\xbb\xbf{}", "not JSON at line 1, column 1"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'"\\ud800"', "surrogates"),
        (b'["\\udc00\\ud800"]', "surrogates"),
        (b'{"a": {"\\udfff": 1}}', "surrogates"),
        (b"9223372036854775808", "the number 9223372036854775808 does not fit in 64 bits"),
        (b"-9223372036854775809", "does not fit in 64 bits"),
        (b"9" * 100_000, "does not fit in 64 bits"),
        (b"1e309", "the number 1e309 does not fit in 64 bits"),
        (b"[-1e309]", "does not fit in 64 bits"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' occurs twice in one object"),
        (b'[{"a": {"\\u0061": 1, "a": 2}}]', "'a' occurs twice"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "'\\ud800' occurs twice"),
        (b"[" * 1_000_000, "nested deeper than 28 levels"),
        (b'{"a":' * 1_000_000, "nested deeper than 28 levels"),
    ],
    ids=range(23),
)
def test_ambiguous_json_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(NotAcceptable, match=re.escape(reason)):
        strict_json.loads(raw)


class TestDepth:
    """A document may be one level deeper than its stored members."""

    def test_document_may_be_29_deep(self) -> None:
        document = nested(MAX_DEPTH + 1)

        assert strict_json.loads(json.dumps(document).encode()) == document

    def test_document_may_not_be_30_deep(self) -> None:
        with pytest.raises(NotAcceptable, match="28"):
            strict_json.loads(json.dumps(nested(MAX_DEPTH + 2)).encode())

    def test_value_may_be_28_deep(self) -> None:
        strict_json.check(nested(MAX_DEPTH))

    def test_value_may_not_be_29_deep(self) -> None:
        with pytest.raises(NotAcceptable, match="28"):
            strict_json.check(nested(MAX_DEPTH + 1))

"""Bad input, made from the OpenAPI documents, for each field, parameter and body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from core.http.docs import document
from core.http.surfaces import SURFACES, Surface
from core.strict_json import MAX_DEPTH

Schema = dict[str, Any]
JSON = "application/json"
TOO_LONG = "x" * (1024 * 1024 + 1)


@dataclass(frozen=True)
class Operation:
    """An operation of a surface's OpenAPI document."""

    surface: Surface
    method: str
    path: str
    operation: Schema

    def __str__(self) -> str:
        return f"{self.surface.name}: {self.method} {self.path}"

    @property
    def fields(self) -> dict[str, Schema]:
        """The known fields of the body."""
        fields: dict[str, Schema] = self._body.get("properties", {})
        return fields

    @property
    def required(self) -> list[str]:
        required: list[str] = self._body.get("required", [])
        return required

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.operation

    @property
    def query(self) -> dict[str, Schema]:
        """The query parameters, each with its schema."""
        return {each["name"]: each for each in self.operation.get("parameters", ()) if each["in"] == "query"}

    @property
    def is_enveloped(self) -> bool:
        """Return whether the errors have v2's envelope."""
        return str(self.operation["responses"]["403"].get("$ref")).endswith("/EnvelopedForbidden")

    @property
    def _body(self) -> Schema:
        if not self.has_body:
            return {}
        schema = self.operation["requestBody"]["content"][JSON]["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        schemas = document(self.surface)["components"]["schemas"]
        body: Schema = schemas[name] if name else schema
        if "oneOf" in body:  # the first form; the others have tests of their own
            body = schemas[body["oneOf"][0]["$ref"].rpartition("/")[2]]
        return body


def operations() -> list[Operation]:
    """Return all operations of both documents."""
    return [
        Operation(surface, method.upper(), path, operation)
        for surface in SURFACES
        for path, methods in document(surface)["paths"].items()
        for method, operation in methods.items()
    ]


def nested(depth: int, kind: str = "object") -> bytes:
    """Return a JSON document of objects or lists with this depth."""
    opening, closing = (b'{"a":', b"}") if kind == "object" else (b"[", b"]")
    return opening * (depth - 1) + (b"{}" if kind == "object" else b"[]") + closing * (depth - 1)


def unknown_member(value: bytes) -> bytes:
    """Return an object with one unknown member."""
    return b'{"unknown":' + value + b"}"


# Bodies that every endpoint refuses, whatever its fields.
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"  ",
    "null": b"null",
    "true": b"true",
    "a number": b"5",
    "a text": b'"text"',
    "a list": b"[]",
    "a list of objects": b"[{}]",
    "half an object": b'{"a":',
    "two objects": b"{}{}",
    "a trailing comma": b'{"a":1,}',
    "a comment": b"{} // done",
    "single quotes": b"{'a':1}",
    "a raw NUL": b'{"unknown":"\x00"}',
    "a raw NUL outside": b"\x00{}",
    "an escaped NUL": unknown_member(rb'"\u0000"'),
    "a NUL in a key": rb'{"\u0000":1}',
    "a lone surrogate": unknown_member(rb'"\ud800"'),
    "a lone low surrogate": unknown_member(rb'"\udc00"'),
    "surrogates in the wrong order": unknown_member(rb'"\udc00\ud800"'),
    "a lone surrogate in a key": rb'{"\ud800":1}',
    "an encoded surrogate": unknown_member(b'"\xed\xa0\x80"'),
    "invalid UTF-8": unknown_member(b'"\xff"'),
    "an overlong encoding": unknown_member(b'"\xc0\x80"'),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "NaN": unknown_member(b"NaN"),
    "Infinity": unknown_member(b"Infinity"),
    "-Infinity": unknown_member(b"-Infinity"),
    "1e999": unknown_member(b"1e999"),
    "-1e999": unknown_member(b"-1e999"),
    "2^63": unknown_member(b"9223372036854775808"),
    "-2^63-1": unknown_member(b"-9223372036854775809"),
    "a number of 10,000 digits": unknown_member(b"9" * 10_000),
    "a key twice": b'{"unknown":1,"unknown":1}',
    "a key twice, inside": unknown_member(b'[{"a":1,"\\u0061":2}]'),
    "objects 30 deep": nested(30),
    "objects 100,000 deep": nested(100_000),
    "lists 100,000 deep": unknown_member(nested(100_000, "list")),
    "100,000 brackets": b"[" * 100_000,
    "an object 30 deep in an unknown key": unknown_member(nested(MAX_DEPTH + 1)),
}

CONTENT_TYPES = (
    "text/plain",
    "application/xml",
    "application/jsonp",
    "application/json+x",
    "application/+json",
    "application/a b+json",
    "image/svg+json",
    "application/octet-stream",
    "*/*",
    "json",
    "a" * 5000,
)
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data")

# Path segments for no object, as they are in the request line.
SEGMENTS: dict[str, str] = {
    "a NUL": "%00",
    "a NUL inside": "agent_%00",
    "an invalid byte": "%ff",
    "an encoded surrogate": "%ED%A0%80",
    "a line feed": "%0a",
    "a slash": "x%2Fy",
    "dots": "..",
    "encoded dots": "%2e%2e",
    "a blank": "%20",
    "a percent sign": "%",
    "SQL": quote("' OR '1'='1' -- "),
    "emoji": quote("🤖"),
    "a format": "%25s%7B0%7D",
    "very long": "x" * 20_000,
}

AUTHORIZATIONS: dict[str, str] = {
    "no scheme": "token",
    "Basic": "Basic YWxpY2U6cGFzc3dvcmQxMjM=",
    "no token": "Bearer",
    "blanks": "Bearer      ",
    "two parts": "Bearer a b",
    "not a JWT": "Bearer abc",
    "dots": "Bearer ..",
    "Latin-1": "Bearer \xff\xfe",
    "a NUL": "Bearer \x00",
    "long": "Bearer " + "x" * 20_000,
    "alg none": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyXzEifQ.",
    "a list for alg": "Bearer eyJhbGciOlsiSFMyNTYiXX0.e30.AAAA",
    "a null header": "Bearer bnVsbA.e30.AAAA",
    "a header 3,000 deep": "Bearer " + "W1tb" * 1000 + ".e30.AAAA",
    "a huge number in the header": "Bearer " + "OTk5" * 2000 + ".e30.AAAA",
}

_TIMES: tuple[Any, ...] = (
    "",
    "yesterday",
    "2026-01-31",
    "12:00:00",
    "2026-02-30T12:00:00Z",
    "2026-01-31T25:00:00Z",
    "2026-01-31T12:00:00+99:99",
    "2026-01-31T12:00:00Z junk",
    "２０２６-01-31T12:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
    "10000-01-01T00:00:00Z",
    "-2026-01-31T12:00:00Z",
    {},
    [],
    True,
)


def wrong_values(schema: Schema, *, required: bool) -> Iterator[Any]:
    """Return values that a field of a body must refuse."""
    if required:
        yield None
    if any(each.get("format") == "ip" for each in schema.get("oneOf", ())):
        yield from ("localhost", "10.0.0.256", "10.0.0.0/8", 5, True, [], {})
    elif "oneOf" in schema:
        yield from (*_TIMES, 1e308, -1e308, 2**63 - 1, -(2**63), -1)
    elif schema.get("format") == "date-time":
        yield from (*_TIMES, 5, 1.5)
    elif "enum" in schema:
        yield from () if "" in schema["enum"] else ("",)
        yield from ("no such", schema["enum"][0].upper(), 0, True, [schema["enum"][0]], {schema["enum"][0]: 1})
    elif schema.get("type") == "string":
        yield from (5, 0, 1.5, True, False, [], ["x"], {}, {"a": "x"})
        if "maxLength" in schema:
            yield "🤖" * (schema["maxLength"] + 1)
        if "pattern" in schema:
            yield from ("", "   ", "\t\n", "\u3000")
    elif schema.get("type") == "integer":
        yield from ("5", "", 1.5, 1.0, True, [], [5], {}, schema["minimum"] - 1, schema["maximum"] + 1, -(2**63))
    elif schema.get("type") == "boolean":
        yield from ("true", "", 0, 1, [], [True], {})
    elif schema.get("type") == "object":
        yield from ("{}", "", 5, True, [], [{}], [["a", 1]])
    elif schema.get("type") == "array":
        yield from ("x", "", 5, True, {}, {"a": "x"}, [None], [5], [True], [[]], [{}], ["x", 5])
        if "maxItems" in schema:
            yield ["x"] * (schema["maxItems"] + 1)
        if "maxLength" in schema["items"]:
            yield ["x" * (schema["items"]["maxLength"] + 1)]


def wrong_parameters(schema: Schema) -> Iterator[str]:
    """Return quoted values that a query parameter must refuse."""
    if "enum" in schema:
        yield from ("", "no-such", "%00", schema["enum"][0].swapcase(), quote("🤖"))
    elif schema["type"] == "integer":
        yield from ("", "x", "1.5", "1e3", "-1", "%00", "NaN", "Infinity", "0x10", "1_0", "true", "1,2", "9" * 30)
        yield from (quote("１"), quote("²"), "9" * 5000, "+1", "1.0", "%2B1", "%201")
        yield from (str(schema["minimum"] - 1), str(schema["maximum"] + 1))
    elif schema["type"] == "boolean":
        yield from ("", "x", "1", "0", "yes", "TRUE", "%20true", "%00", "null")
    elif schema.get("format") == "date-time":
        yield from (quote(time) for time in _TIMES if isinstance(time, str))
    elif schema["type"] == "string":
        yield from ("%00", "a%00")
        if "minLength" in schema:
            yield from ("", "%20")
        if "maxLength" in schema:
            yield quote("🤖") * (schema["maxLength"] + 1)
        if "pattern" in schema:
            yield from ("x", "-1", "1.0", quote("１"))

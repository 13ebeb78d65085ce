"""Requests about keys get the same responses on the fast path and from Django (internal_api.fastpath.keys)."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone, translation
from time_machine import travel

from apikeys import keyformat
from apikeys.models import ApiKey
from core.http.responses import ENVELOPE_LANGUAGE
from core.http.surfaces import INTERNAL, PUBLIC, handler_of
from internal_api import fastpath
from internal_api.fastpath import Handler, Request
from maim.wsgi import application
from tests.support.fastpath import headers_of, reply_to
from tests.support.one_connection import one_connection
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
VALIDATE, CHECK, PARSE = (f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "parse-api-key"))
JSON = "application/json"
# These differ between any two responses.
VOLATILE_FIELDS = ("timestamp", "execution_time", "request_id")


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    with one_connection():
        yield


@dataclass(frozen=True)
class Response:
    """A response without its volatile fields."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class RawRequest:
    """A request as the server receives it. Names in braces in its body, such as `{good}`, stand for secrets."""

    body: Any
    path: str = VALIDATE
    method: str = "POST"
    content_type: str = JSON
    length: str | None = ""  # the Content-Length; None if chunked, by default the right one
    port: int = INTERNAL.bind.port
    headers: dict[str, str] = field(default_factory=dict)

    def content(self, secrets: dict[str, str]) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        text = json.dumps(self.body)
        for name, secret in secrets.items():
            text = text.replace(f"{{{name}}}", secret)
        return text.encode()

    def all_headers(self, secrets: dict[str, str]) -> dict[str, str]:
        """Return the headers by their lower-case names."""
        headers = {"host": "localhost:8000", "content-type": self.content_type}
        if self.length is not None:
            headers["content-length"] = self.length or str(len(self.content(secrets)))
        return headers | {name.lower(): value for name, value in self.headers.items()}

    def environ(self, secrets: dict[str, str]) -> dict[str, Any]:
        """Return the request for a WSGI application."""
        headers = self.all_headers(secrets)
        variables = {name.upper().replace("-", "_"): value for name, value in headers.items()}
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.content(secrets)),
            **{name if name.startswith("CONTENT_") else f"HTTP_{name}": value for name, value in variables.items()},
        }
        if self.length is None:  # the server measures it
            environ["CONTENT_LENGTH"] = str(len(self.content(secrets)))
        return environ


def wsgi_response(app: Any, environ: dict[str, Any]) -> Response:
    """Return the response of a WSGI application."""
    started: list[Any] = []
    chunks = app(environ, lambda status, headers, exc_info=None: started.append((status, headers)))
    ((status, headers),) = started
    return comparable(int(status.partition(" ")[0]), headers, b"".join(chunks))


def comparable(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    """Return the part of a response on which both ways have to agree."""
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers), "a header is repeated"
    if "content-length" in named:
        assert int(named.pop("content-length")) == len(body)
    request_id = named.pop("x-request-id")
    if status != 405:
        named.pop("allow", None)  # DRF sends it with every response, where it has no meaning
    parsed = json.loads(body)
    if isinstance(parsed, dict) and "request_id" in parsed:
        assert parsed["request_id"] == request_id
        for name in VOLATILE_FIELDS:
            assert parsed[name] is not None
            parsed[name] = None
        parsed = list(parsed.items())  # in order
    return Response(status, named, parsed)


KINDS: dict[str, dict[str, Any]] = {
    "good": {"permissions": ["chat", "read"]},
    "wild": {"permissions": ["config.*"]},
    "ends": {"expires_at": NOON},
    "limited": {"rate_limit": {"limit": 5, "window_seconds": 86_400}, "quota": {"limit": 9, "period": "day"}},
    "used up": {"quota": {"limit": 1, "period": "total"}},
    "disabled": {},
    "inside": {"allowed_networks": ["10.0.0.0/8", "2001:db8::/32"]},
}


class Data:
    """Keys of every kind, and both ways to respond to requests about them."""

    def __init__(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        issued = {kind: make_key(agent, **fields) for kind, fields in KINDS.items()}
        self.secrets = {kind: each.secret for kind, each in issued.items()} | {"unknown": UNKNOWN}
        ApiKey.unscoped.filter(pk=issued["disabled"].key.id).update(status="disabled")
        assert self.django(RawRequest({"api_key": "{used up}"})).status == 200

    def match(self, request: RawRequest) -> Handler | None:
        """Return the request's handler on the fast path."""
        content = request.content(self.secrets)
        headers = headers_of(request.all_headers(self.secrets).items())
        return fastpath.match(Request(request.method, request.path, "", str(request.port), headers, content))

    def served(self, request: RawRequest) -> Response:
        """Respond as the server does: by the fast path if it matches, else by the WSGI application."""
        handler = self.match(request)
        reply = None if handler is None else reply_to(handler)
        if reply is None:
            return wsgi_response(application, request.environ(self.secrets))
        return comparable(reply.status, reply.headers, reply.body)

    def django(self, request: RawRequest) -> Response:
        """Respond as Django does."""
        return wsgi_response(handler_of(INTERNAL, request.path), request.environ(self.secrets))

    def uses(self) -> dict[str, int]:
        return dict(ApiKey.unscoped.values_list("id", "usage_count"))


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def key(kind: str, **more: Any) -> dict[str, Any]:
    """Return a body about a key."""
    return {"api_key": f"{{{kind}}}", **more}


# Requests that the fast path handles.
PLAIN: dict[str, RawRequest] = {
    "a good key": RawRequest(key("good")),
    "an unknown key": RawRequest(key("unknown")),
    "a disabled key": RawRequest(key("disabled")),
    "a key that expires later": RawRequest(key("ends")),
    "a malformed key": RawRequest(key("good", api_key="nonsense")),
    "an empty key": RawRequest({"api_key": ""}),
    "a key after a blank": RawRequest({"api_key": " {good}"}),
    "a key in other scripts": RawRequest({"api_key": "小明 🤖"}),
    "without a check of limits": RawRequest(key("limited", check_rate_limit=False)),
    "a used-up key without a check of limits": RawRequest(key("used up", check_rate_limit=False)),
    "a granted permission": RawRequest(key("good", required_permission="chat")),
    "a missing permission": RawRequest(key("good", required_permission="write")),
    "a permission with blanks around it": RawRequest(key("good", required_permission=" \u3000chat\n")),
    "a blank permission": RawRequest(key("good", required_permission=" \u3000")),
    "an empty permission": RawRequest(key("good", required_permission="")),
    "a permission by wildcard": RawRequest(key("wild", required_permission="config.read")),
    "a permission outside the wildcard": RawRequest(key("wild", required_permission="config")),
    "an expression": RawRequest(key("good", required_permission="chat and (config_read or read)")),
    "an expression that is not met": RawRequest(key("good", required_permission="chat and (config_read or admin)")),
    "nulls": RawRequest(key("good", required_permission=None, check_rate_limit=None, client_ip=None)),
    "unknown fields": RawRequest(key("good", more=[{"x": 1}], api_keys="x")),
    "an allowed address": RawRequest(key("inside", client_ip="10.1.2.3")),
    "an allowed address, mapped to IPv6": RawRequest(key("inside", client_ip="::ffff:10.1.2.3")),
    "an allowed IPv6 address": RawRequest(key("inside", client_ip="2001:DB8::7")),
    "another address": RawRequest(key("inside", client_ip="11.1.2.3")),
    "no address": RawRequest(key("inside")),
    "an address without allowed networks": RawRequest(key("good", client_ip="11.1.2.3")),
    "with a trailing slash": RawRequest(key("good"), path=VALIDATE + "/"),
    "with a charset": RawRequest(key("good"), content_type="application/json; charset=utf-8"),
    "with a media type in capitals": RawRequest(key("good"), content_type="Application/JSON;charset=UTF-8"),
    "with an empty media type parameter": RawRequest(key("good"), content_type="application/json ; "),
    "with a request id": RawRequest(key("good"), headers={"X-Request-ID": "from.the-client_1"}),
    "with an invalid request id": RawRequest(key("good"), headers={"X-Request-ID": "a b"}),
    "with irrelevant headers": RawRequest(key("good"), headers={"Accept": "text/html", "Accept-Language": "en"}),
    "in chunks": RawRequest(key("good"), length=None),
    "of 4 KiB": RawRequest(b'{"api_key": "x"}'.ljust(4096)),
    "check: permission granted": RawRequest(key("good", permission="chat"), path=CHECK),
    "check: permission missing": RawRequest(key("good", permission="write"), path=CHECK),
    "check: permission by wildcard": RawRequest(key("wild", permission="config.a.b"), path=CHECK),
    "check: permission with blanks around it": RawRequest(key("good", permission=" chat "), path=CHECK),
    "check: an expression, which is read as a name": RawRequest(key("good", permission="chat and read"), path=CHECK),
    "check: a disabled key": RawRequest(key("disabled", permission="chat"), path=CHECK),
    "check: a used-up key": RawRequest(key("used up", permission="chat"), path=CHECK),
    "check: a key with limits": RawRequest(key("limited", permission="chat"), path=CHECK),
    "check: with a trailing slash": RawRequest(key("good", permission="chat"), path=CHECK + "/"),
    "parse: a key": RawRequest(key("good"), path=PARSE),
    "parse: nonsense": RawRequest({"api_key": "nonsense"}, path=PARSE),
    "parse: a key with a line feed": RawRequest({"api_key": "{good}\n"}, path=PARSE),
}

# Requests that only the views handle.
OTHERS: dict[str, RawRequest] = {
    "GET": RawRequest(b"", method="GET"),
    "HEAD": RawRequest(b"", method="HEAD"),
    "PUT": RawRequest(key("good"), method="PUT"),
    "OPTIONS": RawRequest(b"", method="OPTIONS"),
    "nothing": RawRequest(b"", content_type=""),
    "an empty body": RawRequest(b""),
    "no JSON object": RawRequest(b"[]"),
    "a truncated document": RawRequest(b'{"api_key": "x"'),
    "a repeated field": RawRequest(b'{"api_key": "x", "api_key": "y"}'),
    "invalid UTF-8": RawRequest(b'{"api_key": "\xff"}'),
    "a lone surrogate": RawRequest(b'{"api_key": "\\ud800"}'),
    "a NUL": RawRequest(b'{"api_key": "\\u0000"}'),
    "no key": RawRequest({}),
    "a key that is null": RawRequest({"api_key": None}),
    "a key that is a number": RawRequest({"api_key": 5}),
    "a key that is a list": RawRequest({"api_key": ["{good}"]}),
    "a permission that is a number": RawRequest(key("good", required_permission=5)),
    "a permission that is too long": RawRequest(key("good", required_permission="x" * 501)),
    "an invalid expression": RawRequest(key("good", required_permission="chat and")),
    "an expression without an operator": RawRequest(key("good", required_permission="chat read")),
    "an unclosed parenthesis": RawRequest(key("good", required_permission="(chat")),
    "parentheses too deep": RawRequest(key("good", required_permission="(" * 9 + "chat" + ")" * 9)),
    "an invalid expression and a malformed key": RawRequest({"api_key": "nonsense", "required_permission": "and"}),
    "a check that is a text": RawRequest(key("good", check_rate_limit="yes")),
    "a check that is a number": RawRequest(key("good", check_rate_limit=1)),
    "an invalid address": RawRequest(key("good", client_ip="10.0.0.256")),
    "an address that is a network": RawRequest(key("good", client_ip="10.0.0.0/8")),
    "an address that is a number": RawRequest(key("good", client_ip=167772161)),
    "an empty address": RawRequest(key("good", client_ip="")),
    "check: no permission": RawRequest(key("good"), path=CHECK),
    "check: a permission that is null": RawRequest(key("good", permission=None), path=CHECK),
    "check: a permission that is blank": RawRequest(key("good", permission=" "), path=CHECK),
    "check: from an address": RawRequest(key("inside", permission="chat", client_ip="10.0.0.1"), path=CHECK),
    "parse: no key": RawRequest({}, path=PARSE),
    "more than 4 KiB": RawRequest(b'{"api_key": "x"}'.ljust(4097)),
    "a key of 100,000 characters": RawRequest({"api_key": "x" * 100_000}),
    "more than 1 MiB": RawRequest(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1)),
    "in chunks, more than 1 MiB": RawRequest(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1), length=None),
    "a form": RawRequest(b"api_key=x", content_type="application/x-www-form-urlencoded"),
    "plain text": RawRequest(key("good"), content_type="text/plain"),
    "no media type": RawRequest(key("good"), content_type=""),
    "a longer media type": RawRequest(key("good"), content_type="application/json+x"),
    "a media type with a blank in it": RawRequest(key("good"), content_type="appli cation/json"),
    "a charset with a blank in it": RawRequest(key("good"), content_type="application/json; charset=ut f-8"),
    "a compressed body": RawRequest(gzip.compress(b'{"api_key": "x"}'), headers={"Content-Encoding": "gzip"}),
    "a body that only claims to be compressed": RawRequest(key("good"), headers={"Content-Encoding": "br"}),
    "a body that is said not to be compressed": RawRequest(key("good"), headers={"Content-Encoding": "identity"}),
    "an unknown charset": RawRequest(key("good"), content_type="application/json; a*=no-such''%ff"),
    "the surface's own origin": RawRequest(key("good"), headers={"Origin": "http://localhost:8000"}),
    "another origin": RawRequest(key("good"), headers={"Origin": "http://evil.example"}),
    "a browser from another site": RawRequest(key("good"), headers={"Sec-Fetch-Site": "cross-site"}),
    "a browser from this site": RawRequest(key("good"), headers={"Sec-Fetch-Site": "same-origin"}),
    "a public host": RawRequest(key("good"), headers={"Host": "evil.example"}),
    "an invalid host": RawRequest(key("good"), headers={"Host": "a b"}),
    "a longer path": RawRequest(key("good"), path=VALIDATE + "/x"),
    "two trailing slashes": RawRequest(key("good"), path=VALIDATE + "//"),
    "a batch": RawRequest({"items": [key("good")]}, path="/api/v2/auth/validate-api-keys"),
}


@pytest.mark.embedded
@pytest.mark.parametrize("title", PLAIN)
def test_plain_request_gets_the_same_response_on_both_ways(data: Data, title: str) -> None:
    request = PLAIN[title]

    assert data.match(request) is not None
    assert data.served(request) == data.django(request)


@pytest.mark.embedded
@pytest.mark.parametrize("title", OTHERS)
def test_unusual_request_is_left_to_django(data: Data, title: str) -> None:
    request = OTHERS[title]

    assert data.match(request) is None
    assert data.served(request) == data.django(request)


@pytest.mark.embedded
@pytest.mark.parametrize("blank", [" ", "\t", "  "])
def test_blank_anywhere_in_the_content_type_gets_the_same_response_on_both_ways(data: Data, blank: str) -> None:
    whole = "application/json; charset=utf-8"
    requests = [
        RawRequest(key("unknown"), path=PARSE, content_type=f"{whole[:place]}{blank}{whole[place:]}")
        for place in range(len(whole) + 1)
    ]

    statuses = [data.served(request).status for request in requests]

    assert statuses == [data.django(request).status for request in requests]
    assert set(statuses) == {200, 415}


def test_requests_get_every_kind_of_response(data: Data) -> None:
    """Without this, all requests could be refused for the same reason."""
    statuses = {data.served(request).status for request in OTHERS.values()}
    assert statuses >= {200, 400, 403, 404, 405, 413, 415}
    codes = {
        code
        for request in PLAIN.values()
        if isinstance(code := dict(data.served(request).body)["error_code"], str | None)
    }
    assert codes == {None, "AUTH_001", "AUTH_004", "AUTH_005", "AUTH_008"}


@pytest.mark.parametrize(("now", "code"), [(NOON.replace(hour=11), None), (NOON, "AUTH_002")])
def test_key_expires_at_the_same_time_on_both_ways(data: Data, now: datetime, code: str | None) -> None:
    with travel(now, tick=False):
        served, django = (
            data.served(PLAIN["a key that expires later"]),
            data.django(PLAIN["a key that expires later"]),
        )

    assert served == django
    assert dict(served.body)["error_code"] == code


def test_limits_are_shared_by_both_ways(data: Data) -> None:
    """Both ways alternate, and each has one use less than the other had."""
    request = RawRequest(key("limited"))
    with travel(timezone.now(), tick=False):  # so that the day does not end meanwhile
        responses = [respond(request) for respond in [data.served, data.django] * 4]

    bodies = [dict(response.body) for response in responses]
    rate_limits = [body["data"].get("rate_limit") for body in bodies[:5]]
    quotas = [body["data"].get("quota") for body in bodies[:5]]
    assert [rate_limit["remaining"] for rate_limit in rate_limits] == [4, 3, 2, 1, 0]
    assert [quota["remaining"] for quota in quotas] == [8, 7, 6, 5, 4]
    assert len({rate_limit["reset"] for rate_limit in rate_limits}) == 1
    over = bodies[-2:]
    for each in over:
        assert 0 < each["data"].pop("retry_after") <= 86_400
    assert over[0] == over[1]
    assert over[0]["error_code"] == "AUTH_006"
    assert over[0]["data"] == {"valid": False, "code": "AUTH_006"}


def test_used_up_total_quota_has_no_retry_after_on_both_ways(data: Data) -> None:
    served, django = (
        data.served(RawRequest(key("used up"))),
        data.django(RawRequest(key("used up"))),
    )

    assert served == django
    assert dict(served.body)["data"] == {"valid": False, "code": "AUTH_006", "retry_after": None}


def test_uses_are_counted_on_both_ways(data: Data) -> None:
    before = data.uses()

    for respond, expected in ((data.served, 2), (data.django, 4)):
        respond(RawRequest(key("good")))
        respond(RawRequest(key("good", required_permission="no_such")))
        respond(RawRequest(key("good", check_rate_limit=False)))
        respond(RawRequest(key("good", permission="chat"), path=CHECK))
        respond(RawRequest(key("good", required_permission="(")))
        respond(RawRequest(key("disabled")))
        assert sum(data.uses().values()) - sum(before.values()) == expected


@contextmanager
def unavailable_database() -> Iterator[None]:
    def refuse(*_: Any) -> Any:
        raise OperationalError(2006, "Server has gone away")

    with connection.execute_wrapper(refuse):
        yield


@pytest.mark.parametrize(
    "raw_request", [PLAIN["a good key"], PLAIN["check: permission granted"]], ids=["validate", "check"]
)
def test_unavailable_database_gets_the_same_response_on_both_ways(data: Data, raw_request: RawRequest) -> None:
    with unavailable_database():
        served, django = data.served(raw_request), data.django(raw_request)

    assert served == django
    assert (served.status, served.headers["retry-after"]) == (503, "1")
    assert dict(served.body)["error_code"] == "SYS_002"


@pytest.mark.parametrize(
    "function", ["apikeys.verification.records.find", "internal_api.key_auth.ValidateKey.response"]
)
def test_unexpected_exception_gets_the_same_response_and_is_logged_on_both_ways(
    data: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, function: str
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(function, fail)
    request = RawRequest(key("good"), headers={"X-Request-ID": "the-request"})

    served, django = data.served(request), data.django(request)

    assert served == django
    assert served.status == 500
    assert dict(served.body)["error_code"] == "SYS_001"
    assert "a secret" not in str(served)
    (record,) = [record for record in caplog.records if record.name == "maim.http"]
    assert record.exc_info is not None
    assert data.secrets["good"] not in caplog.text


def test_responses_are_chinese_in_any_active_language(data: Data) -> None:
    with translation.override("en"):
        served = data.served(RawRequest(key("disabled")))
    with translation.override(ENVELOPE_LANGUAGE):
        assert served == data.django(RawRequest(key("disabled")))
    assert "密钥" in dict(served.body)["message"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("another origin", "内部接口拒绝跨源请求"),
        ("a public host", "不接受此主机名（Host），请检查 MAIM_INTERNAL_HOSTS"),
    ],
)
def test_errors_of_middleware_are_chinese(data: Data, title: str, sentence: str) -> None:
    with translation.override("en"):
        assert dict(data.served(OTHERS[title]).body)["error"] == sentence


def test_public_surface_verifies_no_keys(data: Data) -> None:
    """The port decides about the surface, not the Host header."""
    request = RawRequest(key("good"), port=PUBLIC.bind.port, headers={"Host": f"localhost:{INTERNAL.bind.port}"})

    assert wsgi_response(application, request.environ(data.secrets)).status == 404

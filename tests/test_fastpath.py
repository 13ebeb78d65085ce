"""Requests about keys get the same responses on the fast path and from Django (internal_api.fastpath.keys)."""

from __future__ import annotations

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
from tests.support.fastpath import Headers, reply_to
from tests.support.one_connection import one_connection
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
VALIDATE, CHECK, PARSE = (f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "parse-api-key"))
JSON = "application/json"
# These differ from moment to moment.
OF_THE_MOMENT = ("timestamp", "execution_time", "request_id")


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    with one_connection():
        yield


@dataclass(frozen=True)
class Response:
    """A response, without what differs from moment to moment."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Sent:
    """A request as the server receives it. `{good}` and the like in its body stand for secrets."""

    body: Any
    path: str = VALIDATE
    method: str = "POST"
    content_type: str = JSON
    length: str | None = ""  # None: chunked; otherwise what is announced, by default the truth
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
        given = {"host": "localhost:8000", "content-type": self.content_type}
        if self.length is not None:
            given["content-length"] = self.length or str(len(self.content(secrets)))
        return given | {name.lower(): value for name, value in self.headers.items()}

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


def response_of(app: Any, environ: dict[str, Any]) -> Response:
    """Return the response of a WSGI application."""
    started: list[Any] = []
    chunks = app(environ, lambda status, headers, exc_info=None: started.append((status, headers)))
    ((status, headers),) = started
    return compared(int(status.partition(" ")[0]), headers, b"".join(chunks))


def compared(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    """Return what two ways to answer have to agree on."""
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers), "a header is there twice"
    if "content-length" in named:
        assert int(named.pop("content-length")) == len(body)
    request_id = named.pop("x-request-id")
    if status != 405:
        named.pop("allow", None)  # DRF sends it in every response, where it means nothing
    parsed = json.loads(body)
    if isinstance(parsed, dict) and "request_id" in parsed:
        assert parsed["request_id"] == request_id
        for name in OF_THE_MOMENT:
            assert parsed[name] is not None
            parsed[name] = None
        parsed = list(parsed.items())  # the order counts
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
    """Keys of every kind, and both ways to answer requests about them."""

    def __init__(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        issued = {kind: make_key(agent, **fields) for kind, fields in KINDS.items()}
        self.secrets = {kind: each.secret for kind, each in issued.items()} | {"unknown": UNKNOWN}
        ApiKey.unscoped.filter(pk=issued["disabled"].key.id).update(status="disabled")
        assert self.django(Sent({"api_key": "{used up}"})).status == 200

    def match(self, sent: Sent) -> Handler | None:
        """Return the request's handler on the fast path."""
        content = sent.content(self.secrets)
        headers = Headers(list(sent.all_headers(self.secrets).items()))
        return fastpath.match(Request(sent.method, sent.path, "", str(sent.port), headers, content))

    def served(self, sent: Sent) -> Response:
        """Respond as the server does: by the fast path if it matches, else by the WSGI application."""
        handler = self.match(sent)
        if handler is None:
            return response_of(application, sent.environ(self.secrets))
        reply = reply_to(handler)
        return compared(reply.status, reply.headers, reply.body)

    def django(self, sent: Sent) -> Response:
        """Respond as Django does."""
        return response_of(handler_of(INTERNAL, sent.path), sent.environ(self.secrets))

    def uses(self) -> dict[str, int]:
        return dict(ApiKey.unscoped.values_list("id", "usage_count"))


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice)


def key(kind: str, **more: Any) -> dict[str, Any]:
    """Return a body about a key."""
    return {"api_key": f"{{{kind}}}", **more}


# Requests that the fast path answers.
PLAIN: dict[str, Sent] = {
    "a good key": Sent(key("good")),
    "one that nobody knows": Sent(key("unknown")),
    "a disabled one": Sent(key("disabled")),
    "one that ends later": Sent(key("ends")),
    "a malformed one": Sent(key("good", api_key="nonsense")),
    "an empty one": Sent({"api_key": ""}),
    "one with a blank before it": Sent({"api_key": " {good}"}),
    "one in other letters": Sent({"api_key": "小明 🤖"}),
    "without a check of limits": Sent(key("limited", check_rate_limit=False)),
    "one that is used up, without a check": Sent(key("used up", check_rate_limit=False)),
    "a permission it has": Sent(key("good", required_permission="chat")),
    "a permission it has not": Sent(key("good", required_permission="write")),
    "a permission with blanks around it": Sent(key("good", required_permission=" \u3000chat\n")),
    "a permission that is blank": Sent(key("good", required_permission=" \u3000")),
    "no permission, as an empty text": Sent(key("good", required_permission="")),
    "a permission by wildcard": Sent(key("wild", required_permission="config.read")),
    "not its wildcard's": Sent(key("wild", required_permission="config")),
    "an expression": Sent(key("good", required_permission="chat and (config_read or read)")),
    "an expression it does not meet": Sent(key("good", required_permission="chat and (config_read or admin)")),
    "nulls": Sent(key("good", required_permission=None, check_rate_limit=None, client_ip=None)),
    "keys that nobody knows": Sent(key("good", more=[{"x": 1}], api_keys="x")),
    "from inside": Sent(key("inside", client_ip="10.1.2.3")),
    "from inside, as IPv6 writes it": Sent(key("inside", client_ip="::ffff:10.1.2.3")),
    "from inside by IPv6": Sent(key("inside", client_ip="2001:DB8::7")),
    "from outside": Sent(key("inside", client_ip="11.1.2.3")),
    "from who knows where": Sent(key("inside")),
    "from anywhere": Sent(key("good", client_ip="11.1.2.3")),
    "with a trailing slash": Sent(key("good"), path=VALIDATE + "/"),
    "with a charset": Sent(key("good"), content_type="application/json; charset=utf-8"),
    "with its media type in capitals": Sent(key("good"), content_type="Application/JSON;charset=UTF-8"),
    "with a parameter that is not there": Sent(key("good"), content_type="application/json ; "),
    "with a request id": Sent(key("good"), headers={"X-Request-ID": "from.the-client_1"}),
    "with a request id that is none": Sent(key("good"), headers={"X-Request-ID": "a b"}),
    "with headers that say nothing": Sent(key("good"), headers={"Accept": "text/html", "Accept-Language": "en"}),
    "in chunks": Sent(key("good"), length=None),
    "of 4 KiB": Sent(b'{"api_key": "x"}'.ljust(4096)),
    "check: it has it": Sent(key("good", permission="chat"), path=CHECK),
    "check: it has it not": Sent(key("good", permission="write"), path=CHECK),
    "check: by wildcard": Sent(key("wild", permission="config.a.b"), path=CHECK),
    "check: blanks around it": Sent(key("good", permission=" chat "), path=CHECK),
    "check: an expression is a name": Sent(key("good", permission="chat and read"), path=CHECK),
    "check: of a disabled key": Sent(key("disabled", permission="chat"), path=CHECK),
    "check: of one that is used up": Sent(key("used up", permission="chat"), path=CHECK),
    "check: of one with limits": Sent(key("limited", permission="chat"), path=CHECK),
    "check: with a slash": Sent(key("good", permission="chat"), path=CHECK + "/"),
    "parse: a key": Sent(key("good"), path=PARSE),
    "parse: nonsense": Sent({"api_key": "nonsense"}, path=PARSE),
    "parse: a key with a line feed": Sent({"api_key": "{good}\n"}, path=PARSE),
}

# Requests that only the views can answer.
OTHERS: dict[str, Sent] = {
    "GET": Sent(b"", method="GET"),
    "HEAD": Sent(b"", method="HEAD"),
    "PUT": Sent(key("good"), method="PUT"),
    "OPTIONS": Sent(b"", method="OPTIONS"),
    "nothing": Sent(b"", content_type=""),
    "an empty body": Sent(b""),
    "no object": Sent(b"[]"),
    "half a document": Sent(b'{"api_key": "x"'),
    "a key twice": Sent(b'{"api_key": "x", "api_key": "y"}'),
    "invalid UTF-8": Sent(b'{"api_key": "\xff"}'),
    "a lone surrogate": Sent(b'{"api_key": "\\ud800"}'),
    "a NUL": Sent(b'{"api_key": "\\u0000"}'),
    "no key": Sent({}),
    "a key that is null": Sent({"api_key": None}),
    "a key that is a number": Sent({"api_key": 5}),
    "a key that is a list": Sent({"api_key": ["{good}"]}),
    "a permission that is a number": Sent(key("good", required_permission=5)),
    "a permission that is too long": Sent(key("good", required_permission="x" * 501)),
    "an expression that makes no sense": Sent(key("good", required_permission="chat and")),
    "a part that makes no sense": Sent(key("good", required_permission="chat read")),
    "a parenthesis that is not closed": Sent(key("good", required_permission="(chat")),
    "parentheses too deep": Sent(key("good", required_permission="(" * 9 + "chat" + ")" * 9)),
    "a bad expression about a bad key": Sent({"api_key": "nonsense", "required_permission": "and"}),
    "a check that is a text": Sent(key("good", check_rate_limit="yes")),
    "a check that is a number": Sent(key("good", check_rate_limit=1)),
    "an address that is none": Sent(key("good", client_ip="10.0.0.256")),
    "an address that is a network": Sent(key("good", client_ip="10.0.0.0/8")),
    "an address that is a number": Sent(key("good", client_ip=167772161)),
    "an address that is empty": Sent(key("good", client_ip="")),
    "check: no permission": Sent(key("good"), path=CHECK),
    "check: a permission that is null": Sent(key("good", permission=None), path=CHECK),
    "check: a permission that is blank": Sent(key("good", permission=" "), path=CHECK),
    "check: from an address": Sent(key("inside", permission="chat", client_ip="10.0.0.1"), path=CHECK),
    "parse: no key": Sent({}, path=PARSE),
    "more than 4 KiB": Sent(b'{"api_key": "x"}'.ljust(4097)),
    "a key of 100,000": Sent({"api_key": "x" * 100_000}),
    "more than 1 MiB": Sent(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1)),
    "in chunks, more than 1 MiB": Sent(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1), length=None),
    "a form": Sent(b"api_key=x", content_type="application/x-www-form-urlencoded"),
    "plain text": Sent(key("good"), content_type="text/plain"),
    "no media type": Sent(key("good"), content_type=""),
    "a media type that is longer": Sent(key("good"), content_type="application/json+x"),
    "a media type with a blank in it": Sent(key("good"), content_type="appli cation/json"),
    "a charset with a blank in it": Sent(key("good"), content_type="application/json; charset=ut f-8"),
    "a charset that is none": Sent(key("good"), content_type="application/json; a*=no-such''%ff"),
    "a page's own origin": Sent(key("good"), headers={"Origin": "http://localhost:8000"}),
    "another page's origin": Sent(key("good"), headers={"Origin": "http://evil.example"}),
    "a browser from another site": Sent(key("good"), headers={"Sec-Fetch-Site": "cross-site"}),
    "a browser from this site": Sent(key("good"), headers={"Sec-Fetch-Site": "same-origin"}),
    "a host of the internet": Sent(key("good"), headers={"Host": "evil.example"}),
    "a host that is none": Sent(key("good"), headers={"Host": "a b"}),
    "a path that goes on": Sent(key("good"), path=VALIDATE + "/x"),
    "two slashes": Sent(key("good"), path=VALIDATE + "//"),
    "the many at once": Sent({"items": [key("good")]}, path="/api/v2/auth/validate-api-keys"),
}


@pytest.mark.embedded
@pytest.mark.parametrize("title", PLAIN)
def test_plain_request_gets_the_same_response_on_both_ways(data: Data, title: str) -> None:
    sent = PLAIN[title]

    assert data.match(sent) is not None
    assert data.served(sent) == data.django(sent)


@pytest.mark.embedded
@pytest.mark.parametrize("title", OTHERS)
def test_unusual_request_is_left_to_django(data: Data, title: str) -> None:
    sent = OTHERS[title]

    assert data.match(sent) is None
    assert data.served(sent) == data.django(sent)


def test_requests_above_cover_every_kind_of_response(data: Data) -> None:
    """Otherwise they could all be rejected for the same reason."""
    seen = {data.served(sent).status for sent in OTHERS.values()}
    assert seen >= {200, 400, 403, 404, 405, 413, 415}
    codes = {
        code for sent in PLAIN.values() if isinstance(code := dict(data.served(sent).body)["error_code"], str | None)
    }
    assert codes == {None, "AUTH_001", "AUTH_004", "AUTH_005", "AUTH_008"}


@pytest.mark.parametrize(("moment", "code"), [(NOON.replace(hour=11), None), (NOON, "AUTH_002")])
def test_key_expires_at_the_same_time_on_both_ways(data: Data, moment: datetime, code: str | None) -> None:
    with travel(moment, tick=False):
        served, django = data.served(PLAIN["one that ends later"]), data.django(PLAIN["one that ends later"])

    assert served == django
    assert dict(served.body)["error_code"] == code


def test_limits_are_shared_by_both_ways(data: Data) -> None:
    """They take turns, and each sees one use less than the other did."""
    sent = Sent(key("limited"))
    with travel(timezone.now(), tick=False):  # no day ends meanwhile
        answers = [ask(sent) for ask in [data.served, data.django] * 4]

    bodies = [dict(answer.body) for answer in answers]
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
    served, django = data.served(Sent(key("used up"))), data.django(Sent(key("used up")))

    assert served == django
    assert dict(served.body)["data"] == {"valid": False, "code": "AUTH_006", "retry_after": None}


def test_uses_are_counted_on_both_ways(data: Data) -> None:
    before = data.uses()

    for ask, expected in ((data.served, 2), (data.django, 4)):
        ask(Sent(key("good")))
        ask(Sent(key("good", required_permission="no_such")))
        ask(Sent(key("good", check_rate_limit=False)))
        ask(Sent(key("good", permission="chat"), path=CHECK))
        ask(Sent(key("good", required_permission="(")))
        ask(Sent(key("disabled")))
        assert sum(data.uses().values()) - sum(before.values()) == expected


@contextmanager
def database_away() -> Iterator[None]:
    def refuse(*_: Any) -> Any:
        raise OperationalError(2006, "Server has gone away")

    with connection.execute_wrapper(refuse):
        yield


@pytest.mark.parametrize("sent", [PLAIN["a good key"], PLAIN["check: it has it"]], ids=["validate", "check"])
def test_unavailable_database_gets_the_same_response_on_both_ways(data: Data, sent: Sent) -> None:
    with database_away():
        served, django = data.served(sent), data.django(sent)

    assert served == django
    assert (served.status, served.headers["retry-after"]) == (503, "1")
    assert dict(served.body)["error_code"] == "SYS_002"


@pytest.mark.parametrize("where", ["apikeys.verification.records.find", "internal_api.key_auth.ValidateKey.response"])
def test_unexpected_exception_gets_the_same_response_and_is_logged_on_both_ways(
    data: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(where, fail)
    sent = Sent(key("good"), headers={"X-Request-ID": "the-request"})

    served, django = data.served(sent), data.django(sent)

    assert served == django
    assert served.status == 500
    assert dict(served.body)["error_code"] == "SYS_001"
    assert "a secret" not in str(served)
    (record,) = [record for record in caplog.records if record.name == "maim.http"]
    assert record.exc_info is not None
    assert data.secrets["good"] not in caplog.text


def test_responses_are_chinese_whatever_language_the_thread_has_active(data: Data) -> None:
    with translation.override("en"):
        served = data.served(Sent(key("disabled")))
    with translation.override(ENVELOPE_LANGUAGE):
        assert served == data.django(Sent(key("disabled")))
    assert "密钥" in dict(served.body)["message"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("another page's origin", "内部接口拒绝跨源请求"),
        ("a host of the internet", "此处不服务该主机名；参见 MAIM_INTERNAL_HOSTS"),
    ],
)
def test_refusals_of_middleware_are_chinese(data: Data, title: str, sentence: str) -> None:
    with translation.override("en"):
        assert dict(data.served(OTHERS[title]).body)["error"] == sentence


def test_public_surface_verifies_no_keys(data: Data) -> None:
    """The port decides which surface it is, and not the Host header."""
    sent = Sent(key("good"), port=PUBLIC.bind.port, headers={"Host": f"localhost:{INTERNAL.bind.port}"})

    assert response_of(application, sent.environ(data.secrets)).status == 404

"""Below Django and in Django, the bots' questions get the same answers (internal_api.fastpath.keys)."""

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
from internal_api.fastpath import keys as shortcut
from maim.wsgi import application
from tests.support.one_connection import one_connection
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
UNKNOWN = keyformat.generate("tenant_000000000000", "agent_000000000000")
VALIDATE, CHECK, PARSE = (f"/api/v2/auth/{name}" for name in ("validate-api-key", "check-permission", "parse-api-key"))
JSON = "application/json"
# These say when and how fast the answer was made, and are told apart by nobody else.
OF_THE_MOMENT = ("timestamp", "execution_time", "request_id")


DJANGO = object()


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    with one_connection():
        yield


@dataclass(frozen=True)
class Answer:
    """What came back; `body` without what differs from moment to moment."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Asked:
    """A request as the server hands it on. `{good}` and the like in its body are the scene's keys."""

    body: Any
    path: str = VALIDATE
    method: str = "POST"
    content_type: str = JSON
    length: str | None = ""  # None: chunked; otherwise what is announced, by default the truth
    port: int = INTERNAL.bind.port
    headers: dict[str, str] = field(default_factory=dict)

    def environ(self, keys: dict[str, str]) -> dict[str, Any]:
        body = self.content(keys)
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.port),
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.content_type,
            "HTTP_HOST": "localhost:8000",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in self.headers.items()},
        }
        if self.length is None:
            return {**environ, "wsgi.input_terminated": True}
        return {**environ, "CONTENT_LENGTH": self.length or str(len(body))}

    def content(self, keys: dict[str, str]) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        text = json.dumps(self.body)
        for name, secret in keys.items():
            text = text.replace(f"{{{name}}}", secret)
        return text.encode()


def answer_of(app: Any, asked: Asked, keys: dict[str, str]) -> Answer:
    """What an application answers."""
    begun: list[Any] = []
    environ = asked.environ(keys)
    if app is DJANGO:
        app = handler_of(INTERNAL, environ["PATH_INFO"])
        if asked.length is None:  # as maim.wsgi does before it
            environ["CONTENT_LENGTH"] = str(len(asked.content(keys)))
    chunks = app(environ, lambda status, headers, exc_info=None: begun.append((status, headers)))
    body = b"".join(chunks)
    ((status, headers),) = begun
    named = {name.lower(): value for name, value in headers}
    assert len(named) == len(headers), "a header is there twice"
    if "content-length" in named:
        assert int(named.pop("content-length")) == len(body)
    request_id = named.pop("x-request-id")
    if not begun[0][0].startswith("405"):
        named.pop("allow", None)  # DRF says it in every answer, where it means nothing
    parsed = json.loads(body)
    if isinstance(parsed, dict) and "request_id" in parsed:
        assert parsed["request_id"] == request_id
        for name in OF_THE_MOMENT:
            assert parsed[name] is not None
            parsed[name] = None
        parsed = list(parsed.items())  # the order counts
    return Answer(int(status.partition(" ")[0]), named, parsed)


KINDS: dict[str, dict[str, Any]] = {
    "good": {"permissions": ["chat", "read"]},
    "wild": {"permissions": ["config.*"]},
    "ends": {"expires_at": NOON},
    "limited": {"rate_limit": {"limit": 5, "window_seconds": 86_400}, "quota": {"limit": 9, "period": "day"}},
    "used up": {"quota": {"limit": 1, "period": "total"}},
    "disabled": {},
    "inside": {"allowed_networks": ["10.0.0.0/8", "2001:db8::/32"]},
}


class Scene:
    """Keys of every kind, and both ways to ask about them."""

    def __init__(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)
        issued = {kind: make_key(agent, **fields) for kind, fields in KINDS.items()}
        self.keys = {kind: each.secret for kind, each in issued.items()} | {"unknown": UNKNOWN}
        ApiKey.unscoped.filter(pk=issued["disabled"].key.id).update(status="disabled")
        assert self.django(Asked({"api_key": "{used up}"})).status == 200

    def served(self, asked: Asked) -> Answer:
        """As `serve` and everybody else answers it."""
        return answer_of(application, asked, self.keys)

    def django(self, asked: Asked) -> Answer:
        """As the view alone answers it."""
        return answer_of(DJANGO, asked, self.keys)

    def is_plain(self, asked: Asked) -> bool:
        """Whether it is answered below Django."""
        environ = asked.environ(self.keys)

        def header(name: str) -> str | None:
            variable = name.upper().replace("-", "_")
            found: str | None = environ.get(variable, environ.get(f"HTTP_{variable}"))
            return found

        read = shortcut.request(asked.method, asked.path, str(asked.port), header, lambda: asked.content(self.keys))
        return read is not None

    def uses(self) -> dict[str, int]:
        return dict(ApiKey.unscoped.values_list("id", "usage_count"))


@pytest.fixture
def scene(alice: Person) -> Scene:
    return Scene(alice)


def key(kind: str, **more: Any) -> dict[str, Any]:
    """A body that asks about a key of the scene."""
    return {"api_key": f"{{{kind}}}", **more}


PLAIN: dict[str, Asked] = {
    "a good key": Asked(key("good")),
    "one that nobody knows": Asked(key("unknown")),
    "a disabled one": Asked(key("disabled")),
    "one that ends later": Asked(key("ends")),
    "a malformed one": Asked(key("good", api_key="nonsense")),
    "an empty one": Asked({"api_key": ""}),
    "one with a blank before it": Asked({"api_key": " {good}"}),
    "one in other letters": Asked({"api_key": "小明 🤖"}),
    "without a check of limits": Asked(key("limited", check_rate_limit=False)),
    "one that is used up, without a check": Asked(key("used up", check_rate_limit=False)),
    "a permission it has": Asked(key("good", required_permission="chat")),
    "a permission it has not": Asked(key("good", required_permission="write")),
    "a permission with blanks around it": Asked(key("good", required_permission=" \u3000chat\n")),
    "a permission that is blank": Asked(key("good", required_permission=" \u3000")),
    "no permission, as an empty text": Asked(key("good", required_permission="")),
    "a permission by wildcard": Asked(key("wild", required_permission="config.read")),
    "not its wildcard's": Asked(key("wild", required_permission="config")),
    "an expression": Asked(key("good", required_permission="chat and (config_read or read)")),
    "an expression it does not meet": Asked(key("good", required_permission="chat and (config_read or admin)")),
    "nulls": Asked(key("good", required_permission=None, check_rate_limit=None, client_ip=None)),
    "keys that nobody knows": Asked(key("good", more=[{"x": 1}], api_keys="x")),
    "from inside": Asked(key("inside", client_ip="10.1.2.3")),
    "from inside, as IPv6 writes it": Asked(key("inside", client_ip="::ffff:10.1.2.3")),
    "from inside by IPv6": Asked(key("inside", client_ip="2001:DB8::7")),
    "from outside": Asked(key("inside", client_ip="11.1.2.3")),
    "from who knows where": Asked(key("inside")),
    "from anywhere": Asked(key("good", client_ip="11.1.2.3")),
    "with a trailing slash": Asked(key("good"), path=VALIDATE + "/"),
    "with a charset": Asked(key("good"), content_type="application/json; charset=utf-8"),
    "with its media type in capitals": Asked(key("good"), content_type="Application/JSON;charset=UTF-8"),
    "with a parameter that is not there": Asked(key("good"), content_type="application/json ; "),
    "with a request id": Asked(key("good"), headers={"X-Request-ID": "from.the-client_1"}),
    "with a request id that is none": Asked(key("good"), headers={"X-Request-ID": "a b"}),
    "with headers that say nothing": Asked(key("good"), headers={"Accept": "text/html", "Accept-Language": "en"}),
    "of 4 KiB": Asked(b'{"api_key": "x"}'.ljust(4096)),
    "check: it has it": Asked(key("good", permission="chat"), path=CHECK),
    "check: it has it not": Asked(key("good", permission="write"), path=CHECK),
    "check: by wildcard": Asked(key("wild", permission="config.a.b"), path=CHECK),
    "check: blanks around it": Asked(key("good", permission=" chat "), path=CHECK),
    "check: an expression is a name": Asked(key("good", permission="chat and read"), path=CHECK),
    "check: of a disabled key": Asked(key("disabled", permission="chat"), path=CHECK),
    "check: of one that is used up": Asked(key("used up", permission="chat"), path=CHECK),
    "check: of one with limits": Asked(key("limited", permission="chat"), path=CHECK),
    "check: with a slash": Asked(key("good", permission="chat"), path=CHECK + "/"),
    "parse: a key": Asked(key("good"), path=PARSE),
    "parse: nonsense": Asked({"api_key": "nonsense"}, path=PARSE),
    "parse: a key with a line feed": Asked({"api_key": "{good}\n"}, path=PARSE),
}

# What the views have to see to.
OTHERS: dict[str, Asked] = {
    "GET": Asked(b"", method="GET"),
    "HEAD": Asked(b"", method="HEAD"),
    "PUT": Asked(key("good"), method="PUT"),
    "OPTIONS": Asked(b"", method="OPTIONS"),
    "nothing": Asked(b"", content_type=""),
    "an empty body": Asked(b""),
    "no object": Asked(b"[]"),
    "half a document": Asked(b'{"api_key": "x"'),
    "a key twice": Asked(b'{"api_key": "x", "api_key": "y"}'),
    "invalid UTF-8": Asked(b'{"api_key": "\xff"}'),
    "a lone surrogate": Asked(b'{"api_key": "\\ud800"}'),
    "a NUL": Asked(b'{"api_key": "\\u0000"}'),
    "no key": Asked({}),
    "a key that is null": Asked({"api_key": None}),
    "a key that is a number": Asked({"api_key": 5}),
    "a key that is a list": Asked({"api_key": ["{good}"]}),
    "a permission that is a number": Asked(key("good", required_permission=5)),
    "a permission that is too long": Asked(key("good", required_permission="x" * 501)),
    "an expression that makes no sense": Asked(key("good", required_permission="chat and")),
    "a part that makes no sense": Asked(key("good", required_permission="chat read")),
    "a parenthesis that is not closed": Asked(key("good", required_permission="(chat")),
    "parentheses too deep": Asked(key("good", required_permission="(" * 9 + "chat" + ")" * 9)),
    "a bad expression about a bad key": Asked({"api_key": "nonsense", "required_permission": "and"}),
    "a check that is a text": Asked(key("good", check_rate_limit="yes")),
    "a check that is a number": Asked(key("good", check_rate_limit=1)),
    "an address that is none": Asked(key("good", client_ip="10.0.0.256")),
    "an address that is a network": Asked(key("good", client_ip="10.0.0.0/8")),
    "an address that is a number": Asked(key("good", client_ip=167772161)),
    "an address that is empty": Asked(key("good", client_ip="")),
    "check: no permission": Asked(key("good"), path=CHECK),
    "check: a permission that is null": Asked(key("good", permission=None), path=CHECK),
    "check: a permission that is blank": Asked(key("good", permission=" "), path=CHECK),
    "check: from an address": Asked(key("inside", permission="chat", client_ip="10.0.0.1"), path=CHECK),
    "parse: no key": Asked({}, path=PARSE),
    "more than 4 KiB": Asked(b'{"api_key": "x"}'.ljust(4097)),
    "a key of 100,000": Asked({"api_key": "x" * 100_000}),
    "more than 1 MiB": Asked(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1)),
    "in chunks": Asked(key("good"), length=None),
    "in chunks, more than 1 MiB": Asked(b'{"api_key": "x"}'.ljust(1024 * 1024 + 1), length=None),
    "a form": Asked(b"api_key=x", content_type="application/x-www-form-urlencoded"),
    "plain text": Asked(key("good"), content_type="text/plain"),
    "no media type": Asked(key("good"), content_type=""),
    "a media type that is longer": Asked(key("good"), content_type="application/json+x"),
    "a media type with a blank in it": Asked(key("good"), content_type="appli cation/json"),
    "a charset with a blank in it": Asked(key("good"), content_type="application/json; charset=ut f-8"),
    "a charset that is none": Asked(key("good"), content_type="application/json; a*=no-such''%ff"),
    "a page's own origin": Asked(key("good"), headers={"Origin": "http://localhost:8000"}),
    "another page's origin": Asked(key("good"), headers={"Origin": "http://evil.example"}),
    "a browser from another site": Asked(key("good"), headers={"Sec-Fetch-Site": "cross-site"}),
    "a browser from this site": Asked(key("good"), headers={"Sec-Fetch-Site": "same-origin"}),
    "a host of the internet": Asked(key("good"), headers={"Host": "evil.example"}),
    "a host that is none": Asked(key("good"), headers={"Host": "a b"}),
    "a path that goes on": Asked(key("good"), path=VALIDATE + "/x"),
    "two slashes": Asked(key("good"), path=VALIDATE + "//"),
    "the many at once": Asked({"items": [key("good")]}, path="/api/v2/auth/validate-api-keys"),
}


@pytest.mark.parametrize("title", PLAIN)
def test_what_is_plain_is_answered_below_django_as_in_django(scene: Scene, title: str) -> None:
    asked = PLAIN[title]

    assert scene.is_plain(asked)
    assert scene.served(asked) == scene.django(asked)


@pytest.mark.embedded
@pytest.mark.parametrize("title", OTHERS)
def test_what_is_not_plain_is_left_to_django(scene: Scene, title: str) -> None:
    asked = OTHERS[title]

    assert not scene.is_plain(asked)
    assert scene.served(asked) == scene.django(asked)


def test_the_two_tables_show_every_kind_of_answer(scene: Scene) -> None:
    """Else they could all be the same refusal."""
    seen = {scene.served(asked).status for asked in OTHERS.values()}
    assert seen >= {200, 400, 403, 404, 405, 413, 415}
    codes = {
        code for asked in PLAIN.values() if isinstance(code := dict(scene.served(asked).body)["error_code"], str | None)
    }
    assert codes == {None, "AUTH_001", "AUTH_004", "AUTH_005", "AUTH_008"}


@pytest.mark.parametrize(("moment", "code"), [(NOON.replace(hour=11), None), (NOON, "AUTH_002")])
def test_time_passes_alike(scene: Scene, moment: datetime, code: str | None) -> None:
    with travel(moment, tick=False):
        served, django = scene.served(PLAIN["one that ends later"]), scene.django(PLAIN["one that ends later"])

    assert served == django
    assert dict(served.body)["error_code"] == code


def test_limits_are_consumed_and_refused_alike(scene: Scene) -> None:
    """Both take from one: in turn, each sees one less than the other did."""
    asked = Asked(key("limited"))
    with travel(timezone.now(), tick=False):  # no day ends meanwhile
        answers = [ask(asked) for ask in [scene.served, scene.django] * 4]

    bodies = [dict(answer.body) for answer in answers]
    rooms = [body["data"].get("rate_limit") for body in bodies[:5]]
    quotas = [body["data"].get("quota") for body in bodies[:5]]
    assert [room["remaining"] for room in rooms] == [4, 3, 2, 1, 0]
    assert [quota["remaining"] for quota in quotas] == [8, 7, 6, 5, 4]
    assert len({room["reset"] for room in rooms}) == 1
    over = bodies[-2:]
    for each in over:
        assert 0 < each["data"].pop("retry_after") <= 86_400
    assert over[0] == over[1]
    assert over[0]["error_code"] == "AUTH_006"
    assert over[0]["data"] == {"valid": False, "code": "AUTH_006"}


def test_where_no_wait_helps_both_say_so(scene: Scene) -> None:
    served, django = scene.served(Asked(key("used up"))), scene.django(Asked(key("used up")))

    assert served == django
    assert dict(served.body)["data"] == {"valid": False, "code": "AUTH_006", "retry_after": None}


def test_uses_are_counted_alike(scene: Scene) -> None:
    before = scene.uses()

    for ask, expected in ((scene.served, 2), (scene.django, 4)):
        ask(Asked(key("good")))
        ask(Asked(key("good", required_permission="no_such")))
        ask(Asked(key("good", check_rate_limit=False)))
        ask(Asked(key("good", permission="chat"), path=CHECK))
        ask(Asked(key("good", required_permission="(")))
        ask(Asked(key("disabled")))
        assert sum(scene.uses().values()) - sum(before.values()) == expected


@contextmanager
def database_away() -> Iterator[None]:
    def refuse(*_: Any) -> Any:
        raise OperationalError(2006, "Server has gone away")

    with connection.execute_wrapper(refuse):
        yield


@pytest.mark.parametrize("asked", [PLAIN["a good key"], PLAIN["check: it has it"]], ids=["validate", "check"])
def test_a_database_that_is_away_is_told_alike(scene: Scene, asked: Asked) -> None:
    with database_away():
        served, django = scene.served(asked), scene.django(asked)

    assert served == django
    assert (served.status, served.headers["retry-after"]) == (503, "1")
    assert dict(served.body)["error_code"] == "SYS_002"


@pytest.mark.parametrize("where", ["apikeys.verification.records.find", "internal_api.key_auth.Validate.answer"])
def test_a_fault_is_told_alike_and_logged_with_its_request(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(where, fail)
    asked = Asked(key("good"), headers={"X-Request-ID": "the-request"})

    served, django = scene.served(asked), scene.django(asked)

    assert served == django
    assert served.status == 500
    assert dict(served.body)["error_code"] == "SYS_001"
    assert "a secret" not in str(served)
    (record,) = [record for record in caplog.records if record.name == "core.http"]
    assert record.exc_info is not None
    assert scene.keys["good"] not in caplog.text


def test_the_answers_are_in_chinese_whatever_the_thread_last_spoke(scene: Scene) -> None:
    with translation.override("en"):
        served = scene.served(Asked(key("disabled")))
    with translation.override(ENVELOPE_LANGUAGE):
        assert served == scene.django(Asked(key("disabled")))
    assert "密钥" in dict(served.body)["message"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("another page's origin", "内部接口拒绝跨源请求"),
        ("a host of the internet", "此处不服务该主机名；参见 MAIM_INTERNAL_HOSTS"),
    ],
)
def test_refusals_before_any_view_are_in_chinese_as_well(scene: Scene, title: str, sentence: str) -> None:
    with translation.override("en"):
        assert dict(scene.served(OTHERS[title]).body)["error"] == sentence


def test_the_public_surface_has_no_shortcut(scene: Scene) -> None:
    """Which port it came in on decides, whatever it says of itself."""
    asked = Asked(key("good"), port=PUBLIC.bind.port, headers={"Host": f"localhost:{INTERNAL.bind.port}"})

    assert scene.served(asked).status == 404

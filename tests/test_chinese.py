"""Chinese, where Chinese was asked for: every endpoint, form and page is read.

No English may be in it, and no word for which the product has another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import zip_longest
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import override_settings

from accounts.models import User
from apikeys.models import ApiKey
from core.http.surfaces import PUBLIC, SURFACES
from tenants.models import Tenant
from tests.support import bad_input
from tests.support.bad_input import JSON, Operation, operations
from tests.support.chinese import latin_words, sentences, texts_of_page, wrong_terms
from tests.support.client import SurfaceClient
from tests.support.factors import enrol
from tests.support.oidc import Provider, provider_at_work
from tests.support.operators import Operator, form_of, url
from tests.support.people import PASSWORD
from tests.support.routes import METHODS, fill, methods_of
from tests.test_admin_names import NAME, make_everything, pages
from tests.test_bad_input import Data, make_data

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

CHINESE: dict[str, Any] = {"HTTP_ACCEPT_LANGUAGE": "zh-CN,zh;q=0.9"}
MALFORMED: tuple[Any, ...] = ({}, [], None, "text")
# What the documents of OpenAPI do not tell: values that break a rule of their own.
RULE_BREAKERS: dict[str, list[Any]] = {
    "permissions": [["a b"], ["x"] * 101],
    "allowed_networks": [["10.0.0.1/8"], ["x"], ["10.0.0.0/8"] * 101],
    "required_permission": ["a and", "(a", "a b", "(" * 9 + "a", "a or " * 200],
    "name": ["\u202e", "\u200b", "ﷺ" * 99],
    "tenant_name": ["\u202e"],
    "metadata": [{"a": "x" * 9000}],
    "details": [{"a": "x" * 9000}],
    "username": ["", "x" * 101, "\u202e"],
    "email": ["x", "x@y", "x" * 300 + "@example.org"],
    "password": ["short", "x" * 1025, "alice123"],
    "new_password": ["short", "alice"],
    "old_password": ["wrong"],
    "refresh_token": ["x.y.z"],
    "api_key": ["x", "mmc_x", "mmc_" + "x" * 120],
    "client_ip": ["x"],
    "template_id": ["a/b"],
    "config": [
        {"persona": 5, "bot_overrides": {"alias_names": 5}, "config_overrides": {"chat": {"talk_value": "x"}}},
        {"config_overrides": {"model": {"api_providers": [{"name": "a"}, {"name": "a"}], "models": 5}}},
        {"config_overrides": {"message_receive": {"ban_msgs_regex": ["(", "(a*)*", "x" * 2000]}}},
        {"config_overrides": {"model": {"api_providers": [{"name": "a", "api_key": "********"}]}}},
        {"any": "x" * 300_000},
    ],
}


class Reader:
    """A reader of Chinese who notes the English, and the wrong words, in what is sent back."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.statuses: set[int] = set()

    def read(self, request: str, response: Any) -> None:
        """Read a response of an API."""
        self.statuses.add(response.status_code)
        if response.content and JSON in response["Content-Type"]:
            self._note(request, sentences(response.json()))

    def read_page(self, request: str, response: Any) -> None:
        """Read a page of the admin."""
        self.statuses.add(response.status_code)
        if response.get("Content-Type", "").startswith("text/html"):
            self._note(request, (text.replace(NAME, "") for text in texts_of_page(response.content.decode())))

    def _note(self, request: str, texts: Iterator[str]) -> None:
        self.faults.update({text: request for text in texts if latin_words(text) or wrong_terms(text)})


@contextmanager
def undone() -> Iterator[None]:
    """Undo what was written inside, so that the next request finds the same objects."""
    # By hand, because a service's transaction may not be nested in another one.
    savepoint = transaction.savepoint()
    yield
    transaction.savepoint_rollback(savepoint)


class Unseen:
    """A filter of wrong values: each is sent once to a surface, in the first field of its name."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str]] = set()

    def __call__(self, operation: Operation, name: str, values: Iterable[Any]) -> list[tuple[str, Any]]:
        """Return the values that are new, each with the field's name."""
        keys = {(operation.surface.name, name, repr(value)): (name, value) for value in values}
        new = [keys[key] for key in keys.keys() - self._seen]
        self._seen |= keys.keys()
        return new


def requests(operation: Operation, data: Data, unseen: Unseen) -> Iterator[dict[str, Any]]:
    """Yield requests to an operation, each as options of `send`: good ones, and many that are refused."""
    path = data.url(operation)
    body = data.body(operation) if operation.has_body else None
    yield {"path": path, "body": body}
    yield {"path": path, "body": body}  # again, which conflicts if it creates
    yield {"path": fill(operation.path), "body": body}  # of objects that do not exist
    yield {"path": path, "body": body, "HTTP_AUTHORIZATION": "Bearer x"}
    yield {"path": path, "body": body, "HTTP_IF_MATCH": "x", "HTTP_IDEMPOTENCY_KEY": "é"}
    yield {"path": path, "body": body, "HTTP_CONTENT_ENCODING": "gzip"}
    for name, parameter in operation.query.items():
        for _name, value in unseen(operation, f"?{name}", bad_input.wrong_parameters(parameter["schema"])):
            yield {"path": f"{path}{'&' if '?' in path else '?'}{name}={value}", "body": body}
    if body is None:
        return
    yield from ({"path": path, "body": malformed} for malformed in MALFORMED)
    # All fields are wrong at once, and every wrong value of each has its turn.
    wrong = [
        unseen(operation, name, bad_input.wrong_values(schema, required=name in operation.required))
        for name, schema in operation.fields.items()
    ]
    for values in zip_longest(*wrong):
        yield {"path": path, "body": {**body, **dict(each for each in values if each is not None)}}
    for name in operation.fields.keys() & RULE_BREAKERS.keys():
        for _name, value in unseen(operation, name, RULE_BREAKERS[name]):
            yield {"path": path, "body": {**body, name: value}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_at_work(name="公司账号") as provider:
        yield provider


@pytest.mark.heavy
@pytest.mark.usefixtures("provider")
def test_every_sentence_of_the_apis_is_chinese() -> None:
    data, reader, unseen = make_data(), Reader(), Unseen()

    for operation in operations():
        with undone():
            for options in requests(operation, data, unseen):
                response = data.client(operation.surface).send(operation.method, **options, **CHINESE)
                if operation.operation["tags"] != ["service"]:  # whose few words are of the old services
                    reader.read(str(operation), response)

    assert list(reader.faults.items()) == []
    assert reader.statuses == {200, 202, 204, 400, 401, 404, 409, 415}


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_refusals_outside_of_views_are_chinese(surface: Any) -> None:
    data, reader = make_data(), Reader()
    client = data.client(surface)
    operation = next(each for each in operations() if each.surface == surface and each.has_body)
    path, write = data.url(operation), operation.method

    for title, body in bad_input.BODIES.items():
        reader.read(title, client.generic(write, path, body, JSON, **CHINESE))
    for content_type in bad_input.CONTENT_TYPES:
        reader.read(content_type, client.generic(write, path, b"{}", content_type, **CHINESE))
    for template, allowed in methods_of(surface).items():
        for method in set(METHODS) - set(allowed):
            reader.read(f"{method} {template}", client.send(method, data.path(template), **CHINESE))
    for unknown in ("/x", "/api/v1/x", "/api/v1/tenants/x/y", "/api/v2/x", "/%ff"):
        reader.read(unknown, client.send("GET", unknown, **CHINESE))
    with override_settings(PUBLIC_HOST="maim.example.org"):
        for headers in ({"HTTP_HOST": "evil.example.org"}, {"HTTP_HOST": "a,b"}, {"HTTP_ORIGIN": "http://evil.org"}):
            reader.read(str(headers), client.send("GET", path, **headers, **CHINESE))
    reader.read("too large", client.send(write, path, {"a": bad_input.TOO_LONG}, **CHINESE))

    assert list(reader.faults.items()) == []
    assert reader.statuses - {200} == {400, 403, 404, 405, 413, 415}


def test_config_schema_is_chinese(internal: SurfaceClient) -> None:
    found = internal.send("GET", "/api/v2/system/config-schema").json()["data"]

    texts = list(texts_of_schema(found))

    assert len(texts) > 100
    assert [text for text in texts if latin_words(text, QUOTED_VALUES)] == []


# Values and names of the bot's settings, which their descriptions explain.
QUOTED_VALUES = frozenset({"fast", "accurate", "classic", "exp_model", "agent", "api_provider", "enable", "disable"})


def texts_of_schema(schema: Any) -> Iterator[str]:
    """Yield the titles and descriptions, without the names and values of fields that they explain."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("title", "description") and isinstance(value, str):
                yield value
            else:
                yield from texts_of_schema(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from texts_of_schema(item)


OTHER_PAGES = (
    "/admin/",
    "/admin/password_change/",
    "/admin/password_change/done/",
    "/admin/factors/",
    "/admin/autocomplete/",
    "/admin/no_such_page/",
    "/admin/agents/",
    "/admin/agents/agent/no_such_agent/change/",
    "/admin/agents/agent/?created_at__year=1",
)


def all_pages(rows: list[Model]) -> list[str]:
    """Return the paths of all pages of the admin: of these rows, and of none."""
    histories = [url(row, "history") for row in rows]
    return list(dict.fromkeys([*pages(rows, writable=True), *histories, *OTHER_PAGES]))


def invalid(form: dict[str, list[str]], value: str) -> dict[str, Any]:
    """Return a form with this value in every field that people fill in."""
    return {name: sent if "FORMS" in name or name == "shown_values" else value for name, sent in form.items()}


@pytest.mark.heavy
def test_every_page_and_form_of_the_admin_is_chinese(olivia: Operator) -> None:
    rows, reader, client = make_everything(olivia), Reader(), olivia.client

    for path in all_pages(rows):
        response = client.get(path, follow=True, **CHINESE)
        reader.read_page(path, response)
        if response.status_code != 200 or not (form := form_of(response)):
            continue
        for title, fields in (("empty", invalid(form, "")), ("wrong", invalid(form, "[")), ("unchanged", form)):
            cookies = deepcopy(client.cookies)
            with undone():
                reader.read_page(f"{title}: {path}", client.post(path, fields, follow=True, **CHINESE))
            client.cookies = cookies  # of the session that is as before

    assert list(reader.faults.items()) == []
    assert reader.statuses == {200, 400, 403, 404}


ACTIONS: dict[type[Model], tuple[str, ...]] = {
    User: ("deactivate", "end_sessions"),
    Tenant: ("suspend", "resume"),
    ApiKey: ("disable", "enable"),
}


@pytest.mark.heavy
def test_every_action_of_the_admin_is_chinese(olivia: Operator) -> None:
    rows, reader = make_everything(olivia), Reader()

    for row in rows:
        for action in ("", "delete_selected", *ACTIONS.get(type(row), ())):
            for choice in ({}, {"_selected_action": [row.pk]}, {"_selected_action": [row.pk], "post": "yes"}):
                fields = {"action": action, "index": "0", **choice}
                with undone():
                    response = olivia.client.post(url(type(row)), fields, follow=True, **CHINESE)
                reader.read_page(f"{fields}: {url(type(row))}", response)

    assert list(reader.faults.items()) == []
    assert reader.statuses == {200}


def test_signing_in_and_out_of_the_admin_is_chinese(olivia: Operator, provider: Provider) -> None:
    reader, anybody = Reader(), SurfaceClient(PUBLIC)
    careful = SurfaceClient(PUBLIC)
    careful.handler.enforce_csrf_checks = True

    reader.read_page("sign-in", anybody.get("/admin/login/", **CHINESE))
    reader.read_page("wrong", anybody.post("/admin/login/", {"username": "x", "password": "y"}, **CHINESE))
    reader.read_page("empty", anybody.post("/admin/login/", {}, **CHINESE))
    reader.read_page("no token", careful.post("/admin/login/", {}, **CHINESE))
    enrol(olivia.user)
    browser = SurfaceClient(PUBLIC)
    browser.post("/admin/login/", {"username": "olivia", "password": PASSWORD})
    reader.read_page("second factor", browser.get("/admin/second-factor/", **CHINESE))
    reader.read_page("wrong code", browser.post("/admin/second-factor/", {"code": "x"}, **CHINESE))
    reader.read_page("factors", olivia.client.get("/admin/factors/", **CHINESE))
    reader.read_page("link", anybody.get("/admin/oidc/link", **CHINESE))
    reader.read_page("sign-out", olivia.client.post("/admin/logout/", **CHINESE))

    assert list(reader.faults.items()) == []
    assert reader.statuses == {200, 403}


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("name: 必填", []),
        ("必须是以下之一：active, archived。", []),
        ('JSON 对象，例如 {"limit": 100}', []),
        ("name: This field is required.", ["This", "field", "is", "required"]),
        ("Agent activitys: 2", ["activitys"]),
        ("无效数据。期待为字典类型，得到的是 list 。", ["list"]),
    ],
)
def test_english_is_found_beside_names_and_codes(text: str, english: list[str]) -> None:
    assert latin_words(text) == english

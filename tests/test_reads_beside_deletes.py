"""Reads of objects that are deleted meanwhile: a deleted object is absent or a 404, and never causes an error."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Model
from django.urls import NoReverseMatch, reverse

from core.http.surfaces import INTERNAL, PUBLIC
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.deletions import DELETIONS, Objects, make_objects
from tests.support.fastpath import match, reply_to
from tests.support.interleaving import AfterQuery, other_thread
from tests.support.operators import sign_in
from tests.support.routes import fill
from tests.test_permissions import INTERNAL_ROWS, PUBLIC_ROWS, Row

pytestmark = [pytest.mark.heavy, pytest.mark.django_db(transaction=True)]

# Routes that read although their method is POST.
READING_POSTS = {
    "/api/v1/api-keys/search",
    "/api/v2/api-keys/search",
    "/api/v2/auth/parse-api-key",
    "/api/v2/auth/validate-api-key",
    "/api/v2/auth/validate-api-keys",
    "/api/v2/auth/check-permission",
}
# Routes that read no object.
WITHOUT_OBJECTS = {"/favicon.ico", "/metrics", "/docs", "/redoc", "/openapi.json", "/api/v1/openapi.json"}
COMMANDS = (
    "keys list --json",
    "keys list",
    "keys show {key_id}",
    "keys show {key_id} --json",
    "agents export {agent_id}",
)
STORM_SECONDS = 2.0


@dataclass(frozen=True)
class Read:
    """A read. `send` returns its HTTP status or exit status."""

    name: str
    send: Callable[[], int]


def route_reads(objects: Objects) -> Iterator[Read]:
    """Return every reading route, with Bob as the client."""
    for surface, rows in ((PUBLIC, PUBLIC_ROWS), (INTERNAL, INTERNAL_ROWS)):
        client = SurfaceClient(surface, objects.bob.token if surface == PUBLIC else None)
        for row in rows:
            if (row.method == "GET" and row.path not in WITHOUT_OBJECTS) or row.path in READING_POSTS:
                yield Read(f"{surface.name}: {row}", partial(_send, client, row, objects))


def _send(client: SurfaceClient, row: Row, objects: Objects) -> int:
    body = row.body and _filled(row.body, objects.values)
    return int(client.send(row.method, fill(row.target, **objects.values), body).status_code)


def _filled(body: Any, values: dict[str, str]) -> Any:
    """Return a body with the parameters in its texts filled in."""
    if isinstance(body, dict):
        return {key: _filled(value, values) for key, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, values) for value in body]
    return fill(body, **values) if isinstance(body, str) else body


def fast_path_reads(objects: Objects) -> Iterator[Read]:
    """Return the reads of the fast path."""
    for part in ("", "/config", "/config/effective"):
        path = f"/api/v2/agents/{objects.values['agent_id']}{part}"
        yield Read(f"fast path: {path}", partial(_read_below_django, path))


def _read_below_django(path: str) -> int:
    handler = match("GET", path)
    assert handler is not None
    reply = reply_to(handler)
    assert reply is not None
    return reply.status


# Pages of the admin that are sent by POST, lead to another page, or are of two versions.
NO_READS = ("_add", "_history", "_comparison", "_restore", "_cancel")


def admin_reads(objects: Objects, client: SurfaceClient) -> Iterator[Read]:
    """Return the lists of the admin, and all pages of a row of each."""
    for model, model_admin in admin.site._registry.items():
        row = objects.rows[model][-1]
        for name in (str(entry.name) for entry in model_admin.get_urls() if getattr(entry, "name", None)):
            if not name.endswith(NO_READS):
                yield Read(f"admin: {name}", partial(_get, client, _page(name, row)))


def _page(name: str, row: Model) -> str:
    try:
        return reverse(f"admin:{name}", args=[quote(row.pk)])
    except NoReverseMatch:
        return reverse(f"admin:{name}")


def _get(client: SurfaceClient, page: str) -> int:
    return int(client.get(page).status_code)


def command_reads(objects: Objects) -> Iterator[Read]:
    """Return the reading commands."""
    for line in COMMANDS:
        arguments = fill(line, **objects.values).split()
        yield Read(f"manage.py {line}", partial(_run, arguments))


def _run(arguments: list[str]) -> int:
    return run(*arguments).status


def api_reads(objects: Objects) -> list[Read]:
    """Return the reads of both surfaces, the fast path and the commands."""
    return [*route_reads(objects), *fast_path_reads(objects), *command_reads(objects)]


def all_faults(reads: list[Read], objects: Objects, deleted: str) -> list[str]:
    """Delete the objects between each two queries of each read, and return the reads that failed."""
    kinds, faults = DELETIONS[deleted], []
    with other_thread() as meanwhile:
        for read in reads:
            queries = AfterQuery()
            with connection.execute_wrapper(queries):
                assert read.send() < 500, read.name
            for number in range(1, queries.count):
                deletion = AfterQuery(number, lambda: meanwhile(lambda: objects.delete(kinds)))
                with connection.execute_wrapper(deletion):
                    status = read.send()
                if deletion.has_acted:
                    meanwhile(lambda: objects.restore(kinds))
                if status >= 500:
                    faults.append(f"{read.name}, deleted after its query {number}: {status}")
    return faults


def test_tenant_deleted_between_two_queries_of_an_api_read_causes_no_error() -> None:
    objects = make_objects()

    assert all_faults(api_reads(objects), objects, "everything") == []


def test_key_deleted_between_two_queries_of_a_read_of_keys_causes_no_error() -> None:
    """The key's tenant and agent still exist, so the read gets further than with a deleted tenant."""
    objects = make_objects()
    of_keys = [read for read in api_reads(objects) if "key" in read.name]

    assert all_faults(of_keys, objects, "the key") == []


def test_tenant_deleted_between_two_queries_of_an_admin_page_causes_no_error() -> None:
    objects, olivia = make_objects(), sign_in("olivia")

    assert all_faults(list(admin_reads(objects, olivia.client)), objects, "everything") == []


def test_reads_beside_many_deletes_and_creates_cause_no_error() -> None:
    objects, olivia = make_objects(), sign_in("olivia")
    reads = [*route_reads(objects), *fast_path_reads(objects), *admin_reads(objects, olivia.client)]
    end = time.monotonic() + STORM_SECONDS

    def storm() -> None:
        while time.monotonic() < end:
            kinds = DELETIONS[random.choice(list(DELETIONS))]
            objects.delete(kinds)
            objects.restore(kinds)
        connection.close()

    def read_on() -> Counter[tuple[str, int]]:
        statuses = Counter[tuple[str, int]]()
        while time.monotonic() < end:
            read = random.choice(reads)
            statuses[read.name, read.send()] += 1
        connection.close()
        return statuses

    with ThreadPoolExecutor(4) as pool:
        storming, reading = pool.submit(storm), [pool.submit(read_on) for _ in range(3)]
        storming.result()
        statuses = sum((each.result() for each in reading), Counter[tuple[str, int]]())

    assert {name: status for name, status in statuses if status >= 500} == {}
    assert {200, 404} <= {status for _name, status in statuses}, "there was a storm"

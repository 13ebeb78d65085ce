"""The admin's pages on the database of `manage.py demo`, as an operator opens them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Model, QuerySet

from accounts.models import User
from agents.models import Agent
from apikeys import keyformat
from apikeys.models import ApiKey, KeySecret
from apikeys.statistics import Span
from core.admin_base import OperatorAdmin
from core.admin_deletion import deletion_of
from core.keyset import Order
from core.models import RowCount
from operations.models import Kind
from tenants.models import Tenant
from tests.support.client import context_of
from tests.support.commands import run
from tests.support.large_lists import cost_of
from tests.support.large_tables import empty_tables
from tests.support.operators import Operator, sign_in, url
from tests.support.people import make_agent, make_key, register

MAX_QUERIES = 15
# Rows that a page may read for each that it shows, and single rows that any page reads: its session, its operator's
# permissions, a tenant's or an agent's name.
PER_ROW, SINGLE = 20, 100
_NOBODY = "nobody-is-called-this"
_PALETTE = "/admin/search/"
_START = "/admin/operations/bulkoperation/add/"


# Pages that read more than they show, by a pattern of their names, each with its reason.
COUNTED = {
    re.escape(f"POST {_START}"): "the objects are counted one by one in an index, because their number has to be typed",
    "/admin/agents/agent/.*/delete/": "the agent's keys are counted one by one in an index, for the same reason",
    re.escape(f"{url(ApiKey)}?unused="): "use is in no index, because each use of a key would change it",
    re.escape(f"{url(ApiKey)}?status=expired"): "keys past their time are stored as active, and looked for among these",
    "/admin/(agents/agent|apikeys/apikey)/.*/change/.span=day": "an hour is the sum of its five minutes, by outcome",
    "/admin/tenants/tenant/.*/delete/": "the calls of the last hour are the sum of its minutes, by outcome",
}


class Page(NamedTuple):
    """A page of the admin, and the request for it."""

    name: str
    read: Callable[[], Any]


class Measured(NamedTuple):
    """The cost of a page to the database, and the number of rows that it shows."""

    name: str
    queries: int
    reads: int
    shown: int
    scans: list[str]
    seconds: float

    def is_too_much(self) -> bool:
        """Return whether these are too many queries, or rows for what is shown, or a large table is read whole."""
        if self.queries > MAX_QUERIES:
            return True
        is_counted = any(re.match(pattern, self.name) for pattern in COUNTED)
        return not is_counted and (self.reads > PER_ROW * self.shown + SINGLE or bool(self.scans))

    def __str__(self) -> str:
        scans = f", all of {', '.join(self.scans)}" if self.scans else ""
        return (
            f"{1000 * self.seconds:7.1f} ms, {self.queries:2} queries, {self.reads:6} rows for {self.shown:3} shown"
            f"{scans}: {self.name}"
        )


@contextmanager
def demo_database(keys: int, *, is_kept: bool) -> Iterator[None]:
    """Fill the empty database by the command, committed, unless it was filled before; empty it unless it is kept."""
    if not ApiKey.unscoped.exists():
        assert run("demo", "--keys", str(keys), "--yes").status == 0
    with connection.cursor() as cursor:
        for model in apps.get_models():  # MariaDB counts its rows by itself, but some seconds later
            cursor.execute(f"ANALYZE TABLE {model._meta.db_table}")
            cursor.fetchall()
    yield
    if not is_kept:
        empty_tables()


def measure_pages() -> list[Measured]:
    """Open each page of the admin as an operator, on a filled database, in a transaction."""
    operator = sign_in("olivia.of.the.console")
    secret = make_key(make_agent(register("bob.of.the.console").tenant)).secret
    return [_measured(page) for page in pages(operator, secret)]


def _measured(page: Page) -> Measured:
    responses: list[Any] = []
    cost = cost_of(lambda: responses.append(page.read()))
    (response,) = responses
    assert response.status_code in (200, 302), f"{page.name}: {response.status_code}"
    queries = [sql for sql, _params, _seconds in cost.statements if not sql.startswith(("SAVEPOINT", "RELEASE"))]
    return Measured(page.name, len(queries), cost.reads, shown_rows(response), cost.full_scans(), cost.seconds)


def pages(operator: Operator, secret: str) -> Iterator[Page]:
    """Yield all pages. `secret` is the secret of a key."""
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, OperatorAdmin)
        yield from _of_model(operator, model, model_admin)
    yield from _searches_for_secrets(operator, secret)
    yield from _dashboard(operator)
    yield from _of_the_largest(operator)


def shown_rows(response: Any) -> int:
    """Return how many rows a page shows: the object that it is about, and those of its tables, series or results."""
    if response.headers.get("Content-Type") == "application/json":
        return 1 + sum(len(line["numbers"]) for line in response.json()["lines"])
    page: str = response.content.decode()
    return 1 + page.count("<tr") + len((getattr(response, "context_data", None) or {}).get("found", ()))


def _get(operator: Operator, path: str, **query: str) -> Page:
    return Page(f"{path}?{urlencode(query)}", lambda: operator.get(path, **query))


def _post(operator: Operator, path: str, **fields: str) -> Page:
    return Page(f"POST {path} {urlencode(fields)}", lambda: operator.client.post(path, fields))


def _of_model(operator: Operator, model: type[Model], model_admin: OperatorAdmin) -> Iterator[Page]:
    """Yield a model's list with each filter, order, search and a far page, and the pages of a row in its middle."""
    path = url(model)
    shown = context_of(operator.get(path))["cl"]
    yield _get(operator, path)
    for spec in shown.filter_specs:
        for choice in spec.choices(shown):
            if choice["query_string"] not in ("?", ""):
                filtered = f"{path}{choice['query_string']}"
                yield Page(filtered, partial(operator.get, filtered))
    orders = [""]
    for name in model_admin.sortable_by or ():
        if name in shown.list_display:
            place = shown.list_display.index(name)
            orders += [f"{place}", f"-{place}"]
    row = _middle(model)
    for order in orders:
        query = {"o": order} if order else {}
        if order:
            yield _get(operator, path, **query)
        if row is not None:
            rows = context_of(operator.get(path, **query))["cl"].queryset
            yield _get(operator, path, p=Order.of(rows).position(row), **query)
    for term in (*_terms(model_admin, row), _NOBODY):
        yield _get(operator, path, q=term)
    if row is not None:
        yield _get(operator, url(row, "change"))
        if deletion_of(model) is not None:
            yield _get(operator, url(row, "delete"))


def _rows(model: type[Model]) -> QuerySet[Any]:
    return model._base_manager.all()


def _middle(model: type[Model]) -> Any:
    """Return a row from the middle of the times at which rows came, or of the ids."""
    rows, field = _rows(model), "created_at" if hasattr(model, "created_at") else "pk"
    first, last = rows.order_by(field).first(), rows.order_by(field).last()
    if first is None or last is None:
        return None
    if isinstance(getattr(first, field), str):
        return rows.order_by(field).filter(**{f"{field}__gte": getattr(first, field)[:-1]}).first()
    middle = getattr(first, field) + (getattr(last, field) - getattr(first, field)) / 2
    return rows.order_by(field).filter(**{f"{field}__gte": middle}).first()


def _terms(model_admin: OperatorAdmin, row: Any) -> Iterator[str]:
    """Yield what the search of a list finds: the beginning of names, ids, and masked secrets."""
    if row is None:
        return
    for field in model_admin.search_fields:
        column, _separator, lookup = field.rpartition("__")
        path = (column if lookup in ("startswith", "exact") else field).split("__")
        value = row
        for name in path:
            value = getattr(value, name)
        if isinstance(value, Model):
            value = value.pk
        if value:
            yield str(value)[:2] if lookup == "startswith" else str(value)
            yield str(value)
    if isinstance(row, ApiKey):
        yield keyformat.masked(row.current_secret.hint)


def _searches_for_secrets(operator: Operator, secret: str) -> Iterator[Page]:
    """Yield what people paste, in the search of the list of keys and in the command palette."""
    key, user, agent = _middle(ApiKey), _middle(User), _middle(Agent)
    unknown = keyformat.generate(key.tenant_id, key.agent_id)
    for term in (secret, unknown):
        yield _post(operator, url(ApiKey), q=term, _search="1")
    hint = KeySecret.objects.filter(key=key).latest("pk").hint
    for term in (
        *(key.name, key.name[:2], key.pk, user.username, user.email, user.pk, agent.name, agent.pk, agent.tenant_id),
        *(keyformat.masked(hint), f"…{hint}", "mmc_…zzzz", secret, unknown, _NOBODY),
    ):
        yield _post(operator, _PALETTE, q=term)


def _dashboard(operator: Operator) -> Iterator[Page]:
    for span in Span:
        yield _get(operator, "/admin/", span=span.value)
        for series in ("verifications", "verification-times"):
            yield _get(operator, f"/admin/figures/{series}/", span=span.value)


def _of_the_largest(operator: Operator) -> Iterator[Page]:
    """Yield the pages of the largest tenant and agent and of the busiest key, in each span, and what is about them."""
    key = ApiKey.unscoped.filter(agent=_largest_agent()).order_by("-usage_count").first()
    assert key is not None
    tenant, agent = Tenant.objects.get(pk=key.tenant_id), Agent.unscoped.get(pk=key.agent_id)
    for row, name in ((tenant, "tenant"), (agent, "agent"), (key, "key")):
        for span in Span:
            yield _get(operator, url(row, "change"), span=span.value)
            yield _get(operator, f"/admin/figures/verifications/{name}/{quote(row.pk)}/", span=span.value)
        yield _get(operator, url(row, "delete"))
    for model, ids in ((Agent, [tenant.pk]), (ApiKey, [tenant.pk, agent.pk])):
        for each in ids:
            yield _get(operator, url(model), q=each)
    yield _get(operator, f"/admin/agents/agent/{quote(agent.pk)}/config/")
    yield _get(operator, _START)
    for kind, owners in (
        (Kind.DISABLE_KEYS, {"tenant_id": tenant.pk}),
        (Kind.DISABLE_KEYS, {"tenant_id": tenant.pk, "status": "disabled"}),
        (Kind.DELETE_KEYS, {"agent_id": agent.pk}),
        (Kind.DELETE_KEYS, {"ids": key.pk}),
        (Kind.DELETE_AGENTS, {"tenant_id": tenant.pk}),
        (Kind.DELETE_TENANTS, {"ids": tenant.pk}),
        (Kind.SUSPEND_TENANTS, {"ids": tenant.pk}),
    ):
        yield _post(operator, _START, kind=kind.value, **owners)


def _largest_agent() -> str:
    """Return the id of the agent with most keys, by the numbers that are kept."""
    largest = RowCount.objects.filter(kind=RowCount.Kind.KEYS).exclude(agent_id="").order_by("-number").first()
    assert largest is not None
    return str(largest.agent_id)

"""Few rows read of large tables: by each list, filter, order and search of surfaces, admin and commands, and figure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import parse_qsl

import pytest
from django.contrib import admin

from accounts import services as accounts
from accounts.models import User
from core.admin_base import OperatorAdmin
from core.admin_list import parameter_name
from core.http.docs import document
from core.http.surfaces import INTERNAL, PUBLIC, SURFACES
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.examples import TIMES
from tests.support.large_lists import LISTS, List, cost_of, figures_of_pages
from tests.support.large_tables import AGENT, TENANT, USER, Sizes, empty_tables, fill
from tests.support.operators import sign_in
from tests.support.people import OPERATOR
from tests.test_query_counts import GROWING

pytestmark = [pytest.mark.heavy, pytest.mark.needs_mariadb]

# A hundred thousand rows in long runs (`make test-long`), and a tenth in short ones.
SIZES = Sizes(tenants=5000) if TIMES > 1 else Sizes(agents=10_000, rows=10_000, tenants=5000)
# Rows that a list may read for each that it shows. The rows before a numbered page are read from an index as well.
PER_ROW = 20
# Lists that read more, each with its reason. What they read is the tenant's keys or invitations at most, or all
# templates.
COUNTED = {
    "expires_within_days": "its total is counted row by row",
    "never_used": "its total is counted row by row",
    "unused_since": "its total is counted row by row",
    "status=active": "keys past their time are stored as active, and counted row by row",
    "status=expired": "keys past their time are stored as active, and counted row by row",
    "unused": "is in no index, because each use of a key would change it",
}
COUNTED_PATHS = {
    "/api/v2/templates": "its total is counted row by row",
    f"/api/v1/tenants/{TENANT}/invitations": "who may still invite is looked up row by row; they are of seven days",
    "/api/v1/search": "a part of a name may be anywhere in the names of a tenant, which it reads in their index",
    "/api/v2/agent-activity": "its total is counted row by row",
}


def is_counted(case: List) -> bool:
    names = {*case.query.split("&"), *(name for name, _value in parse_qsl(case.query))}
    return not names.isdisjoint(COUNTED) or case.path in COUNTED_PATHS


@pytest.fixture
def large_tables(transactional_db: None) -> Iterator[None]:
    fill(SIZES)
    yield
    empty_tables()


@pytest.fixture
def read(large_tables: None) -> Callable[[List], None]:
    """Return a function that requests a list."""
    person = SurfaceClient(PUBLIC, accounts.sign_in(actor=OPERATOR, user=User.objects.get(pk=USER)).access)
    internal, operator = SurfaceClient(INTERNAL), sign_in("olivia").client

    def read(case: List) -> None:
        if case.surface == "command":
            run_command(case)
            return
        if case.surface == "admin":
            response = operator.get(f"/admin/{case.path}/?{case.query}")
        else:
            response = (internal if case.surface == "internal" else person).get(f"{case.path}?{case.query}")
        assert response.status_code == 200, f"{case}: {response.content!r}"

    return read


def run_command(case: List) -> None:
    """Run a command, and again for the second page of its list."""
    arguments = [*shlex.split(case.query), "--json"]
    following = run(case.path, *arguments).document.get("next")
    if following is not None:
        assert run(case.path, *arguments, "--after", following).document["items"]


def test_lists_and_figures_read_few_rows_of_large_tables(read: Callable[[List], None]) -> None:
    too_many = {}
    for case in LISTS:
        cost = cost_of(partial(read, case))
        if not is_counted(case) and (cost.reads > PER_ROW * case.size + passed_over(case) or cost.full_scans()):
            too_many[str(case)] = cost.reads, cost.full_scans()

    for name, (figure, shown) in figures_of_pages().items():
        cost = cost_of(figure)
        if cost.reads > PER_ROW * shown or cost.full_scans():
            too_many[name] = cost.reads, cost.full_scans()

    assert too_many == {}


def route_of(case: List) -> str:
    return case.path.replace(AGENT, "{agent_id}").replace(TENANT, "{tenant_id}")


def passed_over(case: List) -> int:
    query = dict(parse_qsl(case.query))
    return int(query.get("skip", 0)) + (int(query.get("page", 1)) - 1) * case.size


# ---- no list is left out


def test_every_list_of_the_api_is_read() -> None:
    read = {(case.surface, route_of(case)) for case in LISTS if case.surface in ("public", "internal")}

    assert read == {(surface, path) for surface, path, _grow in GROWING}


def test_every_filter_and_order_of_the_api_is_read() -> None:
    """Except a part of a name, which may be anywhere in the names of a tenant, and what chooses a page."""
    free = {"q", "page", "size", "page_size", "skip", "limit"}
    for surface in SURFACES:
        for path in {path for name, path, _grow in GROWING if name == surface.name}:
            declared = document(surface)["paths"][path]["get"].get("parameters", [])
            names = {parameter["name"] for parameter in declared if parameter["in"] == "query"}
            cases = [case for case in LISTS if (case.surface, route_of(case))
                     == (surface.name, path)]  # fmt: skip
            read = {name for case in cases for name, _value in parse_qsl(case.query, keep_blank_values=True)}
            assert names - free - read == set(), path


def test_every_list_filter_and_search_of_the_admin_is_read() -> None:
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, OperatorAdmin)
        path = f"{model._meta.app_label}/{model._meta.model_name}"
        queries = [case.query for case in LISTS if (case.surface, case.path) == ("admin", path)]
        assert "" in queries, path
        for entry in model_admin.list_filter:
            assert any(query.startswith(parameter_name(entry)) for query in queries), f"{path}: {parameter_name(entry)}"
        assert any(query.startswith("q=") for query in queries), path


def test_no_list_of_the_admin_counts_its_rows() -> None:
    assert not any(each.show_full_result_count or each.date_hierarchy for each in admin.site._registry.values())

"""The figures of pages: complete, in few queries, and for operators alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.contrib.admin.utils import quote
from django.db import connection
from django.template import engines
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import services as agents
from agents.models import Agent
from apikeys import outcomes
from apikeys.models import ApiKey, KeySecret
from apikeys.outcomes import Outcomes
from apikeys.statistics import Span
from apikeys.tests.worker import Data
from apikeys.verification import DISABLED, VALID
from core.servers import ThisServer
from dashboard import figures, gauges
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.operators import sign_in, url
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(alice: Person) -> Data:
    """Alice's key, used twice and refused once, and her agent, which is alive."""
    data = Data(alice)
    of_key = timezone.now(), data.tenant.id, data.agent.id, data.key.id
    outcomes.add([Outcomes(*of_key, VALID, 2), Outcomes(*of_key, DISABLED, 1)])
    agents.record_activity(agents.Heartbeat(data.tenant.id, data.agent.id, 3600))
    ThisServer().note()
    gauges.measure_due()
    return data


def totals(chart: Any) -> dict[str, int | None]:
    return {line.code: line.total for line in chart.lines}


class TestFigures:
    def test_overview_has_everything(self, data: Data) -> None:
        found = figures.overview(Span.HOUR)

        assert totals(found.verifications) == {VALID: 2, DISABLED: 1}
        assert [each.tenant_id for each in found.rankings.busiest] == [data.tenant.id]
        assert {name: measured.number for name, measured in found.gauges.items()} == {
            "alive_agents": 1,
            "expiring_keys": 0,
            "leaked_secrets": 0,
            "never_used_keys": 0,
            "leaked_keys": 0,
            "called_suspended_tenants": 0,
            "failed_operations": 0,
        }
        assert len(found.servers) == 1
        assert found.health["database"] in (True, False)

    @pytest.mark.parametrize("span", Span)
    def test_pages_take_few_queries(self, data: Data, span: Span) -> None:
        """An operator's session, permissions and menu take others: the dashboard has 15 in all."""
        pages: dict[int, Callable[[], object]] = {
            11: lambda: figures.overview(span),
            8: lambda: figures.of_tenant(data.tenant, span),
            5: lambda: figures.of_agent(data.agent, span),
            4: lambda: figures.of_key(data.key, span),
        }
        for most, read in pages.items():
            with CaptureQueriesContext(connection) as captured:
                read()
            assert len(captured) <= most, "\n".join(query["sql"] for query in captured.captured_queries)

    def test_pages_of_a_tenant_an_agent_and_a_key(self, data: Data) -> None:
        tenant = figures.of_tenant(data.tenant, Span.DAY)
        agent = figures.of_agent(data.agent, Span.DAY)
        key = figures.of_key(data.key, Span.DAY)

        for found in (tenant, agent, key):
            assert totals(found.verifications) == {VALID: 2, DISABLED: 1}
        assert [each.agent for each in tenant.alive.rows] == [data.agent]
        assert agent.alive is not None
        assert key.changes[0].action == "key.create"
        assert tenant.changes[0].object_id == data.key.id


PATHS = (
    "/admin/figures/verifications/",
    "/admin/figures/verifications/tenant/{tenant}/",
    "/admin/figures/verifications/agent/{agent}/",
    "/admin/figures/verifications/key/{key}/",
    "/admin/figures/verification-times/",
)


class TestViews:
    def filled(self, path: str, data: Data) -> str:
        return path.format(tenant=quote(data.tenant.id), agent=quote(data.agent.id), key=quote(data.key.id))

    @pytest.mark.parametrize("path", PATHS)
    def test_operators_get_series(self, data: Data, path: str) -> None:
        operator = sign_in("olivia", is_superuser=False)

        for span, number in (("hour", (60, 12)), ("day", (24,)), ("month", (30,))):
            body = operator.get(self.filled(path, data), span=span).json()

            assert (body["span"], len(body["starts"]), len(body["labels"])) == (
                span,
                len(body["starts"]),
                len(body["starts"]),
            )
            assert len(body["starts"]) in number
            assert {len(line["numbers"]) for line in body["lines"]} == {len(body["starts"])}
            if "times" not in path and span != "month":
                assert [(line["code"], sum(line["numbers"])) for line in body["lines"]] == [(VALID, 2), (DISABLED, 1)]

    @pytest.mark.parametrize("path", PATHS)
    def test_others_are_sent_to_the_sign_in_page(self, data: Data, alice: Person, path: str) -> None:
        for client in (SurfaceClient(), alice.client):
            response = client.get(self.filled(path, data))

            assert response.status_code == 302
            assert response["Location"].startswith("/admin/login/")

    def test_unknown_span_and_unknown_objects_are_refused(self, data: Data) -> None:
        client = sign_in("olivia").client

        for path in PATHS:
            response = client.get(f"{self.filled(path, data)}?span=year")
            assert (response.status_code, response.json()) == (400, {"error": "span must be one of hour, day, month"})
            if "{" in path:
                assert client.get(path.format(tenant="nobody", agent="nobody", key="nobody")).status_code == 404


def chosen_span(page: str) -> str:
    """Return the one span that a page marks as shown."""
    [span] = re.findall(r'href="\?span=(\w+)" aria-current="true"', page)
    return str(span)


class TestDashboard:
    @pytest.mark.parametrize("span", [*Span, None])
    def test_dashboard_shows_the_figures(self, data: Data, span: Span | None) -> None:
        Tenant.objects.filter(pk=data.tenant.pk).update(tenant_name="<b>Alice</b>")
        client = sign_in("olivia", is_superuser=False).client

        with CaptureQueriesContext(connection) as captured:
            response = client.get("/admin/" if span is None else f"/admin/?span={span.value}")

        assert len(captured) <= 15, "\n".join(query["sql"] for query in captured.captured_queries)
        page = response.content.decode()
        assert chosen_span(page) == (span or Span.HOUR).value
        assert "&lt;b&gt;Alice&lt;/b&gt;" in page
        assert "<b>Alice</b>" not in page
        dashboard = page[page.index('<section class="dashboard"') : page.index("</section>")]
        assert dashboard.count("<table") == dashboard.count("<caption>") == 9
        assert "Agents alive: 1" in page
        assert settings.VERSION in page

    def test_span_that_there_is_not_shows_the_last_hour(self) -> None:
        response = sign_in("olivia").client.get("/admin/?span=year")

        assert chosen_span(response.content.decode()) == Span.HOUR.value

    def test_pages_of_imported_objects_lead_to_others_whatever_is_in_an_id(self, alice: Person) -> None:
        tenant = Tenant.objects.create(pk="old/t & co", tenant_name="Old", owner=alice.user)
        agent = Agent(pk="bot/1?#", tenant=tenant)
        key = ApiKey(pk="key/1 +", tenant=tenant, agent=agent)
        for named in (agent, key):
            named.set_name("old")
            named.save(force_insert=True)
        KeySecret.objects.filter(key=make_key(make_agent(alice.tenant)).key).update(key=key)
        operator = sign_in("olivia")
        links = 0

        for row in (tenant, agent, key):
            page = operator.get(url(row, "change")).content.decode()
            (series,) = re.findall(r'data-series="([^"]+)"', page)
            assert operator.get(unescape(series)).json()["span"] == "hour"
            for link in re.findall(r'href="(/admin/[^"]+/\?q=[^"]*)"', page):
                assert parse_qs(urlsplit(unescape(link)).query)["q"] == [row.pk]
                links += 1
        assert links == 3, "from the tenant to its agents and keys, and from the agent to its keys"

    def test_fragments_of_objects_render(self, data: Data) -> None:
        """Given pages that include what there is of a tenant, an agent and a key."""
        page = engines["django"].from_string(
            "{% load figures %}{% figures_of row as figures %}{% series_url row as url %}"
            "{% include 'dashboard/spans.html' with chart=figures.verifications %}"
            "{% include 'dashboard/series.html' with chart=figures.verifications title='Verifications' %}"
            "{% include 'dashboard/changes.html' with changes=figures.changes %}"
        )
        for row, name in ((data.tenant, "tenant"), (data.agent, "agent"), (data.key, "key")):
            request = RequestFactory().get("/", {"span": "day"})

            text = page.render({"row": row}, request)

            assert f'data-series="/admin/figures/verifications/{name}/{quote(row.pk)}/?span=day"' in text
            assert "key.create" in text or row != data.key

"""Headers and cookies that keep browsers from doing what no page of maim needs."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.contrib.staticfiles import finders

from accounts.models import User
from apikeys.models import ApiKey, UsageLogEntry
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from core.models import AuditEntry
from maim.wsgi import application
from tests.support.client import SurfaceClient
from tests.support.operators import Operator, url
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]


@pytest.mark.parametrize(
    ("surface", "path"),
    [
        (PUBLIC, "/"),
        (PUBLIC, "/nowhere"),
        (PUBLIC, "/api/v1/auth/me"),
        (PUBLIC, "/admin/login/"),
        (INTERNAL, "/"),
        (INTERNAL, "/nowhere"),
        (INTERNAL, "/metrics"),
        (INTERNAL, "/docs"),
        (INTERNAL, "/api/v2/agents/agent_unknown"),
    ],
)
def test_media_type_of_a_response_is_not_guessed(surface: Surface, path: str) -> None:
    assert SurfaceClient(surface).get(path)["X-Content-Type-Options"] == "nosniff"


def test_refused_host_is_not_guessed_either(internal: SurfaceClient) -> None:
    response = internal.get("/", HTTP_HOST="evil.example")

    assert (response.status_code, response["X-Content-Type-Options"]) == (403, "nosniff")


@pytest.mark.parametrize("surface", [PUBLIC, INTERNAL])
def test_media_type_of_a_static_file_is_not_guessed(surface: Surface) -> None:
    assert finders.find("maim/swagger.js")
    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/static/maim/swagger.js", "SERVER_PORT": str(surface.bind.port)}

    application(environ, lambda *response: started.append(response)).close()  # type: ignore[attr-defined]  # a file's

    status, headers = started[0]
    assert status.startswith("200")
    assert dict(headers)["X-Content-Type-Options"] == "nosniff"


def test_admin_runs_scripts_of_its_own_only(olivia: Operator) -> None:
    for page in ("/admin/", url(User), url(User, "add")):
        policy = olivia.client.get(page)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert "frame-ancestors 'none'" in policy


def test_page_of_a_secret_runs_nothing_that_it_computes(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)

    page = olivia.add(ApiKey, agent=agent.pk, name="key")

    assert "cannot be shown again" in page.content.decode()
    assert "script-src 'self'; style-src 'self';" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]


def test_no_page_of_the_admin_has_a_script_in_itself(olivia: Operator) -> None:
    """The policy would keep it from running."""
    for page in ("/admin/login/", "/admin/", url(User), url(User, "add"), url(AuditEntry), "/admin/password_change/"):
        text = olivia.client.get(page, follow=True).content.decode()
        scripts = [part.partition(">")[0] for part in text.split("<script")[1:]]
        assert [script for script in scripts if "src=" not in script and "application/json" not in script] == []
        assert "onclick=" not in text


def test_scripts_cannot_read_the_token_against_csrf(public: SurfaceClient) -> None:
    response = public.get("/admin/login/")

    assert response.cookies["csrftoken"]["httponly"]


class TestFilters:
    """Filters of the admin's lists that no page offers."""

    @pytest.mark.parametrize(
        ("model", "name"), [(UsageLogEntry, "created_at"), (AuditEntry, "at")], ids=["usage log", "audit log"]
    )
    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("year", "99999"),
            ("year", "-1"),
            ("month", "x"),
            ("date", "99999-01-01"),
            ("range", "1,2"),
            ("in", "x"),
            ("time", "x"),
            ("iso_year__lt", "99999"),
            ("gt", "0001-01-01 00:00:00+23:59"),
        ],
    )
    def test_filter_by_a_part_of_a_time_is_400(
        self, olivia: Operator, model: type[Any], name: str, kind: str, value: str
    ) -> None:
        assert olivia.client.get(url(model), {f"{name}__{kind}": value}).status_code == 400

    @pytest.mark.parametrize(
        "value", ["99999-01-01", "x", "2026-13-01", "0001-01-01 00:00:00+23:59", "9999-12-31 23:59:59-23:59", "\0"]
    )
    @pytest.mark.parametrize("lookup", ["created_at", "created_at__exact", "created_at__gte", "created_at__lt"])
    def test_filter_by_a_time_that_is_none_shows_the_list(self, olivia: Operator, lookup: str, value: str) -> None:
        response = olivia.client.get(url(UsageLogEntry), {lookup: value})

        assert response["Location"].endswith("?e=1")
        assert olivia.client.get(url(UsageLogEntry) + "?e=1").status_code == 200

    @pytest.mark.filterwarnings("ignore:.* received a naive datetime")
    @pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
    @pytest.mark.parametrize("value", ["0001-01-01", "9999-12-31 23:59:59"])
    def test_filter_by_the_first_or_last_time_works(
        self, olivia: Operator, settings: Any, zone: str, value: str
    ) -> None:
        settings.ADMIN_TIME_ZONE = zone

        assert olivia.client.get(url(UsageLogEntry), {"created_at__lt": value}).status_code == 200

    def test_filters_that_the_page_offers_work(self, olivia: Operator, alice: Person) -> None:
        page = olivia.get(url(AuditEntry))
        offered = [
            choice["query_string"]
            for spec in page.context_data["cl"].filter_specs
            for choice in spec.choices(page.context_data["cl"])
        ]

        assert len(offered) > 10
        assert {olivia.client.get(url(AuditEntry) + query).status_code for query in offered} == {200}

    @pytest.mark.parametrize("query", ["password__startswith=a", "_to_field=password", "a%0Ab__x=1"])
    def test_refused_filter_is_one_line_in_the_log(self, olivia: Operator, query: str) -> None:
        (handler,) = (each for each in logging.getLogger().handlers if each.get_name() == "stderr")
        assert isinstance(handler, logging.StreamHandler)
        stream, before = io.StringIO(), handler.stream
        handler.setStream(stream)
        try:
            response = olivia.client.get(f"{url(User)}?{query}")
        finally:
            handler.setStream(before)

        assert response.status_code == 400
        lines = stream.getvalue().splitlines()
        assert len(lines) == 2, stream.getvalue()
        assert "django.security" in lines[0]
        assert "maim.access" in lines[1]

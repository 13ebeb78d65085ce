"""Series as JSON, for the scripts of the admin's pages. Whoever may not open the admin is sent to its sign-in page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib.admin.utils import unquote
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext

from agents.models import Agent
from apikeys.models import ApiKey
from apikeys.statistics import EVERYTHING, Span, Subject
from dashboard import figures
from dashboard.charts import Chart
from tenants.models import Tenant


class UnknownSpan(Exception):
    """A span that there is not."""


def span_of(request: HttpRequest) -> Span:
    """Return the span that a page's query asks for, by default the last hour. Raise UnknownSpan."""
    try:
        return Span(request.GET.get("span", Span.HOUR.value))
    except ValueError as error:
        raise UnknownSpan from error


def verifications(request: HttpRequest) -> JsonResponse:
    """Respond with the verifications of all tenants."""
    return _respond(request, partial(figures.verifications, EVERYTHING))


def verifications_of_tenant(request: HttpRequest, tenant_id: str) -> JsonResponse:
    """Respond with the verifications of a tenant's keys."""
    tenant = get_object_or_404(Tenant.objects.only("pk"), pk=unquote(tenant_id))
    return _respond(request, partial(figures.verifications, Subject.tenant(tenant.pk)))


def verifications_of_agent(request: HttpRequest, agent_id: str) -> JsonResponse:
    """Respond with the verifications of an agent's keys."""
    agent = get_object_or_404(Agent.unscoped.only("pk", "tenant_id"), pk=unquote(agent_id))
    return _respond(request, partial(figures.verifications, Subject.of(agent)))


def verifications_of_key(request: HttpRequest, key_id: str) -> JsonResponse:
    """Respond with the verifications of a key."""
    key = get_object_or_404(ApiKey.unscoped.only("pk", "tenant_id"), pk=unquote(key_id))
    return _respond(request, partial(figures.verifications, Subject.of(key)))


def verification_times(request: HttpRequest) -> JsonResponse:
    """Respond with how long verifications took, in milliseconds."""
    return _respond(request, figures.verification_times)


def _respond(request: HttpRequest, chart_of: Callable[[Span], Chart]) -> JsonResponse:
    """Respond with the chart of the span that the query asks for; with 400 if there is no such span."""
    try:
        span = span_of(request)
    except UnknownSpan:
        spans = ", ".join(span.value for span in Span)
        return JsonResponse({"error": gettext("span must be one of %(spans)s") % {"spans": spans}}, status=400)
    return JsonResponse(chart_of(span).as_json())

"""Series as JSON, for the scripts of the admin's pages. Whoever may not open the admin is sent to its sign-in page."""

from __future__ import annotations

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, JsonResponse
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
    return _respond(request, EVERYTHING)


def verifications_of_tenant(request: HttpRequest, tenant_id: str) -> JsonResponse:
    """Respond with the verifications of a tenant's keys."""
    tenant = Tenant.objects.filter(pk=unquote(tenant_id)).only("pk").first()
    return _respond(request, None if tenant is None else Subject.tenant(tenant.pk))


def verifications_of_agent(request: HttpRequest, agent_id: str) -> JsonResponse:
    """Respond with the verifications of an agent's keys."""
    agent = Agent.unscoped.filter(pk=unquote(agent_id)).only("pk", "tenant_id").first()
    return _respond(request, None if agent is None else Subject.of(agent))


def verifications_of_key(request: HttpRequest, key_id: str) -> JsonResponse:
    """Respond with the verifications of a key."""
    key = ApiKey.unscoped.filter(pk=unquote(key_id)).only("pk", "tenant_id").first()
    return _respond(request, None if key is None else Subject.of(key))


def verification_times(request: HttpRequest) -> JsonResponse:
    """Respond with how long verifications took, in milliseconds."""
    try:
        return _json(figures.verification_times(span_of(request)))
    except UnknownSpan:
        return _unknown_span()


def _respond(request: HttpRequest, subject: Subject | None) -> JsonResponse:
    if subject is None:
        raise Http404
    try:
        return _json(figures.verifications(subject, span_of(request)))
    except UnknownSpan:
        return _unknown_span()


def _json(chart: Chart) -> JsonResponse:
    return JsonResponse(chart.as_json())


def _unknown_span() -> JsonResponse:
    spans = ", ".join(span.value for span in Span)
    return JsonResponse({"error": gettext("span must be one of %(spans)s") % {"spans": spans}}, status=400)

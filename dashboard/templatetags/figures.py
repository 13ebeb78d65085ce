"""Template tags that load the figures of a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import template
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse

from agents.models import Agent
from apikeys.models import ApiKey
from apikeys.statistics import Span
from dashboard import charts, figures
from dashboard.views import UnknownSpan, span_of
from tenants.models import Tenant

register = template.Library()


@register.simple_tag(takes_context=True)
def overview_figures(context: template.Context) -> figures.Overview:
    """Return the figures of the dashboard."""
    return figures.overview(_span(context["request"]))


@register.simple_tag(takes_context=True)
def figures_of(context: template.Context, row: Tenant | Agent | ApiKey) -> Any:
    """Return the figures on the page of a tenant, an agent or a key."""
    return _FIGURES[type(row)](row, _span(context["request"]))


@register.simple_tag
def series_url(row: Tenant | Agent | ApiKey | None = None) -> str:
    """Return the URL of the verifications of a tenant, an agent or a key as JSON, or of all tenants."""
    if row is None:
        return reverse("admin_figures:verifications")
    return reverse(f"admin_figures:{_URL_NAMES[type(row)]}", args=[quote(row.pk)])


@register.simple_tag
def spans() -> list[tuple[str, str]]:
    """Return the spans that a page may show, with their names."""
    return [(span.value, str(charts.SPAN_NAMES[span])) for span in Span]


_FIGURES: dict[type[Any], Callable[[Any, Span], Any]] = {
    Tenant: figures.of_tenant,
    Agent: figures.of_agent,
    ApiKey: figures.of_key,
}
_URL_NAMES = {Tenant: "of_tenant", Agent: "of_agent", ApiKey: "of_key"}


def _span(request: HttpRequest) -> Span:
    """Return the span that the page's query asks for, or the last hour."""
    try:
        return span_of(request)
    except UnknownSpan:
        return Span.HOUR

"""The admin's pages about an agent's config: its values and their layers, and its versions compared and restored."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonpatch
import orjson
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from jsonpointer import resolve_pointer

from agent_config.patches import masked_patch
from agent_config.secrets import masked
from agents.effective_config import explain_effective_config
from agents.models import Agent
from agents.services import config_versions
from core.admin_base import actor_of
from core.admin_fields import pretty
from core.errors import DomainError

# The versions that the page lists; the list of all has the others.
_VERSIONS = 20


class Leaf(NamedTuple):
    """A value of the effective config, and the layer that it comes from."""

    pointer: str
    value: str
    layer: str


class Difference(NamedTuple):
    """A value that two versions have differently; None where a version has none."""

    pointer: str
    before: str | None
    after: str | None


def may_restore(request: HttpRequest) -> bool:
    """Return whether the operator may make a version the current config again."""
    return request.user.has_perm("agents.restore_configversion")


def config_view(request: HttpRequest, site: AdminSite, agent: Agent) -> HttpResponse:
    """Show the effective config with the layer of each value, and the newest versions."""
    explained = explain_effective_config(agent.pk)
    document = orjson.loads(explained.resolved.document)
    context = {
        "leaves": list(_leaves(document["config"], explained.sources)),
        "warnings": document["warnings"],
        "versions": list(config_versions.versions_of(agent)[:_VERSIONS]),
    }
    context |= _common(request, site, agent)
    return TemplateResponse(request, "agents/admin/config.html", {**context, "title": gettext("Config")})


def comparison_view(request: HttpRequest, site: AdminSite, agent: Agent, first: int, second: int) -> HttpResponse:
    """Show side by side what differs between two versions. Raise VersionNotFound."""
    before, after = (config_versions.get_version(agent, number).config for number in (first, second))
    context = {
        "first": first,
        "second": second,
        "differences": list(_differences(before, after)),
        "may_restore": may_restore(request),
    }
    context |= _common(request, site, agent)
    return TemplateResponse(request, "agents/admin/comparison.html", {**context, "title": gettext("Compare versions")})


def restore(request: HttpRequest, agent: Agent, number: int) -> HttpResponse:
    """Make a version the current config again, and go back to the page of the config."""
    try:
        restored = config_versions.restore(actor=actor_of(request), agent=agent, version=number)
    except DomainError as error:
        messages.error(request, str(error.detail))
    else:
        said = gettext("The config is as in version %(number)d again; that is version %(current)d.")
        messages.success(request, said % {"number": number, "current": restored.config_version})
    return HttpResponseRedirect(reverse("admin:agents_agent_config", args=[quote(agent.pk)]))


def _common(request: HttpRequest, site: AdminSite, agent: Agent) -> dict[str, Any]:
    return {**site.each_context(request), "opts": Agent._meta, "original": agent}


def _leaves(config: dict[str, Any], sources: dict[str, str]) -> Iterator[Leaf]:
    for pointer, layer in sorted(sources.items()):
        yield Leaf(pointer, pretty(resolve_pointer(config, pointer, None)), layer)


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    """Return the differences in the order of the patch, whose operations are each about the result of those before."""
    state = copy.deepcopy(masked(before))
    for operation in masked_patch(before, after):
        pointer = operation["path"]
        old = None if operation["op"] == "add" else pretty(resolve_pointer(state, pointer, None))
        new = None if operation["op"] == "remove" else pretty(operation["value"])
        yield Difference(pointer, old, new)
        state = jsonpatch.apply_patch(state, [operation], in_place=True)

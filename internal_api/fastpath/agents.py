"""What bots read again and again, answered below Django: an agent, its config, and its effective config.

As with the bots' questions (internal_api.fastpath.keys), plain requests are answered in the words of the views,
those that come together with one query for all of them; everything else is left to Django. Nothing is
answered from memory alone: a reading is as true as the database.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from django.utils import translation
from django.utils.translation import gettext as _

from agent_config.schema import ConfigWarning
from agent_config.secrets import masked
from agents import effective_config
from agents.config_warnings import StoredConfig, get_warnings
from agents.effective_config import ConfigState
from agents.errors import AgentNotFound
from agents.models import Agent
from agents.serializers.agents import internal_agent, with_warnings
from core.db import DATABASE_ERRORS, from_primary
from core.errors import DomainError, Unavailable
from core.http import conditional, metrics, request_id
from core.http.request_context import RequestContext
from core.http.responses import ENVELOPE_LANGUAGE, envelope
from internal_api.fastpath import responses
from internal_api.fastpath.keys import Headers, is_plain
from internal_api.fastpath.responses import Reply

_PATH = re.compile(r"/api/v2/agents/(?!import/?$)(?P<id>[A-Za-z0-9_.-]{1,50})(?P<part>/config(/effective)?)?/?")

CONFIG, EFFECTIVE = "/config", "/config/effective"


class Reading(NamedTuple):
    """A plain request to read an agent, or a part of it: `/config` or `/config/effective`."""

    agent_id: str
    part: str | None
    if_none_match: str | None
    port: str
    scope: RequestContext

    def unanswered(self) -> Reply:
        """The reply when nobody has answered in time."""
        return responses.refusal(self.scope, Unavailable())

    def tally(self, reply: Reply) -> None:
        """Counts the reply that is sent."""
        route = f"api/v2/agents/<str:agent_id>{self.part or ''}"
        seconds = time.perf_counter() - self.scope.started
        metrics.answered_below_django(self.port, "GET", route, reply.status, seconds)


def reading(method: str, path: str, query: str, port: str, header: Headers) -> Reading | None:
    """A request read as a plain reading; None where it is none, and Django is to answer."""
    if method != "GET" or query or (match := _PATH.fullmatch(path)) is None:
        return None
    if _has_content(header) or not is_plain(header):
        return None
    scope = RequestContext(time.perf_counter(), request_id.choose(header("x-request-id")), address="")
    return Reading(match["id"], match["part"], header("if-none-match"), port, scope)


def _has_content(header: Headers) -> bool:
    """Return whether a body is announced, which Django refuses if it is too large."""
    return header("content-length") not in (None, "0") or header("transfer-encoding") is not None


def answered(readings: Sequence[Reading]) -> list[Reply]:
    """The replies, with one query for all readings of a kind, and one for each effective config not yet remembered."""
    try:
        agents = from_primary(_agents)([each.agent_id for each in readings if each.part != EFFECTIVE])
        heads = from_primary(effective_config.get_states)(
            [each.agent_id for each in readings if _needs_head(each, agents)]
        )
    except DATABASE_ERRORS:
        return [each.unanswered() for each in readings]
    with translation.override(ENVELOPE_LANGUAGE):
        return [_answered(each, heads, agents) for each in readings]


def _needs_head(each: Reading, agents: Mapping[str, Agent]) -> bool:
    """Return whether the answer depends on the layers below an agent: its warnings do, where they are answered."""
    if each.part is not None:
        return each.part == EFFECTIVE
    agent = agents.get(each.agent_id)
    return agent is not None and not conditional.matches(each.if_none_match, str(agent.revision))


def _agents(agent_ids: Sequence[str]) -> dict[str, Agent]:
    return {agent.id: agent for agent in Agent.unscoped.filter(pk__in=agent_ids)} if agent_ids else {}


def _answered(each: Reading, heads: Mapping[str, ConfigState], agents: Mapping[str, Agent]) -> Reply:
    try:
        if each.part == EFFECTIVE:
            return _effective(each, heads)
        return _config(each, agents) if each.part == CONFIG else _agent(each, agents, heads)
    except DATABASE_ERRORS:
        return each.unanswered()
    except DomainError as error:
        return responses.refusal(each.scope, error)
    except Exception:  # noqa: BLE001  # the outermost frame here, as Django's handler is of a view
        return responses.fault(each.scope)


def _effective(each: Reading, heads: Mapping[str, ConfigState]) -> Reply:
    head = heads.get(each.agent_id)
    if head is None:
        raise AgentNotFound
    if conditional.matches(each.if_none_match, head.etag):
        return _not_modified(each, head.etag)
    found = from_primary(effective_config.get_effective_config)(head)
    return _shown(each, orjson.Fragment(found.document), _("Effective config found"), head.tenant_id, found.etag)


def _config(each: Reading, agents: Mapping[str, Agent]) -> Reply:
    agent = _found(each, agents)
    etag = str(agent.config_version)
    if conditional.matches(each.if_none_match, etag):
        return _not_modified(each, etag)
    return _shown(each, masked(agent.config), _("Agent config found"), agent.tenant_id, etag)


def _agent(each: Reading, agents: Mapping[str, Agent], heads: Mapping[str, ConfigState]) -> Reply:
    agent = _found(each, agents)
    etag = str(agent.revision)
    if conditional.matches(each.if_none_match, etag):
        return _not_modified(each, etag)
    shown = with_warnings(internal_agent(agent), from_primary(_warnings)(agent, heads))
    return _shown(each, shown, _("Agent found"), agent.tenant_id, etag)


def _warnings(agent: Agent, heads: Mapping[str, ConfigState]) -> Sequence[ConfigWarning]:
    """Return what looks odd in the config of an agent; nothing of one that was deleted since it was read."""
    head = heads.get(agent.id)
    return [] if head is None else get_warnings(StoredConfig(head, agent.revision, agent.config))


def _found(each: Reading, agents: Mapping[str, Agent]) -> Agent:
    agent = agents.get(each.agent_id)
    if agent is None:
        raise AgentNotFound
    return agent


def _shown(each: Reading, data: Any, message: str, tenant_id: str, etag: str) -> Reply:
    document = envelope(each.scope, success=True, message=message, data=data, tenant_id=tenant_id)
    return responses.written(each.scope, 200, document, {"ETag": conditional.quoted(etag)})


def _not_modified(each: Reading, etag: str) -> Reply:
    return Reply(304, [("ETag", conditional.quoted(etag)), ("X-Request-ID", each.scope.request_id)], b"")

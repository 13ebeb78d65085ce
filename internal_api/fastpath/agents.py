"""Handlers of the reads that bots repeat: an agent, its config, and its effective config.

Nothing is answered from memory alone, so a response is as current as the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

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
from core.errors import DomainError
from core.http import conditional
from core.http.responses import ENVELOPE_LANGUAGE, envelope
from internal_api.fastpath.base import Handler, Request
from internal_api.fastpath.replies import NOSNIFF, Reply, error_reply, fault_reply, json_reply

_PATH = re.compile(r"/api/v2/agents/(?!import/?$)(?P<id>[A-Za-z0-9_.-]{1,50})(?P<part>/config(/effective)?)?/?")

CONFIG, EFFECTIVE = "/config", "/config/effective"


def match_agent_request(request: Request) -> AgentHandler | None:
    """Return the handler of a plain request for an agent or a part of it, else None."""
    if request.method != "GET" or request.query or (match := _PATH.fullmatch(request.path)) is None:
        return None
    if _has_body(request) or not request.is_plain():
        return None
    return AgentHandler(request, match["id"], match["part"])


def _has_body(request: Request) -> bool:
    """Return whether a body is announced, which Django refuses if it is too large."""
    return request.header("content-length") not in (None, "0") or request.header("transfer-encoding") is not None


class AgentHandler(Handler):
    """A request for an agent, or for a part of it: `/config` or `/config/effective`."""

    __slots__ = ("_agent_id", "_if_none_match", "_part")
    method = "GET"

    def __init__(self, request: Request, agent_id: str, part: str | None) -> None:
        super().__init__(request, f"api/v2/agents/<str:agent_id>{part or ''}")
        self._agent_id, self._part = agent_id, part
        self._if_none_match = request.header("if-none-match")

    @classmethod
    def reply_all(cls, handlers: Sequence[Self]) -> list[Reply]:
        """Reply with one query for all parts of a kind, and one for each effective config that is not cached."""
        try:
            agents = from_primary(_agents)([each._agent_id for each in handlers if each._part != EFFECTIVE])
            states = from_primary(effective_config.get_states)(
                [each._agent_id for each in handlers if each._needs_state(agents)]
            )
        except DATABASE_ERRORS:
            return [each.timeout_reply() for each in handlers]
        except Exception:  # noqa: BLE001  # the outermost frame, like Django's handler around a view
            if len(handlers) == 1:
                return [fault_reply(handlers[0].context)]
            # One row that cannot be read must not fail the other requests of the batch.
            return [reply for each in handlers for reply in cls.reply_all([each])]
        with translation.override(ENVELOPE_LANGUAGE):
            return [each._reply(states, agents) for each in handlers]

    def _needs_state(self, agents: Mapping[str, Agent]) -> bool:
        """Return whether the reply depends on the layers below the agent, as the warnings about its config do."""
        if self._part is not None:
            return self._part == EFFECTIVE
        agent = agents.get(self._agent_id)
        return agent is not None and not conditional.matches(self._if_none_match, str(agent.revision))

    def _reply(self, states: Mapping[str, ConfigState], agents: Mapping[str, Agent]) -> Reply:
        try:
            if self._part == EFFECTIVE:
                return self._effective_config(states.get(self._agent_id))
            agent = agents.get(self._agent_id)
            return self._config(agent) if self._part == CONFIG else self._agent(agent, states)
        except DATABASE_ERRORS:
            return self.timeout_reply()
        except DomainError as error:
            return error_reply(self.context, error)
        except Exception:  # noqa: BLE001  # the outermost frame, like Django's handler around a view
            return fault_reply(self.context)

    def _effective_config(self, state: ConfigState | None) -> Reply:
        if state is None:
            raise AgentNotFound
        if conditional.matches(self._if_none_match, state.etag):
            return self._not_modified(state.etag)
        found = from_primary(effective_config.get_effective_config)(state)
        return self._ok(orjson.Fragment(found.document), _("Effective config found"), state.tenant_id, found.etag)

    def _config(self, agent: Agent | None) -> Reply:
        if agent is None:
            raise AgentNotFound
        etag = str(agent.config_version)
        if conditional.matches(self._if_none_match, etag):
            return self._not_modified(etag)
        return self._ok(masked(agent.config), _("Agent config found"), agent.tenant_id, etag)

    def _agent(self, agent: Agent | None, states: Mapping[str, ConfigState]) -> Reply:
        if agent is None:
            raise AgentNotFound
        etag = str(agent.revision)
        if conditional.matches(self._if_none_match, etag):
            return self._not_modified(etag)
        warnings = from_primary(_warnings)(agent, states)
        return self._ok(
            with_warnings(internal_agent(agent, masked(agent.config)), warnings),
            _("Agent found"),
            agent.tenant_id,
            etag,
        )

    def _ok(self, data: Any, message: str, tenant_id: str, etag: str) -> Reply:
        document = envelope(self.context, success=True, message=message, data=data, tenant_id=tenant_id)
        return json_reply(self.context, 200, document, {"ETag": conditional.quoted(etag)})

    def _not_modified(self, etag: str) -> Reply:
        headers = [("ETag", conditional.quoted(etag)), ("X-Request-ID", self.context.request_id), NOSNIFF]
        return Reply(304, headers, b"")


def _agents(agent_ids: Sequence[str]) -> dict[str, Agent]:
    return {agent.id: agent for agent in Agent.unscoped.filter(pk__in=agent_ids)} if agent_ids else {}


def _warnings(agent: Agent, states: Mapping[str, ConfigState]) -> Sequence[ConfigWarning]:
    """Return what looks odd in the config of an agent; nothing if it was deleted since it was read."""
    state = states.get(agent.id)
    return [] if state is None else get_warnings(StoredConfig(state, agent.revision, lambda: agent.config))

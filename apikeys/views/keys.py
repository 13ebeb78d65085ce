"""API keys: v1's under their agent, and in v2's envelope behind either door."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from agents.errors import AgentNotFound
from apikeys import queries, services
from apikeys.access import get_key, get_secret, keys_for
from apikeys.errors import KeyNotFound
from apikeys.keyformat import MalformedKey
from apikeys.serializers.keys import (
    AgentKeyAnswer,
    AgentKeyBody,
    AgentKeyListQuery,
    DeletedKey,
    KeyAnswer,
    KeyBody,
    KeyChanges,
    KeyPage,
    KeyPageQuery,
    KeySearchBody,
    RotationBody,
    with_secret,
)
from core.errors import Text
from core.http.openapi import operation
from core.http.pagination import bare_list, key_page
from core.http.views import BaseView, EnvelopeView, PlainView
from tenants.access import Need, get_tenant

_NO_STORE = "no-store"  # for the answers that show a secret


class KeyView(BaseView):
    def shown_once(self, data: Any, *, message: Text, tenant_id: str | None = None) -> Response:
        """Respond with a key that shows its secret."""
        response = self.reply_revised(data, message=message, tenant_id=tenant_id)
        response["Cache-Control"] = _NO_STORE
        return response


class AgentKeys(KeyView, PlainView):
    @operation(
        "List an agent's keys",
        tag="api keys",
        query=AgentKeyListQuery,
        answer=AgentKeyAnswer(many=True),
        total_count=True,
        refusals=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        query = self.query(AgentKeyListQuery)
        agent = get_agent(self.actor, agent_id, Need.READ)
        part = {name: query.pop(name) for name in ("skip", "limit", "after") if name in query}
        rows = queries.matching(keys_for(self.actor), agent_id=agent.id, **query)
        return bare_list(rows, AgentKeyAnswer, **part)

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=AgentKeyBody,
        answer=AgentKeyAnswer,
        refusals=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.MANAGE)
        body = self.body(AgentKeyBody)

        def issue() -> Any:
            return with_secret(AgentKeyAnswer, services.issue_key(actor=self.actor, agent=agent, **body))

        return self.shown_once(self.once(issue), message=_("API key issued"))


class AgentKeyResource(PlainView):
    @operation("Read a key", tag="api keys", answer=AgentKeyAnswer, refusals=(404,), revised=True)
    def get(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.READ, agent_id=agent_id)
        return self.reply_revised(AgentKeyAnswer(key).data, message=_("API key found"))

    @operation(
        "Change a key: only the keys sent",
        tag="api keys",
        request=KeyChanges,
        answer=AgentKeyAnswer,
        refusals=(404, 409, 412),
        revised=True,
    )
    def put(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE, agent_id=agent_id)
        key = services.update_key(actor=self.actor, key=key, changes=self.body(KeyChanges), expected=self.if_match)
        return self.reply_revised(AgentKeyAnswer(key).data, message=_("API key changed"))

    patch = put

    @operation("Delete a key", tag="api keys", answer=None, status=204, refusals=(404, 409, 412))
    def delete(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE, agent_id=agent_id)
        services.delete_key(actor=self.actor, key=key, expected=self.if_match)
        return Response(status=204)


class AgentKeyRotation(KeyView, PlainView):
    @operation(
        "Rotate a key; its new secret is shown this once",
        tag="api keys",
        request=RotationBody,
        answer=AgentKeyAnswer,
        refusals=(404, 409, 412),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE, agent_id=agent_id)
        body, expected = self.body(RotationBody), self.if_match

        def rotate() -> Any:
            return with_secret(
                AgentKeyAnswer, services.rotate_key(actor=self.actor, key=key, expected=expected, **body)
            )

        return self.shown_once(self.once(rotate), message=_("API key rotated"))


class KeyCollection(KeyView, EnvelopeView):
    @operation("List a tenant's keys", tag="api keys", query=KeyPageQuery, answer=KeyPage, refusals=(404,))
    def get(self, request: Request) -> Response:
        query = self.query(KeyPageQuery)
        part = {name: query.pop(name) for name in ("page", "page_size", "after") if name in query}
        tenant = get_tenant(self.actor, query.pop("tenant_id"), Need.READ)
        rows = queries.matching(keys_for(self.actor), tenant_id=tenant.id, **query)
        found = key_page(rows, KeyAnswer, **part)
        return self.reply(found, message=_("API keys listed"), tenant_id=tenant.id)

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=KeyBody,
        answer=KeyAnswer,
        refusals=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request) -> Response:
        body = self.body(KeyBody)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Need.MANAGE)
        agent = get_agent(self.actor, body.pop("agent_id"), Need.MANAGE)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound

        def issue() -> Any:
            return with_secret(KeyAnswer, services.issue_key(actor=self.actor, agent=agent, **body))

        return self.shown_once(self.once(issue), message=_("API key issued"), tenant_id=tenant.id)


class KeySearch(EnvelopeView):
    @operation(
        "Find the key that a secret belongs to, or did before a rotation",
        tag="api keys",
        request=KeySearchBody,
        answer=KeyAnswer,
        refusals=(404,),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        try:
            key = get_secret(self.actor, self.body(KeySearchBody)["api_key"], Need.READ).key
        except MalformedKey as error:
            raise KeyNotFound from error
        return self.reply_revised(KeyAnswer(key).data, message=_("API key found"), tenant_id=key.tenant_id)


class KeyResource(EnvelopeView):
    @operation("Read a key", tag="api keys", answer=KeyAnswer, refusals=(404,), revised=True)
    def get(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.READ)
        return self.reply_revised(KeyAnswer(key).data, message=_("API key found"), tenant_id=key.tenant_id)

    @operation(
        "Change a key",
        tag="api keys",
        request=KeyChanges,
        answer=KeyAnswer,
        refusals=(404, 409, 412),
        revised=True,
    )
    def put(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        key = services.update_key(actor=self.actor, key=key, changes=self.body(KeyChanges), expected=self.if_match)
        return self.reply_revised(KeyAnswer(key).data, message=_("API key changed"), tenant_id=key.tenant_id)

    @operation("Delete a key", tag="api keys", answer=DeletedKey, refusals=(404, 409, 412))
    def delete(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        services.delete_key(actor=self.actor, key=key, expected=self.if_match)
        return self.reply({"api_key_id": key_id}, message=_("API key deleted"), tenant_id=key.tenant_id)


class DisableKey(EnvelopeView):
    @operation("Disable a key", tag="api keys", answer=KeyAnswer, refusals=(404, 409, 412), revised=True)
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        key = services.disable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.reply_revised(KeyAnswer(key).data, message=_("API key disabled"), tenant_id=key.tenant_id)


class EnableKey(EnvelopeView):
    @operation("Enable a key", tag="api keys", answer=KeyAnswer, refusals=(404, 409, 412), revised=True)
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        key = services.enable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.reply_revised(KeyAnswer(key).data, message=_("API key enabled"), tenant_id=key.tenant_id)


class RotateKey(KeyView, EnvelopeView):
    @operation(
        "Rotate a key; its new secret is shown this once",
        tag="api keys",
        request=RotationBody,
        answer=KeyAnswer,
        refusals=(404, 409, 412),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        body, expected = self.body(RotationBody), self.if_match

        def rotate() -> Any:
            return with_secret(KeyAnswer, services.rotate_key(actor=self.actor, key=key, expected=expected, **body))

        return self.shown_once(self.once(rotate), message=_("API key rotated"), tenant_id=key.tenant_id)

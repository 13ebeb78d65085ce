"""API keys: v1's under their agent, and in v2's envelope behind either door."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent
from agents.errors import AgentNotFound
from apikeys import queries, services
from apikeys.access import get_key, keys_for
from apikeys.serializers import (
    AgentKeyAnswer,
    AgentKeyBody,
    AgentKeyListQuery,
    DeletedKey,
    KeyAnswer,
    KeyBody,
    KeyChanges,
    KeyPage,
    KeyPageQuery,
    with_secret,
)
from maim.http.openapi import operation
from maim.http.pages import bare_list, key_page
from maim.http.views import EnvelopeView, PlainView
from tenants.access import Need, get_tenant


class AgentKeys(PlainView):
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
        rows = queries.matching(keys_for(self.actor), agent_id=agent.id, status=query.get("status"), q=query.get("q"))
        return bare_list(rows, AgentKeyAnswer, skip=query["skip"], limit=query["limit"])

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=AgentKeyBody,
        answer=AgentKeyAnswer,
        refusals=(404, 409),
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Need.MANAGE)
        issued = services.issue_key(actor=self.actor, agent=agent, **self.body(AgentKeyBody))
        return Response(with_secret(AgentKeyAnswer, issued), headers={"Cache-Control": "no-store"})


class AgentKeyResource(PlainView):
    @operation("Read a key", tag="api keys", answer=AgentKeyAnswer, refusals=(404,))
    def get(self, request: Request, agent_id: str, key_id: str) -> Response:
        return Response(AgentKeyAnswer(get_key(self.actor, key_id, Need.READ, agent_id=agent_id)).data)

    @operation(
        "Change a key: only the keys sent",
        tag="api keys",
        request=KeyChanges,
        answer=AgentKeyAnswer,
        refusals=(404, 409),
    )
    def put(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE, agent_id=agent_id)
        return Response(
            AgentKeyAnswer(services.update_key(actor=self.actor, key=key, changes=self.body(KeyChanges))).data
        )

    patch = put

    @operation("Delete a key", tag="api keys", answer=None, status=204, refusals=(404, 409))
    def delete(self, request: Request, agent_id: str, key_id: str) -> Response:
        services.delete_key(actor=self.actor, key=get_key(self.actor, key_id, Need.MANAGE, agent_id=agent_id))
        return Response(status=204)


class KeyCollection(EnvelopeView):
    @operation("List a tenant's keys", tag="api keys", query=KeyPageQuery, answer=KeyPage, refusals=(404,))
    def get(self, request: Request) -> Response:
        query = self.query(KeyPageQuery)
        tenant = get_tenant(self.actor, query["tenant_id"], Need.READ)
        rows = queries.matching(
            keys_for(self.actor), tenant_id=tenant.id, agent_id=query.get("agent_id"), status=query.get("status")
        )
        found = key_page(rows, KeyAnswer, page=query["page"], page_size=query["page_size"])
        return self.answer(found, message=_("API keys listed"), tenant_id=tenant.id)

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=KeyBody,
        answer=KeyAnswer,
        refusals=(404, 409),
    )
    def post(self, request: Request) -> Response:
        body = self.body(KeyBody)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Need.MANAGE)
        agent = get_agent(self.actor, body.pop("agent_id"), Need.MANAGE)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound
        issued = services.issue_key(actor=self.actor, agent=agent, **body)
        response = self.answer(with_secret(KeyAnswer, issued), message=_("API key issued"), tenant_id=tenant.id)
        response["Cache-Control"] = "no-store"
        return response


class KeyResource(EnvelopeView):
    @operation("Read a key", tag="api keys", answer=KeyAnswer, refusals=(404,))
    def get(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.READ)
        return self.answer(KeyAnswer(key).data, message=_("API key found"), tenant_id=key.tenant_id)

    @operation("Change a key", tag="api keys", request=KeyChanges, answer=KeyAnswer, refusals=(404, 409))
    def put(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        key = services.update_key(actor=self.actor, key=key, changes=self.body(KeyChanges))
        return self.answer(KeyAnswer(key).data, message=_("API key changed"), tenant_id=key.tenant_id)

    @operation("Delete a key", tag="api keys", answer=DeletedKey, refusals=(404, 409))
    def delete(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Need.MANAGE)
        services.delete_key(actor=self.actor, key=key)
        return self.answer({"api_key_id": key_id}, message=_("API key deleted"), tenant_id=key.tenant_id)


class DisableKey(EnvelopeView):
    @operation("Disable a key", tag="api keys", answer=KeyAnswer, refusals=(404, 409))
    def post(self, request: Request, key_id: str) -> Response:
        key = services.disable_key(actor=self.actor, key=get_key(self.actor, key_id, Need.MANAGE))
        return self.answer(KeyAnswer(key).data, message=_("API key disabled"), tenant_id=key.tenant_id)


class EnableKey(EnvelopeView):
    @operation("Enable a key", tag="api keys", answer=KeyAnswer, refusals=(404, 409))
    def post(self, request: Request, key_id: str) -> Response:
        key = services.enable_key(actor=self.actor, key=get_key(self.actor, key_id, Need.MANAGE))
        return self.answer(KeyAnswer(key).data, message=_("API key enabled"), tenant_id=key.tenant_id)

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
    AgentKeyCreateRequest,
    AgentKeyListQuerySerializer,
    AgentKeyResponse,
    DeletedKey,
    KeyCreateRequest,
    KeyPage,
    KeyPageQuerySerializer,
    KeyResponse,
    KeySearchRequest,
    KeyUpdateRequest,
    RotationRequest,
    with_secret,
)
from core.errors import Text
from core.http.openapi import operation
from core.http.pagination import bare_list, key_page
from core.http.views import BaseView, V1View, V2View
from tenants.access import Access, get_tenant

_NO_STORE = "no-store"  # for the answers that show a secret


class KeyView(BaseView):
    def shown_once(self, data: Any, *, message: Text, tenant_id: str | None = None) -> Response:
        """Respond with a key that shows its secret."""
        response = self.respond_revised(data, message=message, tenant_id=tenant_id)
        response["Cache-Control"] = _NO_STORE
        return response


class AgentKeys(KeyView, V1View):
    @operation(
        "List an agent's keys",
        tag="api keys",
        query=AgentKeyListQuerySerializer,
        response=AgentKeyResponse(many=True),
        total_count=True,
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        query = self.validated_query(AgentKeyListQuerySerializer)
        agent = get_agent(self.actor, agent_id, Access.READ)
        part = {name: query.pop(name) for name in ("skip", "limit", "after") if name in query}
        rows = queries.filter_keys(keys_for(self.actor), agent_id=agent.id, **query)
        return bare_list(rows, AgentKeyResponse, **part)

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=AgentKeyCreateRequest,
        response=AgentKeyResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.MANAGE)
        body = self.validated_data(AgentKeyCreateRequest)

        def issue() -> Any:
            return with_secret(AgentKeyResponse, services.issue_key(actor=self.actor, agent=agent, **body))

        return self.shown_once(self.run_idempotent(issue), message=_("API key issued"))


class AgentKeyResource(V1View):
    @operation("Read a key", tag="api keys", response=AgentKeyResponse, errors=(404,), revised=True)
    def get(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.READ, agent_id=agent_id)
        return self.respond_revised(AgentKeyResponse(key).data, message=_("API key found"))

    @operation(
        "Change a key: only the keys sent",
        tag="api keys",
        request=KeyUpdateRequest,
        response=AgentKeyResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def put(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE, agent_id=agent_id)
        key = services.update_key(
            actor=self.actor, key=key, changes=self.validated_data(KeyUpdateRequest), expected=self.if_match
        )
        return self.respond_revised(AgentKeyResponse(key).data, message=_("API key changed"))

    patch = put

    @operation("Delete a key", tag="api keys", response=None, status=204, errors=(404, 409, 412))
    def delete(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE, agent_id=agent_id)
        services.delete_key(actor=self.actor, key=key, expected=self.if_match)
        return Response(status=204)


class AgentKeyRotation(KeyView, V1View):
    @operation(
        "Rotate a key; its new secret is shown this once",
        tag="api keys",
        request=RotationRequest,
        response=AgentKeyResponse,
        errors=(404, 409, 412),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE, agent_id=agent_id)
        body, expected = self.validated_data(RotationRequest), self.if_match

        def rotate() -> Any:
            return with_secret(
                AgentKeyResponse, services.rotate_key(actor=self.actor, key=key, expected=expected, **body)
            )

        return self.shown_once(self.run_idempotent(rotate), message=_("API key rotated"))


class KeyCollection(KeyView, V2View):
    @operation("List a tenant's keys", tag="api keys", query=KeyPageQuerySerializer, response=KeyPage, errors=(404,))
    def get(self, request: Request) -> Response:
        query = self.validated_query(KeyPageQuerySerializer)
        part = {name: query.pop(name) for name in ("page", "page_size", "after") if name in query}
        tenant = get_tenant(self.actor, query.pop("tenant_id"), Access.READ)
        rows = queries.filter_keys(keys_for(self.actor), tenant_id=tenant.id, **query)
        found = key_page(rows, KeyResponse, **part)
        return self.respond(found, message=_("API keys listed"), tenant_id=tenant.id)

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        request=KeyCreateRequest,
        response=KeyResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(KeyCreateRequest)
        tenant = get_tenant(self.actor, body.pop("tenant_id"), Access.MANAGE)
        agent = get_agent(self.actor, body.pop("agent_id"), Access.MANAGE)
        if agent.tenant_id != tenant.id:
            raise AgentNotFound

        def issue() -> Any:
            return with_secret(KeyResponse, services.issue_key(actor=self.actor, agent=agent, **body))

        return self.shown_once(self.run_idempotent(issue), message=_("API key issued"), tenant_id=tenant.id)


class KeySearch(V2View):
    @operation(
        "Find the key that a secret belongs to, or did before a rotation",
        tag="api keys",
        request=KeySearchRequest,
        response=KeyResponse,
        errors=(404,),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        try:
            key = get_secret(self.actor, self.validated_data(KeySearchRequest)["api_key"], Access.READ).key
        except MalformedKey as error:
            raise KeyNotFound from error
        return self.respond_revised(KeyResponse(key).data, message=_("API key found"), tenant_id=key.tenant_id)


class KeyResource(V2View):
    @operation("Read a key", tag="api keys", response=KeyResponse, errors=(404,), revised=True)
    def get(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.READ)
        return self.respond_revised(KeyResponse(key).data, message=_("API key found"), tenant_id=key.tenant_id)

    @operation(
        "Change a key",
        tag="api keys",
        request=KeyUpdateRequest,
        response=KeyResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def put(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE)
        key = services.update_key(
            actor=self.actor, key=key, changes=self.validated_data(KeyUpdateRequest), expected=self.if_match
        )
        return self.respond_revised(KeyResponse(key).data, message=_("API key changed"), tenant_id=key.tenant_id)

    @operation("Delete a key", tag="api keys", response=DeletedKey, errors=(404, 409, 412))
    def delete(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE)
        services.delete_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond({"api_key_id": key_id}, message=_("API key deleted"), tenant_id=key.tenant_id)


class DisableKey(V2View):
    @operation("Disable a key", tag="api keys", response=KeyResponse, errors=(404, 409, 412), revised=True)
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE)
        key = services.disable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond_revised(KeyResponse(key).data, message=_("API key disabled"), tenant_id=key.tenant_id)


class EnableKey(V2View):
    @operation("Enable a key", tag="api keys", response=KeyResponse, errors=(404, 409, 412), revised=True)
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE)
        key = services.enable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond_revised(KeyResponse(key).data, message=_("API key enabled"), tenant_id=key.tenant_id)


class RotateKey(KeyView, V2View):
    @operation(
        "Rotate a key; its new secret is shown this once",
        tag="api keys",
        request=RotationRequest,
        response=KeyResponse,
        errors=(404, 409, 412),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE)
        body, expected = self.validated_data(RotationRequest), self.if_match

        def rotate() -> Any:
            return with_secret(KeyResponse, services.rotate_key(actor=self.actor, key=key, expected=expected, **body))

        return self.shown_once(self.run_idempotent(rotate), message=_("API key rotated"), tenant_id=key.tenant_id)

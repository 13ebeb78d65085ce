"""Views of API keys: v1's under their agent, and those in v2's shape, which both surfaces have."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents.access import get_agent, get_agent_in
from agents.models import Agent
from apikeys import services
from apikeys.access import find_keys, get_key, get_secret
from apikeys.errors import KeyNotFound
from apikeys.keyformat import MalformedKey
from apikeys.models import ApiKey, KeyStatus
from apikeys.queries import KeyList
from apikeys.serializers.keys import (
    AgentKeyCreateRequest,
    AgentKeyListQuerySerializer,
    AgentKeyResponse,
    BaseKeyResponse,
    KeyCreateRequest,
    KeyDeletionResponse,
    KeyPageQuerySerializer,
    KeyPageResponse,
    KeyResponse,
    KeyRotateRequest,
    KeySearchRequest,
    KeysStatusRequest,
    KeysStatusResponse,
    KeyUpdateRequest,
    with_secret,
)
from core.actor import TokenScope
from core.errors import DomainError, Text
from core.http.operations import FromView, ListOf, operation
from core.http.pagination import key_page
from core.http.serializers import shared_serializer
from core.http.views import BaseView, V1View, V2View
from tenants.access import get_tenant
from tenants.roles import Access


class _KeyView(BaseView):
    response_class: ClassVar[type[BaseKeyResponse]]

    def issue(self, agent: Agent, body: dict[str, Any]) -> Response:
        """Issue a key and respond with its secret."""

        def act() -> Any:
            return with_secret(self.response_class, services.issue_key(actor=self.actor, agent=agent, **body))

        return self._respond_secret(self.run_idempotent(act), message=_("API key issued"), tenant_id=agent.tenant_id)

    def rotate(self, key: ApiKey) -> Response:
        """Rotate a key and respond with its new secret."""
        body, expected = self.validated_data(KeyRotateRequest), self.if_match

        def act() -> Any:
            issued = services.rotate_key(actor=self.actor, key=key, expected=expected, **body)
            return with_secret(self.response_class, issued)

        return self._respond_secret(self.run_idempotent(act), message=_("API key rotated"), tenant_id=key.tenant_id)

    def respond_key(self, key: ApiKey, message: Text) -> Response:
        """Respond with a key, its secret masked."""
        shown = shared_serializer(self.response_class).to_representation(key)
        return self.respond_revised(shown, message=message, tenant_id=key.tenant_id)

    def _respond_secret(self, data: Any, *, message: Text, tenant_id: str) -> Response:
        return self.respond_revised(data, message=message, tenant_id=tenant_id, headers={"Cache-Control": "no-store"})


class BaseKeyDetailView(_KeyView):
    """One key, whose URL may name its agent, too."""

    @operation(
        "Read a key",
        tag="api keys",
        token=TokenScope.READ,
        response=FromView("response_class"),
        errors=(404,),
        revised=True,
    )
    def get(self, request: Request, key_id: str, agent_id: str | None = None) -> Response:
        return self.respond_key(get_key(self.actor, key_id, Access.READ, agent_id=agent_id), _("API key found"))

    @operation(
        "Change a key: only the keys sent",
        tag="api keys",
        token=TokenScope.WRITE,
        request=KeyUpdateRequest,
        response=FromView("response_class"),
        errors=(404, 409, 412),
        revised=True,
    )
    def put(self, request: Request, key_id: str, agent_id: str | None = None) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE_KEYS, agent_id=agent_id)
        changes = self.validated_data(KeyUpdateRequest)
        key = services.update_key(actor=self.actor, key=key, changes=changes, expected=self.if_match)
        return self.respond_key(key, _("API key changed"))

    @operation(
        "Delete a key",
        tag="api keys",
        token=TokenScope.WRITE,
        response=KeyDeletionResponse,
        errors=(404, 409, 412),
        deletion=True,
    )
    def delete(self, request: Request, key_id: str, agent_id: str | None = None) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE_KEYS, agent_id=agent_id)
        services.delete_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond_deleted({"api_key_id": key_id}, message=_("API key deleted"), tenant_id=key.tenant_id)


class BaseKeyRotateView(_KeyView):
    """The rotation of a key, whose URL may name its agent, too."""

    @operation(
        "Rotate a key; its new secret is shown this once",
        tag="api keys",
        token=TokenScope.WRITE,
        request=KeyRotateRequest,
        response=FromView("response_class"),
        errors=(404, 409, 412),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, key_id: str, agent_id: str | None = None) -> Response:
        return self.rotate(get_key(self.actor, key_id, Access.MANAGE_KEYS, agent_id=agent_id))


class BaseKeyListView(_KeyView):
    response_class = KeyResponse

    @operation(
        "List a tenant's keys",
        tag="api keys",
        token=TokenScope.READ,
        query=KeyPageQuerySerializer,
        response=KeyPageResponse,
        errors=(404,),
    )
    def get(self, request: Request) -> Response:
        filters, part = self.validated_list_query(KeyPageQuerySerializer)
        tenant = get_tenant(self.actor, filters.pop("tenant_id"), Access.READ)
        rows = KeyList(self.actor, tenant_id=tenant.id, **filters)
        return self.respond(
            key_page(rows, self.response_class, **part), message=_("API keys listed"), tenant_id=tenant.id
        )

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        token=TokenScope.WRITE,
        request=KeyCreateRequest,
        response=KeyResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request) -> Response:
        body = self.validated_data(KeyCreateRequest)
        agent = get_agent_in(self.actor, body.pop("tenant_id"), body.pop("agent_id"), Access.MANAGE_KEYS)
        return self.issue(agent, body)


class BaseKeySearchView(_KeyView):
    response_class = KeyResponse

    @operation(
        "Find the key that a secret belongs to, or did before a rotation",
        tag="api keys",
        token=TokenScope.READ,
        request=KeySearchRequest,
        response=KeyResponse,
        errors=(404,),
        revised=True,
    )
    def post(self, request: Request) -> Response:
        try:
            secret = get_secret(self.actor, self.validated_data(KeySearchRequest)["api_key"], Access.READ)
        except MalformedKey as error:
            raise KeyNotFound from error
        return self.respond_key(secret.key, _("API key found"))


class BaseKeyDisableView(_KeyView):
    response_class = KeyResponse

    @operation(
        "Disable a key",
        tag="api keys",
        token=TokenScope.WRITE,
        response=KeyResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE_KEYS)
        key = services.disable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond_key(key, _("API key disabled"))


class BaseKeyEnableView(_KeyView):
    response_class = KeyResponse

    @operation(
        "Enable a key",
        tag="api keys",
        token=TokenScope.WRITE,
        response=KeyResponse,
        errors=(404, 409, 412),
        revised=True,
    )
    def post(self, request: Request, key_id: str) -> Response:
        key = get_key(self.actor, key_id, Access.MANAGE_KEYS)
        key = services.enable_key(actor=self.actor, key=key, expected=self.if_match)
        return self.respond_key(key, _("API key enabled"))


class _KeysStatusView(BaseView):
    """A change of the status of several keys, of whatever tenants. Those that fail do not keep the others back."""

    def change_all(self, status: KeyStatus, message: Text) -> Response:
        """Set the status of the keys in the body, and respond with an outcome for each, in order."""
        key_ids = self.validated_data(KeysStatusRequest)["api_key_ids"]
        found = find_keys(self.actor, key_ids, Access.MANAGE_KEYS)
        keys = [key for key in found.values() if isinstance(key, ApiKey)]
        rows = services.set_status_of_all(actor=self.actor, keys=keys, status=status)
        items = {key_id: _status_item(key_id, rows.get(key_id), found[key_id]) for key_id in found}
        return self.respond({"items": [items[key_id] for key_id in key_ids]}, message=message)


def _status_item(key_id: str, row: ApiKey | None, found: ApiKey | DomainError) -> dict[str, Any]:
    """Return the outcome for a key: the changed row, or why there is none."""
    if row is not None:
        shown = {"status": row.status_at(timezone.now()).value, "revision": row.revision}
        return {"api_key_id": key_id, "success": True, **shown, "error": None, "error_code": None}
    # It was found and is gone: somebody has deleted it meanwhile.
    error = found if isinstance(found, DomainError) else KeyNotFound()
    failed = {"error": str(error.detail), "error_code": error.code}
    return {"api_key_id": key_id, "success": False, "status": None, "revision": None, **failed}


class BaseKeysDisableView(_KeysStatusView):
    @operation(
        "Disable up to 1,000 keys, answered in order",
        tag="api keys",
        token=TokenScope.WRITE,
        request=KeysStatusRequest,
        response=KeysStatusResponse,
    )
    def post(self, request: Request) -> Response:
        return self.change_all(KeyStatus.DISABLED, _("API keys disabled"))


class BaseKeysEnableView(_KeysStatusView):
    @operation(
        "Enable up to 1,000 keys, answered in order",
        tag="api keys",
        token=TokenScope.WRITE,
        request=KeysStatusRequest,
        response=KeysStatusResponse,
    )
    def post(self, request: Request) -> Response:
        return self.change_all(KeyStatus.ACTIVE, _("API keys enabled"))


class AgentKeyListView(_KeyView, V1View):
    response_class = AgentKeyResponse

    @operation(
        "List an agent's keys",
        tag="api keys",
        token=TokenScope.READ,
        query=AgentKeyListQuerySerializer,
        response=ListOf(AgentKeyResponse),
        errors=(404,),
    )
    def get(self, request: Request, agent_id: str) -> Response:
        filters, part = self.validated_list_query(AgentKeyListQuerySerializer)
        agent = get_agent(self.actor, agent_id, Access.READ)
        rows = KeyList(self.actor, tenant_id=agent.tenant_id, agent_id=agent.id, **filters)
        return self.respond_list(rows, self.response_class, part, message=_("API keys listed"))

    @operation(
        "Issue a key; its secret is shown this once",
        tag="api keys",
        token=TokenScope.WRITE,
        request=AgentKeyCreateRequest,
        response=AgentKeyResponse,
        errors=(404, 409),
        idempotent=True,
        revised=True,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = get_agent(self.actor, agent_id, Access.MANAGE_KEYS)
        return self.issue(agent, self.validated_data(AgentKeyCreateRequest))


class AgentKeyDetailView(BaseKeyDetailView, V1View):
    response_class = AgentKeyResponse
    patch = BaseKeyDetailView.put


class AgentKeyRotateView(BaseKeyRotateView, V1View):
    response_class = AgentKeyResponse


class KeyListView(BaseKeyListView, V2View):
    pass


class KeyDetailView(BaseKeyDetailView, V2View):
    response_class = KeyResponse


class KeySearchView(BaseKeySearchView, V2View):
    pass


class KeyDisableView(BaseKeyDisableView, V2View):
    pass


class KeyEnableView(BaseKeyEnableView, V2View):
    pass


class KeysDisableView(BaseKeysDisableView, V2View):
    pass


class KeysEnableView(BaseKeysEnableView, V2View):
    pass


class KeyRotateView(BaseKeyRotateView, V2View):
    response_class = KeyResponse

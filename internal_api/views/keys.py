"""Views of API keys on the internal surface, and of reports of leaks."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.access import get_secret
from apikeys.errors import KeyNotFound
from apikeys.keyformat import MalformedKey
from apikeys.serializers.keys import KeyResponse, LeakRequest
from apikeys.services import report_leak
from apikeys.verification import MALFORMED, UNKNOWN, Verdict
from apikeys.views.keys import (
    BaseKeyDetailView,
    BaseKeyDisableView,
    BaseKeyEnableView,
    BaseKeyListView,
    BaseKeyRotateView,
    BaseKeysDisableView,
    BaseKeySearchView,
    BaseKeysEnableView,
)
from core import approvals
from core.http.operations import operation
from core.http.views import InternalV2View
from internal_api.key_auth import rejection
from internal_api.serializers import LeakResponse
from internal_api.views.auth import KeyAuthView
from tenants.roles import Access


class KeyListView(BaseKeyListView, InternalV2View):
    pass


class KeyDetailView(BaseKeyDetailView, InternalV2View):
    response_class = KeyResponse


class KeyDisableView(BaseKeyDisableView, InternalV2View):
    pass


class KeyEnableView(BaseKeyEnableView, InternalV2View):
    pass


class KeysDisableView(BaseKeysDisableView, InternalV2View):
    pass


class KeysEnableView(BaseKeysEnableView, InternalV2View):
    pass


class KeySearchView(BaseKeySearchView, InternalV2View):
    pass


class KeyRotateView(BaseKeyRotateView, InternalV2View):
    response_class = KeyResponse


class LeakReportView(KeyAuthView):
    @operation(
        "Report that a key has leaked: the secret ends at once, a rotated-out one without its successor",
        tag="auth",
        request=LeakRequest,
        response=LeakResponse,
    )
    def post(self, request: Request) -> Response:
        """Report a leak. A key that does not exist is rejected as in a verification: 200 with `success: false`."""
        body = self.validated_data(LeakRequest)
        try:
            stored = get_secret(self.actor, body["api_key"], Access.MANAGE_KEYS)
        except MalformedKey:
            return self.respond_with(rejection(Verdict(MALFORMED)))
        except KeyNotFound:
            approvals.wait_for_changes_of_others()  # it may have been deleted a moment ago
            return self.respond_with(rejection(Verdict(UNKNOWN)))
        leaked = report_leak(actor=self.actor, secret=stored, where=body.get("where"))
        data = {
            "api_key_id": stored.key.id,
            "tenant_id": stored.key.tenant_id,
            "agent_id": stored.key.agent_id,
            "was_current": leaked.expires_at is None,
        }
        return self.respond(data, message=_("The secret is no longer good"), tenant_id=stored.key.tenant_id)

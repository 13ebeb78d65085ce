"""API keys behind the internal door: the views of `apikeys`, open to every tenant, and reports of leaks."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.access import get_secret
from apikeys.errors import KeyNotFound
from apikeys.keyformat import MalformedKey
from apikeys.services import report_leak
from apikeys.verification import EXPLANATIONS, MALFORMED, UNKNOWN
from apikeys.views.keys import DisableKey, EnableKey, KeyCollection, KeyResource, KeySearch, RotateKey
from core.http.openapi import operation
from core.http.request_context import RequestScope
from core.http.views import InternalDoor, InternalView
from internal_api.key_auth import Answer
from internal_api.serializers import LeakAnswer, LeakBody
from tenants.access import Need


class Keys(InternalDoor, KeyCollection):
    pass


class Key(InternalDoor, KeyResource):
    pass


class KeyDisabling(InternalDoor, DisableKey):
    pass


class KeyEnabling(InternalDoor, EnableKey):
    pass


class KeyFinding(InternalDoor, KeySearch):
    pass


class KeyRotation(InternalDoor, RotateKey):
    pass


class LeakReport(InternalView):
    @operation(
        "Report that a key has leaked: the secret ends at once, a rotated-out one without its successor",
        tag="auth",
        request=LeakBody,
        answer=LeakAnswer,
    )
    def post(self, request: Request) -> Response:
        body = self.body(LeakBody)
        try:
            secret = get_secret(self.actor, body["api_key"], Need.MANAGE)
        except MalformedKey:
            return self._refuse(MALFORMED)
        except KeyNotFound:
            return self._refuse(UNKNOWN)
        leaked = report_leak(actor=self.actor, secret=secret, where=body.get("where"))
        data = {
            "api_key_id": secret.key.id,
            "tenant_id": secret.key.tenant_id,
            "agent_id": secret.key.agent_id,
            "was_current": leaked.expires_at is None,
        }
        return self.reply(data, message=_("The secret is no longer good"), tenant_id=secret.key.tenant_id)

    def _refuse(self, code: str) -> Response:
        """As the other questions about keys are answered for one that is not good: 200, and no."""
        answer = Answer(
            False,
            str(_("The API key is not valid")),
            {"valid": False, "code": code},
            error=str(EXPLANATIONS[code]),
            error_code=code,
        )
        return Response(answer.enveloped(RequestScope.of(self.request)))

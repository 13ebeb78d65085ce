"""The view by which people report API keys that they have seen where they should not be."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.keyformat import MalformedKey
from apikeys.serializers.keys import LeakReportResponse, LeakRequest
from apikeys.services import report_found_key
from apikeys.verification import EXPLANATIONS, MALFORMED
from core.actor import TokenScope
from core.errors import Invalid
from core.http.operations import operation
from core.http.views import V2View


class LeakReportView(V2View):
    @operation(
        "Report that a key has leaked, whosever it is: its secret ends at once",
        tag="api keys",
        token=TokenScope.WRITE,
        request=LeakRequest,
        response=LeakReportResponse,
        errors=(429,),
    )
    def post(self, request: Request) -> Response:
        """Answer the same whether the key exists or not, so that nobody learns anything from a report."""
        body = self.validated_data(LeakRequest)
        try:
            report_found_key(actor=self.actor, secret=body["api_key"], where=body.get("where"))
        except MalformedKey as error:
            raise Invalid({"api_key": [EXPLANATIONS[MALFORMED]]}) from error
        return self.respond({"accepted": True}, message=_("The report was accepted"))

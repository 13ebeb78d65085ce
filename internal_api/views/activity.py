"""Views for the reports of bots: that they are alive, and what they did."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import services
from agents.serializers.activity import ActivityResponse
from apikeys import usage_log
from apikeys.serializers.usage_log import UsageResponse
from core.http.operations import operation
from core.http.pagination import slice_rows
from core.http.views import InternalV2View
from internal_api.serializers import (
    ActivityList,
    ActivityQuerySerializer,
    ActivityRequest,
    UsageRequest,
)


class ActivityView(InternalV2View):
    @operation("Which agents are alive", tag="activity", query=ActivityQuerySerializer, response=ActivityList)
    def get(self, request: Request) -> Response:
        query = self.validated_query(ActivityQuerySerializer)
        rows = services.active_agents(query.get("tenant_id"))
        if "after" in query:
            part = slice_rows(rows, limit=query["limit"], after=query["after"], key="agent_id")
            items = ActivityResponse(part.rows, many=True).data
            data = {"items": items, "count": rows.count(), "next_after": part.next_after}
        else:
            items = ActivityResponse(rows, many=True).data
            data = {"items": items, "count": len(items)}
        return self.respond(data, message=_("Active agents listed"), tenant_id=query.get("tenant_id"))

    @operation(
        "An agent is alive", tag="activity", request=ActivityRequest, response=ActivityResponse, errors=(404, 409)
    )
    def put(self, request: Request) -> Response:
        activity = services.record_activity(services.Heartbeat(**self.validated_data(ActivityRequest)))
        return self.respond(
            ActivityResponse(activity).data, message=_("Activity recorded"), tenant_id=activity.tenant_id
        )


class UsageLogView(InternalV2View):
    @operation("Log what a bot did", tag="activity", request=UsageRequest, response=UsageResponse)
    def post(self, request: Request) -> Response:
        entry = usage_log.log_usage(**self.validated_data(UsageRequest))
        return self.respond(UsageResponse(entry).data, message=_("Usage logged"), tenant_id=entry.tenant_id)

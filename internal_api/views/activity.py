"""What bots report: that they are alive, and what they did."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from agents import services
from apikeys import usage_log
from core.http.openapi import operation
from core.http.pagination import part_of
from core.http.views import InternalView
from internal_api.serializers import (
    ActivityAnswer,
    ActivityBody,
    ActivityList,
    ActivityQuery,
    UsageAnswer,
    UsageBody,
)


class Activity(InternalView):
    @operation("Which agents are alive", tag="activity", query=ActivityQuery, answer=ActivityList)
    def get(self, request: Request) -> Response:
        query = self.query(ActivityQuery)
        rows = services.active_agents(query.get("tenant_id"))
        if "after" in query:
            part = part_of(rows, limit=query["limit"], after=query["after"], key="agent_id")
            items = ActivityAnswer(part.rows, many=True).data
            answer = {"items": items, "count": rows.count(), "next_after": part.next_after}
        else:
            items = ActivityAnswer(rows, many=True).data
            answer = {"items": items, "count": len(items)}
        return self.reply(answer, message=_("Active agents listed"), tenant_id=query.get("tenant_id"))

    @operation("An agent is alive", tag="activity", request=ActivityBody, answer=ActivityAnswer, refusals=(404, 409))
    def put(self, request: Request) -> Response:
        activity = services.record_activity(**self.body(ActivityBody))
        return self.reply(ActivityAnswer(activity).data, message=_("Activity recorded"), tenant_id=activity.tenant_id)


class UsageLog(InternalView):
    @operation("Log what a bot did", tag="activity", request=UsageBody, answer=UsageAnswer)
    def post(self, request: Request) -> Response:
        entry = usage_log.log_usage(**self.body(UsageBody))
        return self.reply(UsageAnswer(entry).data, message=_("Usage logged"), tenant_id=entry.tenant_id)

"""Handlers of what bots report: heartbeats, and entries of the usage log.

The reports of a batch are written in one transaction, and answered when that has committed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from django.utils import translation
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from agents import services
from agents.models import AgentActivity
from agents.serializers.activity import ActivityResponse
from apikeys import usage_log
from apikeys.models import UsageLogEntry
from apikeys.serializers.usage_log import UsageResponse
from core.db import DATABASE_ERRORS, ensure_primary, retry_if_disconnected
from core.errors import DomainError
from core.http import ignored_fields
from core.http.fields import RequestSerializer
from core.http.responses import ENVELOPE_LANGUAGE, envelope
from internal_api.fastpath.base import Handler, Request
from internal_api.fastpath.bodies import has_small_json, json_object
from internal_api.fastpath.replies import Reply, fault_reply, json_reply
from internal_api.serializers import ActivityRequest, UsageRequest

# Details of 8 KiB, in which each character of three bytes may be an escape of six, or each of four one of twelve.
MAX_BODY_BYTES = 32 * 1024


def match_report(request: Request) -> ReportHandler | None:
    """Return the handler of a plain report, else None."""
    kind = _HANDLERS.get(request.path.removesuffix("/"))
    if kind is None or request.method != kind.method:
        return None
    return kind(request) if request.is_plain() and has_small_json(request, MAX_BODY_BYTES) else None


class ReportHandler(Handler):
    """A report, whose body is read and validated in its batch, because that takes longer than the event loop has."""

    __slots__ = ("_body", "_ignored_fields")
    # Two would wait for the same disk and locks, and each be half as large.
    max_concurrent_batches = 1
    path: ClassVar[str]
    request_serializer: ClassVar[RequestSerializer]
    response_serializer: ClassVar[Serializer[Any]]

    def __init__(self, request: Request) -> None:
        super().__init__(request, self.path.removeprefix("/"))
        self._body = request.body
        self._ignored_fields: str | None = None

    @classmethod
    @abstractmethod
    def write(cls, reports: Sequence[dict[str, Any]]) -> Sequence[Any]:
        """Write validated reports, all or none. Return for each the stored row, or the error that refuses it."""

    @classmethod
    def message(cls) -> str:
        """Return the message of a successful response."""
        raise NotImplementedError

    @classmethod
    def reply_all(cls, handlers: Sequence[Self]) -> Sequence[Reply | None]:
        """Write the valid reports together. Leave to Django those that it refuses, and all if they cannot be written.

        A row that the database refuses then fails alone, and Django logs a fault.
        """
        with translation.override(ENVELOPE_LANGUAGE):
            reports = {each: report for each in handlers if (report := each._validated()) is not None}
            try:
                outcomes = dict(zip(reports, cls.write(list(reports.values())), strict=True)) if reports else {}
            except DATABASE_ERRORS:
                return [each.timeout_reply() if each in reports else None for each in handlers]
            except Exception:  # noqa: BLE001  # Django meets it again, and answers it
                return [None] * len(handlers)
            return [each._reply(outcomes[each]) if each in outcomes else None for each in handlers]

    def _validated(self) -> dict[str, Any] | None:
        body = json_object(self._body)
        if body is None:
            return None
        try:
            report: dict[str, Any] = self.request_serializer.run_validation(body)
        except ValidationError:
            return None
        self._ignored_fields = ignored_fields.header_value(self.request_serializer.ignored_fields(body, report))
        return report

    def _reply(self, outcome: Any) -> Reply | None:
        if isinstance(outcome, DomainError):
            return None  # it may tell of a change for which the response has to wait (core.http.propagation)
        headers = {} if self._ignored_fields is None else {ignored_fields.HEADER: self._ignored_fields}
        try:
            data = self.response_serializer.to_representation(outcome)
            document = envelope(
                self.context, success=True, message=self.message(), data=data, tenant_id=outcome.tenant_id
            )
            return json_reply(self.context, 200, document, headers)
        except Exception:  # noqa: BLE001  # the outermost frame, like Django's handler around a view
            return fault_reply(self.context)


class HeartbeatHandler(ReportHandler):
    """A heartbeat of an agent."""

    __slots__ = ()
    method = "PUT"
    path = "/api/v2/agent-activity"
    request_serializer = ActivityRequest()
    response_serializer = ActivityResponse()

    @classmethod
    def write(cls, reports: Sequence[dict[str, Any]]) -> Sequence[AgentActivity | DomainError]:
        # Repeated if the connection is broken, because a heartbeat may be written twice.
        return _record_activities([services.Heartbeat(**report) for report in reports])

    @classmethod
    def message(cls) -> str:
        return _("Activity recorded")


class UsageLogHandler(ReportHandler):
    """An entry of the usage log."""

    __slots__ = ()
    method = "POST"
    path = "/api/v1/usage/log"
    request_serializer = UsageRequest()
    response_serializer = UsageResponse()

    @classmethod
    def write(cls, reports: Sequence[Any]) -> Sequence[UsageLogEntry]:
        ensure_primary()
        return usage_log.log_usages(reports)

    @classmethod
    def message(cls) -> str:
        return _("Usage logged")


_record_activities = retry_if_disconnected(services.record_activities)
_HANDLERS: Mapping[str, type[ReportHandler]] = {kind.path: kind for kind in (HeartbeatHandler, UsageLogHandler)}

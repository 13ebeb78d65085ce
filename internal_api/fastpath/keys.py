"""The bots' questions, answered below Django.

The server asks here first. Plain questions are answered in a fraction of the time that Django's handler
and DRF take, with the very words of the views over the same functions (internal_api.key_auth), which a
test holds. Whatever is out of the ordinary is left to Django: another method or media type, a browser's
headers, a body that is not as the views want it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

from apikeys import permissions, verification
from apikeys.permissions import MAX_EXPRESSION_LENGTH, BadExpression
from apikeys.verification import Address, Verdict
from core import strict_json
from core.errors import DomainError, Unavailable
from core.http import hosts, metrics, request_id
from core.http.request_context import RequestContext
from internal_api import key_auth
from internal_api.fastpath import responses
from internal_api.fastpath.responses import Reply
from internal_api.key_auth import Answer, Check, Question, Validate, client_address

log = logging.getLogger("maim.http")

MAX_BODY_BYTES = 4096

Headers = Callable[[str], str | None]
Read = Question | Answer  # a question, or what needs no asking


class Request(NamedTuple):
    """A plain question that has come in on a port of ours, or what it is answered offline."""

    read: Read
    path: str
    port: str
    scope: RequestContext

    def recalled(self) -> Reply | None:
        """The reply where it takes no I/O at all, else None."""
        if isinstance(self.read, Answer):
            return responses.written(self.scope, 200, self.read.enveloped(self.scope))
        try:
            verdict = verification.recall(self.read.ask())
        except Exception:  # noqa: BLE001  # the outermost frame here, as Django's handler is of a view
            return responses.fault(self.scope)
        return None if verdict is None else self._judged(self.read, verdict)

    def unanswered(self) -> Reply:
        """The reply when nobody has answered in time: what was last known, where that is granted."""
        if isinstance(self.read, Answer):
            return responses.refusal(self.scope, Unavailable())
        return self._judged(self.read, verification.last_known(self.read.ask()))

    def tally(self, reply: Reply) -> None:
        """Counts the reply that is sent: there may be another, which came too late."""
        seconds = time.perf_counter() - self.scope.started
        metrics.answered_below_django(self.port, "POST", self.path[1:], reply.status, seconds, reply.code)

    def _judged(self, question: Question, verdict: Verdict) -> Reply:
        code = verdict.code if isinstance(question, Validate) else None
        try:
            return responses.written(self.scope, 200, question.answer(verdict).enveloped(self.scope), code=code)
        except DomainError as error:
            return responses.refusal(self.scope, error, code)
        except Exception:  # noqa: BLE001  # as in `recalled`
            return responses.fault(self.scope)


def answered(requests: Sequence[Request]) -> list[Reply]:
    """The replies to questions that could not be recalled, with one query for all of them."""
    asked = [request.read for request in requests if not isinstance(request.read, Answer)]
    try:
        verdicts = verification.verify_all([question.ask() for question in asked])
    except Exception:  # noqa: BLE001  # as in `recalled`
        if len(requests) == 1:
            return [responses.fault(requests[0].scope)]
        # One row that cannot be read is not to take all the others' answers with it.
        return [reply for request in requests for reply in answered([request])]
    return [
        request._judged(question, verdict) for request, question, verdict in zip(requests, asked, verdicts, strict=True)
    ]


def request(method: str, path: str, port: str, header: Headers, body: Callable[[], bytes]) -> Request | None:
    """A request read as a plain question; None where it is none, and Django is to answer.

    `header` finds a header by its lower-case name; `body` is called only once the rest is plain.
    """
    path = path.removesuffix("/")
    reader = _READERS.get(path)
    if reader is None or method != "POST" or not (is_plain(header) and _is_small_json(header)):
        return None
    started = time.perf_counter()
    read = reader(_document(body()))
    if read is None:
        return None
    return Request(read, path, port, RequestContext(started, request_id.choose(header("x-request-id")), address=""))


def is_plain(header: Headers) -> bool:
    """Whether nothing in the headers would have Django refuse the request."""
    return header("origin") is None and header("sec-fetch-site") is None and hosts.is_private(header("host") or "")


def _is_small_json(header: Headers) -> bool:
    length = header("content-length") or ""
    media_type, _, parameters = (header("content-type") or "").lower().partition(";")
    return (
        media_type.strip() == "application/json"
        and parameters.strip() in ("", "charset=utf-8")  # of others, Django refuses some
        and length.isascii()
        and length.isdecimal()
        and len(length) <= 4
        and int(length) <= MAX_BODY_BYTES
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        sent = strict_json.loads(body)
    except strict_json.NotAcceptable:
        return {}
    return sent if isinstance(sent, dict) else {}


def _parse(sent: dict[str, Any]) -> Read | None:
    api_key = sent.get("api_key")
    return key_auth.parsed(api_key) if isinstance(api_key, str) else None


def _validate(sent: dict[str, Any]) -> Read | None:
    api_key, checks = sent.get("api_key"), sent.get("check_rate_limit")
    permission, client_ip = sent.get("required_permission"), sent.get("client_ip")
    if not isinstance(api_key, str) or not (checks is None or isinstance(checks, bool)):
        return None
    if permission is not None and not (_is_text(permission) and _makes_sense(permission)):
        return None
    if client_ip is None:
        return Validate(api_key, permission, checks is not False)
    address = _address(client_ip)
    return None if address is None else Validate(api_key, permission, checks is not False, address)


def _check(sent: dict[str, Any]) -> Read | None:
    api_key, permission = sent.get("api_key"), sent.get("permission")
    if not isinstance(api_key, str) or not _is_text(permission) or not permission.strip() or "client_ip" in sent:
        return None
    return Check(api_key, permission.strip())


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MAX_EXPRESSION_LENGTH


def _makes_sense(expression: str) -> bool:
    """Tell whether the expression can be parsed; a blank one requires nothing."""
    if not expression.strip():
        return True
    try:
        permissions.parse(expression)
    except BadExpression:
        return False
    return True


def _address(value: Any) -> Address | None:
    try:
        return client_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


_READERS: dict[str, Callable[[dict[str, Any]], Read | None]] = {
    "/api/v2/auth/parse-api-key": _parse,
    "/api/v2/auth/validate-api-key": _validate,
    "/api/v2/auth/check-permission": _check,
}

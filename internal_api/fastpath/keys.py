"""Handlers of requests about API keys (internal_api.key_auth)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeGuard

from apikeys import verification
from apikeys.permissions import MAX_EXPRESSION_LENGTH, BadExpression
from apikeys.verification import Verdict
from core.addresses import parse_address
from core.errors import DomainError
from core.http import ignored_fields
from internal_api.fastpath.base import Handler, Request
from internal_api.fastpath.bodies import has_small_json, json_object
from internal_api.fastpath.replies import Reply, error_reply, fault_reply, finished_reply, json_reply
from internal_api.key_auth import (
    CheckPermission,
    KeyAuthRequest,
    ValidateKey,
    parse_key,
    respond_to_verdict,
    valid_message,
)
from internal_api.serializers import CheckPermissionRequest, ParseKeyRequest, ValidateKeyRequest

MAX_BODY_BYTES = 4096

_PARSE, _VALIDATE, _CHECK = (
    f"/api/v2/auth/{name}" for name in ("parse-api-key", "validate-api-key", "check-permission")
)

# A validate request as most clients write it, whose texts have nothing to decode. It is read in a quarter of the time
# that the strict parser takes, to the same request.
_PLAIN_TEXT = rb'"([ !#-\[\]-~]*)"'
_PLAIN_BODY = re.compile(
    rb'\{"api_key": ?%b(?:, ?"required_permission": ?(?:%b|null))?(?:, ?"check_rate_limit": ?(true|false))?\}'
    % (_PLAIN_TEXT, _PLAIN_TEXT)
)


def match_key_request(request: Request) -> _KeyHandler | None:
    """Return the handler of a plain request about a key, else None."""
    path = request.path.removesuffix("/")
    make = _HANDLERS.get(path)
    if make is None or request.method != "POST" or not (request.is_plain() and has_small_json(request, MAX_BODY_BYTES)):
        return None
    if path == _VALIDATE and (validate := _plain_validate(request.body)) is not None:
        return KeyAuthHandler(request, path[1:], validate)
    body = json_object(request.body)
    handler = None if body is None else make(request, path[1:], body)
    if body is not None and handler is not None and not body.keys() <= _FIELDS[path]:
        unknown = [name for name in body if name not in _FIELDS[path]]
        handler.ignored_fields = ignored_fields.header_value(unknown)
    return handler


class _KeyHandler(Handler):
    """A request about a key, whose response names the fields that were ignored."""

    __slots__ = ("ignored_fields",)
    method = "POST"

    def __init__(self, request: Request, route: str) -> None:
        super().__init__(request, route)
        self.ignored_fields: str | None = None

    def with_ignored_fields(self, reply: Reply) -> Reply:
        if self.ignored_fields is None:
            return reply
        return reply._replace(headers=[*reply.headers, (ignored_fields.HEADER, self.ignored_fields)])


class KeyAuthHandler(_KeyHandler):
    """A request whose response follows from a verdict on a key."""

    __slots__ = ("_key_auth",)

    def __init__(self, request: Request, route: str, key_auth: KeyAuthRequest) -> None:
        super().__init__(request, route)
        self._key_auth = key_auth

    def cached_reply(self) -> Reply | None:
        try:
            verdict = verification.verify_cached(self._key_auth.verification)
        except Exception:  # noqa: BLE001  # the outermost frame, like Django's handler around a view
            return fault_reply(self.context)
        return None if verdict is None else self._reply(verdict)

    @classmethod
    def reply_all(cls, handlers: Sequence[Self]) -> list[Reply]:
        try:
            verdicts = verification.verify_all([each._key_auth.verification for each in handlers])
        except Exception:  # noqa: BLE001  # as in `cached_reply`
            if len(handlers) == 1:
                return [fault_reply(handlers[0].context)]
            # One row that cannot be read must not fail the other requests of the batch.
            return [reply for each in handlers for reply in cls.reply_all([each])]
        return [each._reply(verdict) for each, verdict in zip(handlers, verdicts, strict=True)]

    def timeout_reply(self) -> Reply:
        return self._reply(verification.verify_stale(self._key_auth.verification))

    def _reply(self, verdict: Verdict) -> Reply:
        key_auth, counted = self._key_auth, None
        try:
            if isinstance(key_auth, ValidateKey):
                counted = verdict.code
                data = key_auth.finished_data(verdict)
                if data is not None:
                    assert verdict.facts is not None
                    tenant_id = verdict.facts.tenant_id
                    reply = finished_reply(self.context, valid_message(), data, tenant_id, counted)
                    return self.with_ignored_fields(reply)
            response = respond_to_verdict(key_auth, verdict, self.context.request_id)
            envelope = response.envelope(self.context)
            return self.with_ignored_fields(json_reply(self.context, 200, envelope, verdict=counted))
        except DomainError as error:
            return self.with_ignored_fields(error_reply(self.context, error, counted))
        except Exception:  # noqa: BLE001  # as in `cached_reply`
            return fault_reply(self.context)


class ParseKeyHandler(_KeyHandler):
    """A request for the parts of a key, which takes no I/O."""

    __slots__ = ("_secret",)

    def __init__(self, request: Request, route: str, secret: str) -> None:
        super().__init__(request, route)
        self._secret = secret

    def cached_reply(self) -> Reply:
        return self.with_ignored_fields(json_reply(self.context, 200, parse_key(self._secret).envelope(self.context)))

    @classmethod
    def reply_all(cls, handlers: Sequence[Self]) -> list[Reply]:
        return [each.cached_reply() for each in handlers]


def _plain_validate(content: bytes) -> ValidateKey | None:
    """Return what `_validate_key` would make of the body, or None if it is not plain."""
    match = _PLAIN_BODY.fullmatch(content)
    if match is None:
        return None
    secret, permission, counts_use = match.groups()
    if permission is None:
        return ValidateKey.of(secret.decode(), None, counts_use != b"false", None)
    if len(permission) > MAX_EXPRESSION_LENGTH:
        return None
    try:
        return ValidateKey.of(secret.decode(), permission.decode(), counts_use != b"false", None)
    except BadExpression:
        return None


def _parse(request: Request, route: str, body: dict[str, Any]) -> _KeyHandler | None:
    secret = body.get("api_key")
    return ParseKeyHandler(request, route, secret) if isinstance(secret, str) else None


def _validate(request: Request, route: str, body: dict[str, Any]) -> _KeyHandler | None:
    validate = _validate_key(body)
    return None if validate is None else KeyAuthHandler(request, route, validate)


def _validate_key(body: dict[str, Any]) -> ValidateKey | None:
    """Return the request that a body makes, or None for one that the views would refuse."""
    secret, counts_use = body.get("api_key"), body.get("check_rate_limit")
    permission, client_ip = body.get("required_permission"), body.get("client_ip")
    if not (
        isinstance(secret, str)
        and (counts_use is None or isinstance(counts_use, bool))
        and (permission is None or _is_expression(permission))
        and (client_ip is None or isinstance(client_ip, str))  # `ip_address` would take a number
    ):
        return None
    try:
        address = None if client_ip is None else parse_address(client_ip)
        return ValidateKey.of(secret, permission, counts_use is not False, address)
    except (ValueError, BadExpression):
        return None


def _check(request: Request, route: str, body: dict[str, Any]) -> _KeyHandler | None:
    secret, permission = body.get("api_key"), body.get("permission")
    if not (isinstance(secret, str) and _is_expression(permission) and permission.strip()) or "client_ip" in body:
        return None
    return KeyAuthHandler(request, route, CheckPermission.of(secret, permission.strip()))


def _is_expression(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= MAX_EXPRESSION_LENGTH


_FIELDS = {
    _PARSE: frozenset(ParseKeyRequest().fields),
    _VALIDATE: frozenset(ValidateKeyRequest().fields),
    _CHECK: frozenset(CheckPermissionRequest().fields),
}
_HANDLERS: dict[str, Callable[[Request, str, dict[str, Any]], _KeyHandler | None]] = {
    _PARSE: _parse,
    _VALIDATE: _validate,
    _CHECK: _check,
}

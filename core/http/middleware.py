"""The middleware of both surfaces: the request's context and log line, and the checks of its surface."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, Forbidden, Invalid, Text
from core.http import hosts, metrics, request_id
from core.http.addresses import client_address, is_trusted_proxy
from core.http.problems import PayloadTooLarge, UnknownPath
from core.http.request_context import RequestContext
from core.http.responses import problem_response
from core.http.surfaces import INTERNAL, PUBLIC, Surface, surface_of_port
from core.text import printable

access_log = logging.getLogger("maim.access")
GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """The outermost middleware: attaches the request's context, logs the response, and counts it in the metrics.

    It activates the client's language, too, because the middleware below it already refuses requests.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = request.META.get("REMOTE_ADDR", "")
        if request.headers.get("X-Forwarded-Proto") == "https" and is_trusted_proxy(peer):
            request.META["wsgi.url_scheme"] = "https"
        context = RequestContext(
            started=time.perf_counter(),
            request_id=request_id.choose(request.headers.get("X-Request-ID")),
            address=client_address(peer, request.headers.get("X-Forwarded-For", "")),
        )
        context.attach_to(request)
        request_id.enter(context.request_id)

        with translation.override(translation.get_language_from_request(request)):
            response = self.get_response(request)

        seconds = time.perf_counter() - context.started
        response["X-Request-ID"] = context.request_id
        response["X-Content-Type-Options"] = "nosniff"
        metrics.record_request(request, response.status_code, seconds)
        access_log.info(
            "%s %s %s %.1f ms",
            request.method,
            # The path alone, escaped, because query strings may have secrets.
            printable(request.path),
            response.status_code,
            seconds * 1000,
            extra={"address": context.address},
        )
        return response


class SurfaceMiddleware:
    """The checks that every request to a surface must pass. Errors have the surface's own shape."""

    surface: ClassVar[Surface]
    unknown_host: ClassVar[Text]

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.urlconf = self.surface.urlconf
        request.path_info = self.canonical(request.path_info)
        if surface_of_port(request.META["SERVER_PORT"]) != self.surface:
            return problem_response(request, UnknownPath())
        if hosts.is_load_balancer_check(request.method, request.path_info, request.META.get("HTTP_HOST")):
            return HttpResponse(status=204)
        if refusal := self.refusal(request):
            return problem_response(request, refusal)
        if _content_length(request) > settings.MAX_BODY_BYTES:
            return problem_response(request, PayloadTooLarge())
        return self.get_response(request)

    def refusal(self, request: HttpRequest) -> DomainError | None:
        """Return the error of a request that is refused because of its headers, else None."""
        return None if request.path_info in hosts.PROBE_PATHS else self._host_refusal(request)

    def _host_refusal(self, request: HttpRequest) -> DomainError | None:
        host = request.META.get("HTTP_HOST")
        if host is None and request.META["SERVER_PROTOCOL"] != "HTTP/1.0":
            return Invalid({"Host": [_("The Host header is missing")]})
        if host is not None and "," in host:  # how CGI has several headers of one name
            return Invalid({"Host": [_("There is more than one Host header")]})
        return None if self.serves(host) else Forbidden(self.unknown_host)

    def serves(self, host: str | None) -> bool:
        """Return whether the surface answers requests with this Host header. Only HTTP/1.0 may leave it out."""
        raise NotImplementedError

    @staticmethod
    def canonical(path: str) -> str:
        """Return the path without a trailing slash, as in the urlconfs; in the admin, with it.

        Both forms are served, because a redirect would lose a POST's body (docs/contract.md section 1).
        """
        if path == "/admin":
            return "/admin/"
        if len(path) > 1 and path.endswith("/") and not path.startswith("/admin/"):
            return path[:-1]
        return path


class PublicSurfaceMiddleware(SurfaceMiddleware):
    """The checks of the public surface: any host, or only that of MAIM_PUBLIC_URL and this machine."""

    surface = PUBLIC
    unknown_host = _("This host name is not served here; see MAIM_PUBLIC_URL")

    def serves(self, host: str | None) -> bool:
        name = hosts.host_name(host or "")
        return settings.PUBLIC_HOST is None or name == settings.PUBLIC_HOST or hosts.is_loopback(name)


class InternalSurfaceMiddleware(SurfaceMiddleware):
    """The checks of the internal surface, so that no web page reaches it through a browser on the private network.

    The host must be one that public DNS cannot point here (rebinding), and requests of another site's pages are refused
    by their `Origin` and `Sec-Fetch-Site`. HTTP/1.0 requests need no host, because no browser sends them.
    """

    surface = INTERNAL
    unknown_host = _("This host name is not served here; see MAIM_INTERNAL_HOSTS")

    def serves(self, host: str | None) -> bool:
        return host is None or hosts.is_private(host)

    def refusal(self, request: HttpRequest) -> DomainError | None:
        return super().refusal(request) or self._origin_refusal(request)

    @staticmethod
    def _origin_refusal(request: HttpRequest) -> DomainError | None:
        host, origin = request.META.get("HTTP_HOST"), request.headers.get("Origin")
        is_foreign = origin is not None and (host is None or _origin_host(origin) != host.lower())
        if is_foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return Forbidden(_("Cross-origin requests are refused on the internal surface"))
        return None


class AdminContentSecurityMiddleware:
    """The Content-Security-Policy of the admin: its pages run and show what comes from here, and nothing else.

    A page with the theme sets `request.has_theme` while it is made. The theme's scripts compute the expressions in its
    attributes by `eval`, and it has styles in its pages. The policy of any other page allows neither.
    """

    _POLICY = (
        "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    policy = _POLICY.format(scripts="", styles="")
    policy_with_theme = _POLICY.format(scripts=" 'unsafe-eval'", styles=" 'unsafe-inline'")

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        has_theme = getattr(request, "has_theme", False)
        response["Content-Security-Policy"] = self.policy_with_theme if has_theme else self.policy
        return response


class _AdminZone(ZoneInfo):
    """A zone that shows times in UTC which it has no date for: year 9999, when keys expire that should never."""

    def fromutc(self, dt: datetime) -> datetime:
        try:
            return super().fromutc(dt)
        except OverflowError:
            return dt


class AdminTimeZoneMiddleware:
    """The zone of the times that the admin shows and reads."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(_AdminZone(settings.ADMIN_TIME_ZONE)):
            return self.get_response(request)


def _origin_host(origin: str) -> str | None:
    """Return the host and port of an Origin header, lower-cased, or None if it is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _content_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0

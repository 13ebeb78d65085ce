"""DRF's parsers, renderer and content negotiation for both surfaces."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import orjson
from django.http import UnreadablePostError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from core import strict_json
from core.http.problems import UnsupportedMediaType


class StrictJSONParser(BaseParser):
    """A parser of JSON bodies by the rules of `core.strict_json`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return strict_json.loads(stream.read())
        except strict_json.NotAcceptable as error:
            raise ParseError(_("The body is not acceptable JSON: %(reason)s") % {"reason": error}) from error
        except (UnreadablePostError, io.UnsupportedOperation) as error:
            raise ParseError(_("The body ended early")) from error


class FormDataParser(MultiPartParser):
    """A parser of forms as a browser's `FormData` sends them, without files."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context).data
        except ParseError as error:
            raise ParseError(_("The body is not an acceptable form")) from error


class CompactJSONRenderer(JSONRenderer):
    """A renderer of UTF-8 without escapes or blanks. The media type implies `charset` (RFC 8259 section 8.1)."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data, default=_as_json)


def _as_json(value: Any) -> Any:
    """Convert types that orjson does not know: lazily translated texts, and DRF's subclasses of dict and list."""
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


_JSON_TYPE = re.compile(r"(application/([^\s/]+\+)?json)?")


class AlwaysJSON(BaseContentNegotiation):
    """Negotiation that ignores `Accept` and always responds with JSON, because old clients rely on it.

    A body without a Content-Type is JSON, and so is one of a type such as `application/merge-patch+json`. Raise
    UnsupportedMediaType for a compressed body: reading it could take any amount of memory.
    """

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        if request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
            raise UnsupportedMediaType(_("The body is compressed; send it without a Content-Encoding"))
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        if _JSON_TYPE.fullmatch(media_type):
            media_type = StrictJSONParser.media_type
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type

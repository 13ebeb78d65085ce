"""The text of files that people write and upload."""

from __future__ import annotations

from django.utils.translation import gettext as _

from core.strict_json import NotAcceptable

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NUL_WITHIN = 200  # bytes: UTF-16 has zeros in every Latin letter, text in UTF-8 nowhere


def decode_file(raw: bytes) -> str:
    """Return the text of a file in UTF-8, without its byte order mark.

    Raise NotAcceptable for another encoding, by the name of the one that it looks like.
    """
    if raw.startswith(_UTF_16_MARKS) or b"\0" in raw[:_NUL_WITHIN]:
        raise NotAcceptable(_("this file is in UTF-16; save it as UTF-8"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError as error:
        raise NotAcceptable(_("not UTF-8 at byte %(number)d") % {"number": place}) from error
    raise NotAcceptable(_("this file is in GBK; save it as UTF-8"))

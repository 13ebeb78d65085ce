"""Allowed characters of names, their folded forms (docs/contract.md section 6), and what logs show of a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import count

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

# Unicode's default ignorable characters: a text looks the same with and without them.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Characters of visible categories that show nothing: an empty braille cell, a null notehead, a filler.
_BLANK = frozenset("\u2800\ufffc\U0001d159\U00016fe4")
_CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# New versions of Unicode assign emoji in these blocks, where no character has a case or a compatibility form.
_LATER_EMOJI = range(0x1F300, 0x1FB00)
_ZERO_WIDTH_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_SYMBOLS = frozenset({"So", "Sm"})
_TEXT_WITH_EMOJI_STYLE = frozenset("\u203c\u2049\u2139\u3030")
_KEYCAPS = frozenset("0123456789#*")

Fold = Callable[[str], str]


def fold(text: str) -> str:
    """Return the form in which usernames and e-mail addresses are unique: NFC, case-folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def fold_name(text: str) -> str:
    """Return the form in which names of agents, keys, tenants and templates are unique.

    It is Unicode's NFKC_Casefold, repeated until it is stable, without blanks around it: full-width forms, case and
    invisible characters make no difference.
    """
    folded = text.casefold()
    while True:
        if folded.isascii():
            return folded.strip()
        again = unicodedata.normalize("NFKC", _IGNORABLE.sub("", unicodedata.normalize("NFKC", folded).casefold()))
        if again == folded:
            return folded.strip()
        folded = again


def name_error(text: str) -> Promise | None:
    """Return an error if a text has a forbidden character or nothing visible, so that it cannot be a name."""
    refused = next((text[place] for place in range(len(text)) if _is_refused(text, place)), None)
    if refused is not None:
        return format_lazy(
            _("May not contain {character}: control, direction and invisible characters are not allowed here"),
            character=f"U+{ord(refused):04X}",
        )
    if all(unicodedata.category(char) in ("Mn", "Me", "Zs") for char in text):
        return _("Must have a character that can be seen")
    return None


def visible(text: str) -> str:
    """Return the text without forbidden characters and without blanks around it."""
    return "".join(char for place, char in enumerate(text) if not _is_refused(text, place)).strip()


def cut(text: str, max_length: int, *, fold: Fold, max_folded_length: int) -> str:
    """Return the beginning of the text with at most `max_length` characters, and `max_folded_length` when folded."""
    short = text[:max_length].rstrip()
    while len(fold(short)) > max_folded_length:
        short = short[:-1].rstrip()
    return short


def unique_name(
    name: str, object_id: str, is_free: Callable[[str], bool], *, max_length: int, fold: Fold = fold_name
) -> str:
    """Return a free name in place of one that is taken: the name with the object's id behind it.

    The id makes the result the same in each run. A number is added only if that name is taken too.
    """
    for number in count(1):
        suffix = f" ({object_id})" if number == 1 else f" ({object_id}, {number})"
        left = max_length - len(suffix)
        candidate = cut(name, left, fold=fold, max_folded_length=3 * left) + suffix
        if is_free(candidate):
            return candidate
    raise AssertionError("unreachable")


def printable(text: str) -> str:
    """Return the text in one line, in which only what cannot be printed is escaped."""
    return repr(text)[1:-1]


def _is_refused(text: str, place: int) -> bool:
    char = text[place]
    if char.isascii():
        return not char.isprintable()
    if char in (_ZERO_WIDTH_JOINER, _EMOJI_STYLE):
        return not _is_in_emoji(text, place)
    if char in _BLANK or _IGNORABLE.match(char):
        return True
    return unicodedata.category(char) in _CONTROL_CATEGORIES and ord(char) not in _LATER_EMOJI


def _is_in_emoji(text: str, place: int) -> bool:
    """Return whether a joiner stands between two symbols, or an emoji style after a character that can have one."""
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if text[place] == _EMOJI_STYLE:
        return _is_symbol(before) or before in _TEXT_WITH_EMOJI_STYLE or (before in _KEYCAPS and after == "\u20e3")
    has_style = before == _EMOJI_STYLE and _is_in_emoji(text, place - 1)
    return (has_style or _is_symbol(before)) and _is_symbol(after)


def _is_symbol(char: str) -> bool:
    return bool(char) and (unicodedata.category(char) in _SYMBOLS or ord(char) in _LATER_EMOJI) and char not in _BLANK

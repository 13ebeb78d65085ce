"""Types of texts with a format: chats, accounts, times, regexes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from agent_config.schema.regexes import MAX_LENGTH, MAX_REGEXES, MAX_TOTAL_LENGTH, problem

# The types of these errors, whose context has the sentence. A wrong format gets a warning, a bad regex is refused.
FORMAT_ERROR = "format"
REGEX_ERROR = "regex"


@dataclass(frozen=True)
class TextFormat:
    """The format of a text, as a pattern with the same meaning in Python and JavaScript, and in words."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern}

    def check(self, text: str) -> str:
        """Return the text. Raise PydanticCustomError if it has another format."""
        if not re.fullmatch(self.pattern, text):
            is_wide = "：" in text and re.fullmatch(self.pattern, text.replace("：", ":"))
            sentence = gettext("has a full-width colon (：) in place of :") if is_wide else gettext(self.message)
            raise PydanticCustomError(FORMAT_ERROR, "{sentence}", {"sentence": sentence})
        return text


class RegexBudget:
    """The number of regexes, and of characters in them, that a config may still have: the context of its validation."""

    def __init__(self) -> None:
        self._regexes, self._characters = MAX_REGEXES, MAX_TOTAL_LENGTH

    def spend(self, regex: str) -> bool:
        """Count a regex. Return whether it is within the budget."""
        self._regexes -= 1
        self._characters -= min(len(regex), MAX_LENGTH)
        return self._regexes >= 0 and self._characters >= 0


def _refused(sentence: str) -> PydanticCustomError:
    return PydanticCustomError(REGEX_ERROR, "{sentence}", {"sentence": sentence})


def _checked_regex(regex: str, info: ValidationInfo[RegexBudget]) -> str:
    if not info.context.spend(regex):
        message = gettext(
            "a config may have at most %(number)s regular expressions, of %(characters)s characters together"
        )
        raise _refused(message % {"number": MAX_REGEXES, "characters": MAX_TOTAL_LENGTH})
    if found := problem(regex):
        raise _refused(gettext(found.message) % {"parameter": found.parameter})
    return regex


def _with_chat_first(rule: list[str]) -> list[str]:
    if rule:
        try:
            _CHAT_OR_ALL.check(rule[0])
        except PydanticCustomError as error:
            details = InitErrorDetails(type=error, loc=(0,), input=rule[0])
            raise ValidationError.from_exception_data("rule", [details]) from error
    return rule


_ACCOUNT = r"[^:\s]+:[^:\s]+"
_CHAT = _ACCOUNT + ":(group|private)"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"

_CHAT_OR_ALL = TextFormat(
    f"^({_CHAT})?$", _("must be written platform:id:group or platform:id:private, or be empty for all chats")
)

Address = Annotated[
    str,
    TextFormat(
        r"^([A-Za-z][A-Za-z0-9+.\-]{0,20}://[\s\S]*)?$", _("must be an address that begins with https:// or http://")
    ),
]
Account = Annotated[str, TextFormat(f"^{_ACCOUNT}$", _("must be written platform:id"))]
ChatOrAll = Annotated[str, _CHAT_OR_ALL]
ChatOrEvery = Annotated[
    str,
    TextFormat(
        rf"^(\*|{_CHAT})?$", _("must be written platform:id:group or platform:id:private, or be * for all chats")
    ),
]
AccountOrChat = Annotated[
    str,
    TextFormat(f"^{_ACCOUNT}(:(group|private))?$", _("must be written platform:id, or platform:id:group or :private")),
]
ChatPrompt = Annotated[
    str, TextFormat(rf"^{_CHAT}:[\s\S]+$", _("must be written platform:id:group:prompt or platform:id:private:prompt"))
]
LearningRule = Annotated[list[str], AfterValidator(_with_chat_first)]  # the chat, and its settings
_TIME_RANGE = f"{_TIME}-({_TIME}|24:00)"
_TIME_RANGE_MESSAGE = _("must be a range of times, written HH:MM-HH:MM")
TimeRange = Annotated[str, TextFormat(f"^{_TIME_RANGE}$", _TIME_RANGE_MESSAGE)]
TimeRangeOrAlways = Annotated[str, TextFormat(f"^({_TIME_RANGE})?$", _TIME_RANGE_MESSAGE)]
Regex = Annotated[
    str,
    AfterValidator(_checked_regex),
    WithJsonSchema({"type": "string", "format": "regex", "maxLength": MAX_LENGTH}),
]

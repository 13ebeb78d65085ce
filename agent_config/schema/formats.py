"""Texts of a certain form: chats, accounts, times, regexes."""

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

# The types of these errors, whose context has the sentence. A form is only warned of; a regex is refused.
FORM_ERROR = "form"
REGEX_ERROR = "regex"


@dataclass(frozen=True)
class Form:
    """What a text has to look like, as a pattern that Python and JavaScript read alike, and in words."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern}

    def check(self, text: str) -> str:
        """The text; raises if it has another form."""
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError(FORM_ERROR, "{sentence}", {"sentence": gettext(self.message)})
        return text


class RegexAllowance:
    """How many regexes a config may still have, and of how many characters: the context of its validation."""

    def __init__(self) -> None:
        self._regexes, self._characters = MAX_REGEXES, MAX_TOTAL_LENGTH

    def covers(self, regex: str) -> bool:
        """Takes a regex off; whether it was still covered."""
        self._regexes -= 1
        self._characters -= min(len(regex), MAX_LENGTH)
        return self._regexes >= 0 and self._characters >= 0


def _refused(sentence: str) -> PydanticCustomError:
    return PydanticCustomError(REGEX_ERROR, "{sentence}", {"sentence": sentence})


def _checked_regex(regex: str, info: ValidationInfo[RegexAllowance]) -> str:
    if not info.context.covers(regex):
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

_CHAT_OR_ALL = Form(
    f"^({_CHAT})?$", _("must be written platform:id:group or platform:id:private, or be empty for all chats")
)

Account = Annotated[str, Form(f"^{_ACCOUNT}$", _("must be written platform:id"))]
ChatOrAll = Annotated[str, _CHAT_OR_ALL]
ChatOrEvery = Annotated[
    str, Form(rf"^(\*|{_CHAT})?$", _("must be written platform:id:group or platform:id:private, or be * for all chats"))
]
AccountOrChat = Annotated[
    str, Form(f"^{_ACCOUNT}(:(group|private))?$", _("must be written platform:id, or platform:id:group or :private"))
]
ChatPrompt = Annotated[
    str, Form(rf"^{_CHAT}:[\s\S]+$", _("must be written platform:id:group:prompt or platform:id:private:prompt"))
]
LearningRule = Annotated[list[str], AfterValidator(_with_chat_first)]  # the chat, and what holds for it
TimeRange = Annotated[str, Form(f"^{_TIME}-({_TIME}|24:00)$", _("must be a range of times, written HH:MM-HH:MM"))]
Regex = Annotated[
    str,
    AfterValidator(_checked_regex),
    WithJsonSchema({"type": "string", "format": "regex", "maxLength": MAX_LENGTH}),
]

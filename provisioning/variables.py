"""Values of environment variables in configs, where `${NAME}` stands for them and `$${` for the text `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _

from agent_config.document import MASK
from core import strict_json
from provisioning.yaml_file import MAX_BYTES, Document, InvalidFile, Place, Problem

# The configs of tenants and agents, by the names in their places: `("tenants", 0, "agents", 1, "config")`.
_CONFIGS = (("tenants", "tenant_config"), ("tenants", "agents", "config"))

_MARK = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


class Substitution:
    """The document with the values of variables in its configs, and where they are.

    Raise InvalidFile for variables that are not set, and for `${` without a name.
    """

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._places: set[Place] = set()  # of texts that have the value of a variable
        self._values: set[str] = set()
        self._document = document
        self._environment = environment
        self._problems: list[Problem] = []
        self._room = MAX_BYTES
        self.value = self._replaced(document.value, (), in_config=False)
        if self._problems:
            raise InvalidFile(*self._problems)

    def without_values(self, sentence: str) -> str:
        """Return a sentence with a mask in place of each value of a variable that it quotes."""
        for value in self._longest_first:
            sentence = sentence.replace(value, MASK)
        return sentence

    def hidden(self, value: Any, place: Place) -> Any:
        """Return a copy of the config that was declared at a place, with a mask in place of the values of variables.

        Values are known by their places, and as texts wherever they are.
        """
        if place in self._places and not isinstance(value, dict | list):
            return MASK
        if isinstance(value, dict):
            return {key: self.hidden(member, (*place, key)) for key, member in value.items()}
        if isinstance(value, list):
            return [self.hidden(item, (*place, number)) for number, item in enumerate(value)]
        is_quoting = isinstance(value, str) and any(each in value for each in self._longest_first)
        return MASK if is_quoting else value

    @cached_property
    def _longest_first(self) -> list[str]:
        return sorted(self._values, key=len, reverse=True)

    def _replaced(self, value: Any, place: Place, *, in_config: bool) -> Any:
        in_config = in_config or place[::2] in _CONFIGS
        if isinstance(value, dict):
            return {key: self._replaced(member, (*place, key), in_config=in_config) for key, member in value.items()}
        if isinstance(value, list):
            return [self._replaced(item, (*place, number), in_config=in_config) for number, item in enumerate(value)]
        return self._text(value, place) if in_config and isinstance(value, str) and "${" in value else value

    def _text(self, text: str, place: Place) -> str:
        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match[1]
            if name is None:
                self._refuse(place, _("${ begins the name of a variable, as in ${NAME}; write $${ for the text"))
                return ""
            value = self._environment.get(name)
            if value is None:
                self._refuse(place, _("the environment variable %(name)s is not set") % {"name": name})
                return ""
            try:
                strict_json.check(value)
            except strict_json.NotAcceptable:  # bytes that are not UTF-8 are surrogates in it
                self._refuse(place, _("the environment variable %(name)s is not UTF-8") % {"name": name})
                return ""
            self._take(value, place)
            return value

        return _MARK.sub(value_of, text)

    def _take(self, value: str, place: Place) -> None:
        self._places.add(place)
        if value:
            self._values.add(value)
        self._room -= len(value)
        if self._room < 0:
            raise InvalidFile(self._document.problem(place, _("the values of variables are too long")))

    def _refuse(self, place: Place, sentence: str) -> None:
        self._problems.append(self._document.problem(place, sentence))

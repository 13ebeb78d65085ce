"""The rule that defines which values of a document are secrets.

Secrets are texts and lists of texts at any depth below a documented path, or below a name that looks like a secret's.
Numbers, booleans and empty texts are never secrets. The rule covers agents' configs, templates, tenants' configs,
plugin settings and the operator's files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Any

from django.conf import settings

from agent_config.document import AGENT_DEFAULTS, NAMED_LISTS, SECTIONS

DOCUMENTED = (
    "config_overrides.maim_message.api_server_allowed_api_keys",
    "config_overrides.maim_message.auth_token",
    "config_overrides.mcp.servers[].authorization",
    "config_overrides.mcp.servers[].env",
    "config_overrides.mcp.servers[].headers",
    "config_overrides.model.api_providers[].api_key",
    "config_overrides.model.api_providers[].api_keys",
    "config_overrides.model.api_providers[].base_url",
    "config_overrides.model.api_providers[].default_headers",
    "config_overrides.model.api_providers[].default_query",
    "config_overrides.model.models[].extra_params.headers",
    "config_overrides.model.models[].extra_params.query",
)
# Names are compared in snake case: `accessToken`, `access-token` and `ACCESS_TOKEN` are all `access_token`.
CARRIERS = (
    "headers",
    "*_headers",
    "auth_header",
    "query",
    "default_query",
    "extra_query",
    "query_params",
    "query_parameters",
    "env",
    "*_env",
    "envs",
    "env_vars",
    "environment",
    "environment_variables",
    "cookies",
    "*_cookies",
)  # parts of a request or process in which any value may be a secret
SECRET_NAMES = (
    "key",
    "keys",
    "*_key",
    "*_keys",
    "*private_key*",
    "*token*",
    "*secret*",
    "*password*",
    "*passwd*",
    "pwd",
    "*_pwd",
    "*passphrase*",
    "*credential*",
    "authorization",
    "*_authorization",
    "auth",
    "bearer",
    "cookie",
    "*_cookie",
    "pat",
    "*_pat",
    "webhook*",
    "*_webhook*",
    "*密钥*",
    "*密码*",
    "*口令*",
    "*令牌*",
)
# Matched against names without separators between the words, such as `APIkey`.
RUN_TOGETHER = (
    "*apikey",
    "*apikeys",
    "*accesskey",
    "*accesskeys",
    "*authkey",
    "*appkey",
    "*privatekey*",
    "*secret*",
    "*password*",
    "*token*",
)
NOT_SECRETS = (
    "public_key",
    "public_keys",
    "*_public_key",
    "*_public_keys",
    "primary_key",
    "foreign_key",
    "sort_key",
    "hot_key",
    "hot_keys",
    "shortcut_key",
    "shortcut_keys",
    "tokenize*",
    "tokenise*",
    "*_tokenizer*",
    "max_token",
    "max_tokens",
    "max_*_tokens",
    "*_max_tokens",
    "min_tokens",
    "num_tokens",
    "n_tokens",
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "context_tokens",
    "reasoning_tokens",
    "stop_token",
    "stop_tokens",
    "special_tokens",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "token_budget*",
    "token_count*",
    "token_limit*",
    "token_type*",
    "token_usage*",
    "token_endpoint",
    "token_url",
    "token_file",
    "*_token_file",
    "secret_file",
    "*_secret_file",
    "password_file",
    "*_password_file",
)
# Names of a config's structure, which no pattern of an operator's can turn into secrets.
STRUCTURE = frozenset(
    {
        *SECTIONS,
        *(step for path in NAMED_LISTS for step in path),
        AGENT_DEFAULTS,
        "bot_overrides",
        "id",
        "model_list",
        "model_task_config",
        "name",
        "persona",
    }
)

_LONGEST = 100  # characters; longer names always count as a secret's
_MAX_CACHED = 10_000
_WORDS = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[\W_]+")

Node = dict[str, Any]  # the next steps of the documented paths; empty at the end of one


def snake_case(name: str) -> str:
    """Return the form in which names are compared."""
    name = unicodedata.normalize("NFKC", name)
    return _BETWEEN.sub("_", _WORDS.sub("_", name)).strip("_").casefold()


def _pattern(name: str) -> str:
    """Return an operator's pattern in the form in which names are compared."""
    name = _WORDS.sub("_", unicodedata.normalize("NFKC", name))
    return re.sub(r"[^\w*]+|_+", "_", name).casefold()


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")


_SECRET = _any_of((*CARRIERS, *SECRET_NAMES))
_CARRIER = _any_of(CARRIERS)
_RUN_TOGETHER = _any_of(RUN_TOGETHER)
_NOT_SECRET = _any_of(NOT_SECRETS)


class Names(dict[str, bool]):
    """A cache of names, and whether each looks like a secret's."""

    def __init__(self, of_operator: tuple[str, ...]) -> None:
        super().__init__()
        self._of_operator = _any_of(map(_pattern, of_operator))

    def __missing__(self, name: str) -> bool:
        if len(name) > _LONGEST:
            return True
        found = self._is_secret(snake_case(name))
        if len(self) >= _MAX_CACHED:
            self.clear()
        self[name] = found
        return found

    def _is_secret(self, name: str) -> bool:
        if name in STRUCTURE:
            return False
        if self._of_operator.match(name):
            return True
        if _NOT_SECRET.match(name):
            return False
        return bool(_SECRET.match(name) or _RUN_TOGETHER.match(name.replace("_", "")))


@lru_cache(maxsize=8)
def _names(of_operator: tuple[str, ...]) -> Names:
    return Names(of_operator)


def names() -> Names:
    """Return the names by the rule, including the patterns of MAIM_SECRET_NAMES."""
    return _names(settings.SECRET_NAMES)


def names_secret_value(name: str) -> bool:
    """Return whether a name looks like that of a single secret, unlike those in CARRIERS."""
    return names()[name] and not _CARRIER.match(snake_case(name))


def _documented() -> Node:
    root: Node = {}
    for path in DOCUMENTED:
        node = root
        for step in path.replace("[]", ".[]").split("."):
            node = node.setdefault(step, {})
    return {**root, AGENT_DEFAULTS: root}


# The documented paths as a tree, whose leaves are empty; "[]" stands for the items of a list.
ROOT = _documented()

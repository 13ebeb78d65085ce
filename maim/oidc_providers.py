"""The parser of the providers of OpenID Connect. It raises ValueError, whose text has no secrets."""

from __future__ import annotations

from collections import Counter
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from core.setting_types import DISCOVERY_PATH, OidcProvider

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "json_invalid": "must be JSON: a list of objects",
    "list_type": "must be a list",
    "frozen_set_type": "must be a list",
    "model_type": "must be an object",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "too_short": "must name a provider",
    "string_too_long": "may have at most {max_length} characters",
}


def _check_discovery_url(url: str) -> str:
    """Return the URL of a discovery document. Raise ValueError."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.hostname or parts.username or not url.isprintable() or not url.endswith(DISCOVERY_PATH):
        raise ValueError(f"must be an https:// URL that ends in {DISCOVERY_PATH}")
    return url


def _check_id(text: str) -> str:
    if not text.replace("-", "").isalnum() or not text.isascii() or text != text.lower():
        raise ValueError("must be of small letters, digits and hyphens, because it is a part of paths")
    return text


def _check_name(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line of printable characters")
    return text


def _check_scopes(scopes: list[str]) -> list[str]:
    if "openid" not in scopes:
        raise ValueError("must have openid")
    return scopes


_Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Provider(BaseModel):
    """A provider as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    id: Annotated[str, Field(min_length=1, max_length=30), AfterValidator(_check_id)]
    name: Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_check_name)]
    discovery_url: Annotated[_Text, AfterValidator(_check_discovery_url)]
    client_id: _Text
    client_secret: SecretStr | None = None
    scopes: Annotated[list[_Text], AfterValidator(_check_scopes)] = ["openid", "email", "profile"]
    role_claim: _Text | None = None
    operator_values: list[_Text] = []
    support_values: list[_Text] = []
    superuser_values: list[_Text] = []

    def to_setting(self) -> OidcProvider:
        secret = self.client_secret
        return OidcProvider(
            id=self.id,
            name=self.name,
            discovery_url=self.discovery_url,
            client_id=self.client_id,
            client_secret=secret.get_secret_value() if secret else None,
            scopes=tuple(self.scopes),
            role_claim=self.role_claim,
            operator_values=frozenset(self.operator_values),
            support_values=frozenset(self.support_values),
            superuser_values=frozenset(self.superuser_values),
        )


_PROVIDERS = TypeAdapter(Annotated[list[_Provider], Field(min_length=1)])


def parse_oidc_providers(text: str) -> tuple[OidcProvider, ...]:
    """Return the providers in a JSON list. Raise ValueError with all that is wrong."""
    try:
        providers = tuple(provider.to_setting() for provider in _PROVIDERS.validate_json(text))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        raise ValueError("; ".join(map(_sentence, wrong))) from None
    if problems := _conflicts(providers):
        raise ValueError("; ".join(problems))
    return providers


def check_oidc_providers(text: SecretStr) -> SecretStr:
    parse_oidc_providers(text.get_secret_value())
    return text


def _conflicts(providers: tuple[OidcProvider, ...]) -> list[str]:
    problems = [f"{id!r} is given twice" for id, times in Counter(each.id for each in providers).items() if times > 1]
    problems += [
        f"{each.id}: role_claim, and operator_values, support_values or superuser_values, need one another"
        for each in providers
        if bool(each.role_claim) != bool(each.operator_values or each.support_values or each.superuser_values)
    ]
    return problems


def _sentence(problem: ErrorDetails) -> str:
    """Return where a provider is wrong and how, without its value."""
    number, *path = problem["loc"] or (None,)
    where = ["" if number is None else f"provider {int(number) + 1}", *map(str, path)]
    if problem["type"] == "value_error":
        what = problem["msg"].removeprefix("Value error, ")
    else:
        what = _SENTENCES.get(problem["type"], "is not valid").format(**problem.get("ctx", {}))
    return ": ".join(part for part in (*where, what) if part)

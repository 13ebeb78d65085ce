"""The settings from the environment, with their checks and error messages.

Any variable may instead be given as a file: `MAIM_SECRET_KEY_FILE=/run/secrets/key`.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ModelWrapValidatorHandler, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from core.setting_types import AuthRate, Bind, OidcProvider, parse_bind
from maim.email_url import FILES, MailServer, parse_email_url
from maim.environment_fields import EnvironmentFields
from maim.environment_values import (
    FERNET_KEY_BYTES,
    parse_auth_rate,
    parse_encryption_keys,
    parse_key_peppers,
    parse_secret_keys,
)
from maim.oidc_providers import parse_oidc_providers

_FORMER_PEPPERS = "MAIM_KEY_SECRETS"


class InvalidEnvironment(Exception):
    """An invalid environment; the text has a line for each problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(f"  {problem}" for problem in problems))


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Environment(EnvironmentFields):
    """The settings, the rules between them, and what is derived from them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, _FileSource(settings_cls)

    @field_validator("MAIM_PASSKEY_DOMAIN")
    @classmethod
    def _check_passkey_domain(cls, domain: str | None, others: ValidationInfo) -> str | None:
        host = urlsplit(others.data.get("MAIM_PUBLIC_URL") or "").hostname or ""
        if domain is not None and not f".{host}".endswith(f".{domain}"):
            raise ValueError("must be the host of MAIM_PUBLIC_URL, or a domain above it")
        return domain

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_problems(cls, values: dict[str, Any], check: ModelWrapValidatorHandler[Self]) -> Self:
        lists = [name for name, field in cls.model_fields.items() if NoDecode in field.metadata]
        problems = _unreadable_files(values) + cls._conflicts(values)
        try:
            environment = check({**values, **{name: _split(values[name]) for name in lists if name in values}})
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)
            lines = [f"{problem['loc'][0]}: {_sentence(problem)}" for problem in wrong]
            raise InvalidEnvironment(*lines, *problems) from None
        if problems:
            raise InvalidEnvironment(*problems)
        return environment

    @classmethod
    def _conflicts(cls, values: Mapping[str, Any]) -> list[str]:
        """Return the problems between variables, as they were given; a variable may be wrong by itself too."""
        problems = []
        binds = ("MAIM_PUBLIC_BIND", "MAIM_INTERNAL_BIND")
        public, internal = (values.get(name, cls.model_fields[name].default).rpartition(":")[2] for name in binds)
        if public == internal:
            problems.append(f"{' and '.join(binds)}: must differ in their port, which tells the surfaces apart")
        if "DATABASE_URL" in values:
            problems += [
                f"{name}: required when DATABASE_URL is given (every machine must use the same one)"
                for name in ("MAIM_SECRET_KEY", "MAIM_KEY_PEPPERS", "MAIM_ENCRYPTION_KEYS")
                if not any(given in values for given in _given_as(name))
            ]
        if len({values[name] for name in ("MAIM_KEY_PEPPERS", _FORMER_PEPPERS) if name in values}) > 1:
            problems.append(f"{_FORMER_PEPPERS}: is the former name of MAIM_KEY_PEPPERS, which has another value")
        links_from = ("MAIM_PUBLIC_URL", "MAIM_EMAIL_LINKS")
        if "MAIM_EMAIL_URL" in values and not any(name in values for name in links_from):
            problems.append("MAIM_EMAIL_URL: needs MAIM_PUBLIC_URL or MAIM_EMAIL_LINKS, for the links in mails")
        if values.get("MAIM_PASSWORD_LOGIN") == "off" and "MAIM_OIDC_PROVIDERS" not in values:
            problems.append("MAIM_PASSWORD_LOGIN: off needs MAIM_OIDC_PROVIDERS, or nobody could sign in")
        workers = values.get("MAIM_WORKERS", "1")
        if workers.isdecimal() and int(workers) > 1 and "REDIS_URL" not in values:
            problems.append("MAIM_WORKERS: more than one needs REDIS_URL, or each would count limits for itself")
        return problems

    def unknown_variables(self) -> list[str]:
        """Return a sentence for each variable of the environment that looks like one of maim's and is none."""
        known = [name for field in type(self).model_fields for name in (field, f"{field}_FILE")]
        unknown = sorted(name for name in os.environ if name.startswith(("MAIM_", "MAIMBOT_")) and name not in known)
        return [
            f"{name} is not a setting"
            + "".join(f"; did you mean {near}?" for near in get_close_matches(name, known, 1))
            for name in unknown
        ]

    @property
    def public_bind(self) -> Bind:
        return parse_bind(self.MAIM_PUBLIC_BIND)

    @property
    def internal_bind(self) -> Bind:
        return parse_bind(self.MAIM_INTERNAL_BIND)

    @property
    def database_url(self) -> str:
        return self.DATABASE_URL or f"sqlite:///{self.MAIM_DATA_DIR.resolve() / 'maim.sqlite3'}"

    @property
    def auth_rate(self) -> AuthRate | None:
        return parse_auth_rate(self.MAIM_AUTH_RATE)

    @property
    def mail_server(self) -> MailServer:
        if self.MAIM_EMAIL_URL is not None:
            return parse_email_url(self.MAIM_EMAIL_URL.get_secret_value())
        return MailServer(FILES, directory=str(self.mail_directory))

    @property
    def mail_directory(self) -> Path:
        """The directory that mails are written to if there is no mail server."""
        return self.MAIM_DATA_DIR.resolve() / "mail"

    @property
    def email_from(self) -> str:
        host = urlsplit(self.MAIM_PUBLIC_URL or "").hostname or "localhost"
        return self.MAIM_EMAIL_FROM or f"noreply@{host}"

    @property
    def people_url(self) -> str:
        """The origin under which people reach the public surface."""
        return self.MAIM_PUBLIC_URL or f"http://localhost:{self.public_bind.port}"

    @property
    def email_links(self) -> str:
        """The template of the links in mails."""
        return self.MAIM_EMAIL_LINKS or f"{self.people_url}/account/{{action}}#token={{token}}"

    @property
    def oidc_providers(self) -> dict[str, OidcProvider]:
        """The providers of OpenID Connect, by id."""
        given = self.MAIM_OIDC_PROVIDERS
        providers = parse_oidc_providers(given.get_secret_value()) if given else ()
        return {provider.id: provider for provider in providers}

    def secret_key(self) -> str:
        """Return the given secret key, or the one kept in the data directory. Raise InvalidEnvironment."""
        if self.MAIM_SECRET_KEY is not None:
            return self.MAIM_SECRET_KEY.get_secret_value()
        return self._kept_secret("secret_key", secrets.token_urlsafe(48))

    @property
    def secret_key_fallbacks(self) -> list[str]:
        """The former secret keys, newest first."""
        given = self.MAIM_SECRET_KEY_FALLBACKS
        return parse_secret_keys(given.get_secret_value()) if given else []

    def key_peppers(self) -> dict[int, str]:
        """Return the peppers of API keys by id, newest first: as given, or as kept in the data directory.

        Raise InvalidEnvironment.
        """
        if given := self.MAIM_KEY_PEPPERS or self.MAIM_KEY_SECRETS:
            return parse_key_peppers(given.get_secret_value())
        return parse_key_peppers(self._kept_secret("key_secrets", f"1:{secrets.token_urlsafe(48)}"))

    def encryption_keys(self) -> tuple[str, ...]:
        """Return the Fernet keys, newest first. Raise InvalidEnvironment."""
        if self.MAIM_ENCRYPTION_KEYS is not None:
            return parse_encryption_keys(self.MAIM_ENCRYPTION_KEYS.get_secret_value())
        fresh = base64.urlsafe_b64encode(secrets.token_bytes(FERNET_KEY_BYTES)).decode()
        return parse_encryption_keys(self._kept_secret("encryption_keys", fresh))

    def make_data_dir(self) -> None:
        """Create the data directory, for its owner alone, if it is missing. Raise InvalidEnvironment."""
        try:
            self.MAIM_DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidEnvironment(f"MAIM_DATA_DIR: cannot be made ({error.strerror})") from error

    def _kept_secret(self, name: str, fresh: str) -> str:
        """Return the secret in a file of the data directory. Write `fresh` there first if the file is missing."""
        self.make_data_dir()
        path = self.MAIM_DATA_DIR / name
        try:
            if not path.exists():
                _write_once(path, fresh + "\n")
            return path.read_text().strip()
        except OSError as error:
            raise InvalidEnvironment(f"MAIM_DATA_DIR: cannot keep {name} ({error.strerror})") from error


class _FileSource(PydanticBaseSettingsSource):
    """A settings source that reads `NAME` from the file in `NAME_FILE`, as container secrets are given.

    An unreadable file is passed on as `NAME_FILE` with its error, so that it is reported with the other problems.
    """

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name}_FILE")
        if not path or os.environ.get(field_name):
            return None, field_name, False
        try:
            return Path(path).read_text().strip() or None, field_name, False
        except (OSError, UnicodeDecodeError) as error:
            return error, f"{field_name}_FILE", False

    def __call__(self) -> dict[str, Any]:
        found = [self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items()]
        return {name: value for value, name, _is_complex in found if value is not None}


# Pydantic's types of errors, in words for operators.
_SENTENCES = {
    "int_parsing": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "path_not_file": "is not a file",
}


def _sentence(problem: ErrorDetails) -> str:
    """Return what is wrong with a value, without the value."""
    if problem["type"] == "value_error":  # raised by a check of ours
        return problem["msg"].removeprefix("Value error, ")
    return _SENTENCES.get(problem["type"], "is not valid").format(**problem.get("ctx", {}))


def _given_as(name: str) -> list[str]:
    """Return the variables that may give this setting."""
    names = [name, _FORMER_PEPPERS] if name == "MAIM_KEY_PEPPERS" else [name]
    return [*names, *(f"{name}_FILE" for name in names)]


def _unreadable_files(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: cannot be read ({value.strerror if isinstance(value, OSError) else 'it is not text'})"
        for name, value in values.items()
        if isinstance(value, OSError | UnicodeDecodeError)
    ]


def _write_once(path: Path, text: str) -> None:
    """Write `text` to `path` atomically and readable by its owner only, unless another process did already."""
    mine = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    mine.touch(mode=0o600, exist_ok=False)
    try:
        mine.write_text(text)
        os.link(mine, path)
    except FileExistsError:
        pass  # written by another process at the same moment
    finally:
        mine.unlink()


def load() -> Environment:
    """Return the checked environment. Raise InvalidEnvironment."""
    return Environment()  # type: ignore[call-arg]  # every field has a default

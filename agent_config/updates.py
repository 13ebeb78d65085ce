"""Updates of stored configs: an agent's, a template's, and the defaults in a tenant's config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import addresses, merging, names, schema, secrets, system, validators
from agent_config.document import AGENT_DEFAULTS, Config, agent_defaults
from agent_config.errors import BadConfig
from agent_config.layers import Layer, resolve
from agent_config.schema import ConfigWarning, Finding, path, sent_place
from core.errors import Text

TENANT_CONFIG = "tenant_config"


class UpdatedConfig(NamedTuple):
    """A config to store, with its secrets sealed, and the warnings about it."""

    config: Config
    warnings: list[ConfigWarning]


def apply_update(
    stored: Config,
    sent: Config,
    *,
    below: Sequence[Layer],
    others: Sequence[Sequence[Layer]] = (),
    is_trusted: bool = False,
    may_move_secrets: bool = False,
    schema_name: str = schema.DEFAULT,
    replace: bool = False,
    strict: bool = False,
) -> UpdatedConfig:
    """Return the stored config with `sent` merged into it, or with `replace` in its place.

    `below` are the layers below the config, `others` alternatives to them. An operator's config (`is_trusted`) may
    change the items of the layers below. A stored secret may be combined with another address only if the author
    `may_move_secrets`. Raise BadConfig with all errors by path; with `strict`, warnings about sent values are errors.
    """
    validators.check_sent(sent, stored)
    errors = _Errors()
    unmasked = sent
    with errors.collected():
        unmasked = secrets.unmasked(sent, stored)
    is_mergeable = schema.is_mergeable(sent)
    result = merging.merge({} if replace else stored, unmasked) if is_mergeable else sent
    replacements, wrong, warnings = schema.validate(
        secrets.opened_or_masked(result), secrets.opened_or_masked(stored), schema_name
    )
    result = schema.replace_values(result, replacements)
    errors.add(wrong, sent)
    with errors.collected():
        if not is_trusted:
            names.check_names(result, [below, *others], stored=stored, sent=sent)
    if not is_mergeable:
        raise BadConfig(errors.found)
    with errors.collected():
        if not may_move_secrets:
            addresses.check_moved(sent, stored, result)
    with errors.collected():
        validators.check_size(result, stored)
    warnings += _unknown_models(result, [*below, Layer("", result, is_trusted)])
    if strict:
        errors.add(warnings, sent, only_sent=True)
    if errors.found:
        raise BadConfig(errors.found)
    return UpdatedConfig(secrets.sealed(result, stored), _config_warnings(warnings))


def lint_config(
    config: Config, below: Sequence[Layer], *, schema_name: str = schema.DEFAULT, is_trusted: bool = False
) -> list[ConfigWarning]:
    """Return the warnings about a stored config over the layers `below`. An operator's config `is_trusted`."""
    unknown = _unknown_models(config, [*below, Layer("", config, is_trusted)])
    return [*schema.warnings(secrets.opened_or_masked(config), schema_name), *_config_warnings(unknown)]


def errors_by_path(warnings: Iterable[ConfigWarning]) -> dict[str, list[Text]]:
    """Return warnings as errors, for clients that ask for strict handling."""
    errors: dict[str, list[Text]] = {}
    for warning in warnings:
        errors.setdefault(warning.path, []).append(warning.message)
    return errors


def _config_warnings(findings: Iterable[Finding]) -> list[ConfigWarning]:
    return [ConfigWarning(path(place), sentence) for place, sentence in findings]


def _unknown_models(config: Config, stack: Sequence[Layer]) -> list[Finding]:
    """Return a finding for each model or provider that a config names and no layer of the stack has."""
    if not schema.names_others(config):
        return []
    resolved = resolve(stack)
    return [*schema.unknown_models(config, resolved), *schema.unknown_providers(config, resolved)]


class _Errors:
    """The errors of several checks, by path."""

    def __init__(self) -> None:
        self.found: dict[str, list[Text]] = {}

    def add(self, findings: Iterable[Finding], sent: Config, *, only_sent: bool = False) -> None:
        """Add findings under the paths by which they were sent. With `only_sent`, skip those that were not sent."""
        for place, sentence in findings:
            found = sent_place(place, sent)
            if found is not None or not only_sent:
                self.found.setdefault(path(found or place), []).append(sentence)

    @contextmanager
    def collected(self, prefix: str = "") -> Iterator[None]:
        """Collect the errors of a check that raises BadConfig, so that the next check runs as well."""
        try:
            yield
        except BadConfig as error:
            for place, sentences in error.errors.items():
                self.found.setdefault(f"{prefix}{place}", []).extend(sentences)


class UpdatedTenantConfig(NamedTuple):
    """A tenant config to store, with its secrets sealed, and the warnings about the agents' defaults in it."""

    config: dict[str, Any] | None
    warnings: list[ConfigWarning]


def apply_tenant_update(
    stored: dict[str, Any] | None,
    sent: dict[str, Any] | None,
    *,
    templates: Iterable[Layer] = (),
    schema_name: str = schema.DEFAULT,
    may_move_secrets: bool = False,
    strict: bool = False,
) -> UpdatedTenantConfig:
    """Return the tenant config to store for a sent one, which replaces the stored one but for masked secrets.

    `templates` may be below the tenant's defaults; they are read only if there are defaults. Raise BadConfig, whose
    paths begin with `tenant_config`.
    """
    if sent is None:
        return UpdatedTenantConfig(None, [])
    errors = _Errors()
    before = {key: value for key, value in (stored or {}).items() if key != AGENT_DEFAULTS}
    result = own = {key: value for key, value in sent.items() if key != AGENT_DEFAULTS}
    if validators.has_too_many_secrets([own], before):
        raise BadConfig({TENANT_CONFIG: [_("the config may have at most 5,000 secrets")]})
    with errors.collected(f"{TENANT_CONFIG}."):
        unmasked = secrets.unmasked(own, before)
        if not may_move_secrets:
            addresses.check_tenant_moved(own, before, unmasked)
        result = secrets.sealed(unmasked, before)
    warnings: list[ConfigWarning] = []
    defaults = sent.get(AGENT_DEFAULTS)
    if defaults is not None:
        whole = f"{TENANT_CONFIG}.{AGENT_DEFAULTS}"
        if not isinstance(defaults, dict):
            raise BadConfig({**errors.found, whole: [_("must be an object")]})
        with errors.collected(f"{whole}."):
            below = [system.defaults(schema_name).layer]
            new = apply_update(
                agent_defaults(stored),
                defaults,
                below=below,
                others=[[*below, template] for template in templates] if defaults else [],
                may_move_secrets=may_move_secrets,
                schema_name=schema_name,
                replace=True,
                strict=strict,
            )
            result[AGENT_DEFAULTS] = new.config
            warnings = [ConfigWarning(f"{whole}.{each.path}", each.message) for each in new.warnings]
    if errors.found:
        raise BadConfig(errors.found)
    return UpdatedTenantConfig({key: result[key] for key in sent if key in result}, warnings)


def masked_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a tenant config with its secrets masked, for people."""
    return None if tenant_config is None else secrets.masked(tenant_config)


def internal_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a tenant config for services: the tenant's own secrets in clear, those of the agents' defaults masked."""
    if tenant_config is None:
        return None
    own = {key: value for key, value in tenant_config.items() if key != AGENT_DEFAULTS}
    return {**secrets.masked(tenant_config), **secrets.opened_or_masked(own)}


def comparable_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a tenant config for comparison with another, sealed or not (agent_config.secrets.comparable)."""
    return None if tenant_config is None else secrets.comparable(tenant_config)

"""The one way in which a stored config becomes another: an agent's, a template's or a tenant's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from agent_config import addresses, merging, names, schema, secrets, system, validators
from agent_config.document import AGENT_DEFAULTS, Config
from agent_config.errors import BadConfig
from agent_config.layers import Layer, resolve
from agent_config.schema import Notice, Warned, as_sent, path
from core.errors import Text

TENANT_CONFIG = "tenant_config"


class Changed(NamedTuple):
    """A config to store, its secrets sealed, and what looks odd in it."""

    config: Config
    warnings: list[Notice]


def changed(
    stored: Config,
    sent: Config,
    *,
    below: Sequence[Layer],
    others: Sequence[Sequence[Layer]] = (),
    is_trusted: bool = False,
    may_move_secrets: bool = False,
    replace: bool = False,
    strict: bool = False,
) -> Changed:
    """Return the config to store after `sent` came in over the layers `below`; with `replace`, nothing else is kept.

    `others` are stacks of layers that may lie below in the place of `below`. An operator's config (`is_trusted`) may
    change what the layers below define. A stored secret may be kept with another address only if the author
    `may_move_secrets`. Raise BadConfig, which names every path that is wrong; with `strict` also those in `sent` that
    look odd.
    """
    validators.check_sent(sent, stored)
    errors = _Errors()
    meant = sent
    with errors.collected():
        meant = secrets.unmasked(sent, stored)
    is_mergeable = schema.is_mergeable(sent)
    result = merging.merge({} if replace else stored, meant) if is_mergeable else sent
    meanings, wrong, warned = schema.checked(secrets.opened_or_masked(result), secrets.opened_or_masked(stored))
    result = schema.replaced(result, meanings)
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
    warned += _unknown_models(result, [*below, Layer("", result, is_trusted)])
    if strict:
        errors.add(warned, sent, only_sent=True)
    if errors.found:
        raise BadConfig(errors.found)
    return Changed(secrets.sealed(result, stored), [Notice(path(place), sentence) for place, sentence in warned])


def warnings_over(config: Config, below: Sequence[Layer], *, is_trusted: bool = False) -> list[Notice]:
    """Return what looks odd in a stored config, an operator's if it `is_trusted`, over the layers below it."""
    unknown = _unknown_models(config, [*below, Layer("", config, is_trusted)])
    found = [Notice(path(place), sentence) for place, sentence in unknown]
    return [*schema.warnings(secrets.opened_or_masked(config)), *found]


def by_path(notices: Iterable[Notice]) -> dict[str, list[Text]]:
    """Return warnings as the errors that they are for who asks for strict handling."""
    found: dict[str, list[Text]] = {}
    for place, message in notices:
        found.setdefault(place, []).append(message)
    return found


def _unknown_models(config: Config, stack: Sequence[Layer]) -> list[Warned]:
    """Return the names in a config's tasks of models that none of the layers has, its own included."""
    if next(schema.named_models(config), None) is None:
        return []
    return list(schema.unknown_models(config, resolve(stack)))


class _Errors:
    """What several checks find wrong, by path."""

    def __init__(self) -> None:
        self.found: dict[str, list[Text]] = {}

    def add(self, faults: Iterable[Warned], sent: Config, *, only_sent: bool = False) -> None:
        """Note faults under the paths by which they were sent; with `only_sent` no others."""
        for place, sentence in faults:
            found = as_sent(place, sent)
            if found is not None or not only_sent:
                self.found.setdefault(path(found or place), []).append(sentence)

    @contextmanager
    def collected(self, prefix: str = "") -> Iterator[None]:
        """Around a check that raises BadConfig: the next one is made, too."""
        try:
            yield
        except BadConfig as error:
            for place, sentences in error.errors.items():
                self.found.setdefault(f"{prefix}{place}", []).extend(sentences)


def agent_defaults(tenant_config: dict[str, Any] | None) -> Config:
    """What a tenant says for all of its agents, sealed."""
    found = (tenant_config or {}).get(AGENT_DEFAULTS)
    return found if isinstance(found, dict) else {}


class ChangedTenantConfig(NamedTuple):
    """A tenant config to store, its secrets sealed, and what looks odd in the agents' defaults in it."""

    config: dict[str, Any] | None
    warnings: list[Notice]


def changed_tenant_config(
    stored: dict[str, Any] | None,
    sent: dict[str, Any] | None,
    *,
    templates: Iterable[Layer] = (),
    may_move_secrets: bool = False,
    strict: bool = False,
) -> ChangedTenantConfig:
    """Return the tenant config to store after `sent`, which replaces it; a mask keeps the stored secret.

    `templates` are those that may lie below the tenant's defaults; they are asked for only if there are defaults.
    Raise BadConfig, whose paths begin with `tenant_config`.
    """
    if sent is None:
        return ChangedTenantConfig(None, [])
    errors = _Errors()
    before = {key: value for key, value in (stored or {}).items() if key != AGENT_DEFAULTS}
    result = own = {key: value for key, value in sent.items() if key != AGENT_DEFAULTS}
    with errors.collected(f"{TENANT_CONFIG}."):
        meant = secrets.unmasked(own, before)
        if not may_move_secrets:
            addresses.check_tenant_moved(own, before, meant)
        result = secrets.sealed(meant, before)
    warnings: list[Notice] = []
    defaults = sent.get(AGENT_DEFAULTS)
    if defaults is not None:
        whole = f"{TENANT_CONFIG}.{AGENT_DEFAULTS}"
        if not isinstance(defaults, dict):
            raise BadConfig({**errors.found, whole: [_("must be an object")]})
        with errors.collected(f"{whole}."):
            below = [system.defaults().layer]
            new = changed(
                agent_defaults(stored),
                defaults,
                below=below,
                others=[[*below, template] for template in templates] if defaults else [],
                may_move_secrets=may_move_secrets,
                replace=True,
                strict=strict,
            )
            result[AGENT_DEFAULTS] = new.config
            warnings = [Notice(f"{whole}.{notice.path}", notice.message) for notice in new.warnings]
    if errors.found:
        raise BadConfig(errors.found)
    return ChangedTenantConfig({key: result[key] for key in sent if key in result}, warnings)


def masked_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return it as people may see it."""
    return None if tenant_config is None else secrets.masked(tenant_config)


def internal_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return it as services may see it: what is their tenant's own in clear, and the agents' defaults masked."""
    if tenant_config is None:
        return None
    own = {key: value for key, value in tenant_config.items() if key != AGENT_DEFAULTS}
    return {**secrets.masked(tenant_config), **secrets.opened_or_masked(own)}


def comparable_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return it as it may be compared with another, sealed or not (agent_config.secrets.comparable)."""
    return None if tenant_config is None else secrets.comparable(tenant_config)

"""The one way in which a stored config becomes another: an agent's, a template's or a tenant's defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from agents.config import merging, rules, schema, secrets, system
from agents.config.document import AGENT_DEFAULTS, Config
from agents.config.layers import Layer, resolve
from agents.errors import BadConfig
from maim.common.errors import Text


def changed(
    stored: Config, sent: Config, *, below: Sequence[Layer], is_trusted: bool = False, replace: bool = False
) -> Config:
    """The config to store after `sent` came in over the layers `below`; with `replace`, nothing else is kept.

    Its secrets are sealed. An operator's (`is_trusted`) may change what the layers below define. Raises
    BadConfig, which names every path that is wrong.
    """
    rules.check_sent(sent, stored)
    errors = _Errors()
    meant = sent
    with errors.collected():
        schema.check(sent, stored)
    with errors.collected():
        if not is_trusted:
            rules.check_names(sent, stored, below)
    with errors.collected():
        meant = secrets.unmasked(sent, stored)
    if errors.found and not schema.is_mergeable(sent):
        raise BadConfig(errors.found)
    result = merging.merge({} if replace else stored, meant)
    with errors.collected():
        rules.check_size(result, stored)
    with errors.collected():
        before, after = (resolve([*below, Layer("", config, is_trusted)]) for config in (stored, result))
        schema.check_models(sent, after, stored=stored, resolved_before=before)
    if errors.found:
        raise BadConfig(errors.found)
    return secrets.sealed(result, stored)


class _Errors:
    """What several checks find wrong, by path."""

    def __init__(self) -> None:
        self.found: dict[str, list[Text]] = {}

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


def changed_tenant_config(stored: dict[str, Any] | None, sent: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the tenant config to store after `sent`, which replaces it; a mask keeps the stored secret.

    Raise BadConfig, whose paths begin with `tenant_config`.
    """
    if sent is None:
        return None
    before, errors = stored or {}, _Errors()
    result = {key: value for key, value in sent.items() if key != AGENT_DEFAULTS}
    with errors.collected("tenant_config."):
        result = secrets.sealed(secrets.unmasked(result, before), before)
    defaults = sent.get(AGENT_DEFAULTS)
    if defaults is not None:
        if not isinstance(defaults, dict):
            raise BadConfig({**errors.found, f"tenant_config.{AGENT_DEFAULTS}": [_("must be an object")]})
        with errors.collected(f"tenant_config.{AGENT_DEFAULTS}."):
            below = [system.defaults().layer]
            result[AGENT_DEFAULTS] = changed(agent_defaults(stored), defaults, below=below, replace=True)
    if errors.found:
        raise BadConfig(errors.found)
    return {key: result[key] for key in sent if key in result}


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
    """Return it as it may be compared with another, sealed or not (agents.config.secrets.comparable)."""
    return None if tenant_config is None else secrets.comparable(tenant_config)

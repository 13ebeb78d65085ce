"""The one way in which a stored config becomes another: an agent's, a template's or a tenant's defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from agents.config import merging, rules, schema, secrets, system
from agents.config.document import Config
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
    def collected(self) -> Iterator[None]:
        """Around a check that raises BadConfig: the next one is made, too."""
        try:
            yield
        except BadConfig as error:
            for place, sentences in error.errors.items():
                self.found.setdefault(place, []).extend(sentences)


# In `tenant_config`, whose other keys are the tenant's own business.
AGENT_DEFAULTS = "agent_defaults"


def agent_defaults(tenant_config: dict[str, Any] | None) -> Config:
    """What a tenant says for all of its agents, sealed."""
    found = (tenant_config or {}).get(AGENT_DEFAULTS)
    return found if isinstance(found, dict) else {}


def changed_tenant_config(stored: dict[str, Any] | None, sent: dict[str, Any] | None) -> dict[str, Any] | None:
    """The tenant config to store after `sent`, which replaces it; a mask keeps the stored secret.

    Raises BadConfig, whose paths begin with `tenant_config.agent_defaults`.
    """
    if sent is None or AGENT_DEFAULTS not in sent:
        return sent
    path = f"tenant_config.{AGENT_DEFAULTS}"
    defaults = sent[AGENT_DEFAULTS]
    if defaults is None:
        return {key: value for key, value in sent.items() if key != AGENT_DEFAULTS}
    if not isinstance(defaults, dict):
        raise BadConfig({path: [_("must be an object")]})
    try:
        return {
            **sent,
            AGENT_DEFAULTS: changed(agent_defaults(stored), defaults, below=[system.defaults().layer], replace=True),
        }
    except BadConfig as error:
        raise BadConfig({f"{path}.{place}": sentences for place, sentences in error.errors.items()}) from error


def masked_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """As it may be shown."""
    if tenant_config is None or AGENT_DEFAULTS not in tenant_config:
        return tenant_config
    return {**tenant_config, AGENT_DEFAULTS: secrets.masked(agent_defaults(tenant_config))}


def comparable_tenant_config(tenant_config: dict[str, Any] | None) -> dict[str, Any] | None:
    """As it may be compared with another, sealed or not (agents.config.secrets.comparable)."""
    if tenant_config is None or AGENT_DEFAULTS not in tenant_config:
        return tenant_config
    return {**tenant_config, AGENT_DEFAULTS: secrets.comparable(agent_defaults(tenant_config))}

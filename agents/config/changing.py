"""The one way in which a stored config becomes another: an agent's, a template's or a tenant's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from agents.config import addresses, merging, names, rules, schema, secrets, system
from agents.config.document import AGENT_DEFAULTS, Config
from agents.config.layers import Layer, resolve
from agents.errors import BadConfig
from maim.common.errors import Text


def changed(
    stored: Config,
    sent: Config,
    *,
    below: Sequence[Layer],
    others: Sequence[Sequence[Layer]] = (),
    is_trusted: bool = False,
    may_move_secrets: bool = False,
    replace: bool = False,
) -> Config:
    """The config to store after `sent` came in over the layers `below`; with `replace`, nothing else is kept.

    Its secrets are sealed. `others` are stacks of layers that may lie below in the place of `below`. An operator's
    config (`is_trusted`) may change what the layers below define. A stored secret may be kept with another address
    only if the author `may_move_secrets`. Raises BadConfig, which names every path that is wrong.
    """
    rules.check_sent(sent, stored)
    errors = _Errors()
    meant = sent
    with errors.collected():
        schema.check(sent, stored)
    with errors.collected():
        meant = secrets.unmasked(sent, stored)
    is_mergeable = not errors.found or schema.is_mergeable(sent)
    result = merging.merge({} if replace else stored, meant) if is_mergeable else sent
    with errors.collected():
        if not is_trusted:
            names.check_names(result, [below, *others], stored=stored, sent=sent)
    if not is_mergeable:
        raise BadConfig(errors.found)
    with errors.collected():
        if not may_move_secrets:
            addresses.check_moved(sent, stored, result)
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


def changed_tenant_config(
    stored: dict[str, Any] | None,
    sent: dict[str, Any] | None,
    *,
    templates: Iterable[Layer] = (),
    may_move_secrets: bool = False,
) -> dict[str, Any] | None:
    """Return the tenant config to store after `sent`, which replaces it; a mask keeps the stored secret.

    `templates` are those that may lie below the tenant's defaults; they are asked for only if there are defaults.
    Raise BadConfig, whose paths begin with `tenant_config`.
    """
    if sent is None:
        return None
    errors = _Errors()
    before = {key: value for key, value in (stored or {}).items() if key != AGENT_DEFAULTS}
    result = own = {key: value for key, value in sent.items() if key != AGENT_DEFAULTS}
    with errors.collected("tenant_config."):
        meant = secrets.unmasked(own, before)
        if not may_move_secrets:
            addresses.check_moved(own, before, meant)
        result = secrets.sealed(meant, before)
    defaults = sent.get(AGENT_DEFAULTS)
    if defaults is not None:
        if not isinstance(defaults, dict):
            raise BadConfig({**errors.found, f"tenant_config.{AGENT_DEFAULTS}": [_("must be an object")]})
        with errors.collected(f"tenant_config.{AGENT_DEFAULTS}."):
            below = [system.defaults().layer]
            result[AGENT_DEFAULTS] = changed(
                agent_defaults(stored),
                defaults,
                below=below,
                others=[[*below, template] for template in templates] if defaults else [],
                may_move_secrets=may_move_secrets,
                replace=True,
            )
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

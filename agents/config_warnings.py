"""What looks odd in stored configs, for whoever reads them.

It depends on the config, on the layers below it where it names models, and on the language. A worker remembers it for
as long as none of these changes, so that a list of a hundred agents is hardly slower than without it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from django.utils.translation import get_language

from agent_config import schema, system
from agent_config.document import Config
from agent_config.layers import Layer
from agent_config.schema import Notice
from agent_config.system import Defaults
from agent_config.updates import warnings_over
from agent_config.validators import has_more_values
from agents.effective_config import Head, heads, lower_layers
from agents.models import Agent, Template
from agents.remembered import Remembered
from core import primary

# Lists do not look at configs of more values: a page of the largest would take many seconds.
MAX_LISTED_VALUES = 500
_MAX_REMEMBERED = 20_000  # configs and warnings


class Row(NamedTuple):
    """An agent's config as it was read, and the state of its layers."""

    head: Head
    revision: int
    config: Config


class _Found(NamedTuple):
    """What looks odd in a config; None where a list was asked for, and the config is too large for it."""

    notices: Sequence[Notice] | None


_remembered: Remembered[Hashable, _Found] = Remembered(
    _MAX_REMEMBERED, weigh=lambda found: 1 + len(found.notices or ())
)


def find_warnings(agent: Agent) -> None:
    """Find what looks odd in the config of an agent that was read; what a write has found stays.

    Takes a query for its head. Not for use in a transaction that has written: what is found is remembered, and the
    transaction may be rolled back.
    """
    if agent.found_warnings is None:
        head = heads([agent.id]).get(agent.id)
        found = [] if head is None else warnings_of(Row(head, agent.revision, agent.config))  # None: just deleted
        agent.found_warnings = found


def warnings_of(row: Row) -> Sequence[Notice]:
    """Return what looks odd in a config."""
    [notices] = _of_rows([row], in_list=False)
    return notices or []


def listed_warnings(rows: Sequence[Row]) -> list[Sequence[Notice] | None]:
    """Return what looks odd in each config; None for one of more than MAX_LISTED_VALUES values.

    Where a config names models, the same is said of the layers below it.
    """
    return _of_rows(rows, in_list=True)


def find_template_warnings(template: Template) -> None:
    """Find what looks odd in the config of a template that was read; what a write has found stays."""
    if template.found_warnings is None:
        template.found_warnings = _of_template(template, in_list=False) or []


def listed_template_warnings(template: Template) -> Sequence[Notice] | None:
    """Return what looks odd in the config of a template; None if it has more than MAX_LISTED_VALUES values."""
    return _of_template(template, in_list=True)


def _of_rows(rows: Sequence[Row], *, in_list: bool) -> list[Sequence[Notice] | None]:
    defaults = system.defaults()
    state = _state(defaults)
    keys = [(row.head, row.revision, *state) for row in rows]
    found = [_known(key, in_list=in_list) for key in keys]
    needed = [row.head for row, known in zip(rows, found, strict=True) if known is None and _names_models(row.config)]
    below = lower_layers(needed, defaults) if needed else {}
    sizes = dict[int, bool]()
    return [
        (known or _look(key, row.config, below.get(row.head.agent_id, ()), sizes, in_list=in_list)).notices
        for key, row, known in zip(keys, rows, found, strict=True)
    ]


def _of_template(template: Template, *, in_list: bool) -> Sequence[Notice] | None:
    defaults = system.defaults()
    key = (template.pk, template.revision, *_state(defaults))
    is_trusted = template.tenant_id is None
    known = _known(key, in_list=in_list)
    found = known or _look(key, template.config, [defaults.layer], {}, in_list=in_list, is_trusted=is_trusted)
    return found.notices


def _state(defaults: Defaults) -> tuple[str, str | None, Hashable]:
    """Return what warnings depend on besides a row and its layers."""
    return defaults.fingerprint, get_language(), primary.server()


def _known(key: Hashable, *, in_list: bool) -> _Found | None:
    """Return what is remembered; to others than lists it says nothing that a config is too large for a list."""
    found = _remembered.get(key)
    return found if in_list or found is None or found.notices is not None else None


def _look(
    key: Hashable,
    config: Config,
    below: Sequence[Layer],
    sizes: dict[int, bool],
    *,
    in_list: bool,
    is_trusted: bool = False,
) -> _Found:
    """Look at a config over the layers below it. What takes long is done for no list, and not remembered.

    `sizes` holds which layers are large, by the identities of their configs.
    """
    is_large = has_more_values(config, MAX_LISTED_VALUES)
    for layer in below:
        if layer.name != "default":  # the operators' own
            if id(layer.config) not in sizes:
                sizes[id(layer.config)] = has_more_values(layer.config, MAX_LISTED_VALUES)
            is_large = is_large or sizes[id(layer.config)]
    if is_large and not in_list:
        return _Found(warnings_over(config, below, is_trusted=is_trusted))
    found = _Found(None if is_large else warnings_over(config, below, is_trusted=is_trusted))
    _remembered.put(key, found)
    return found


def _names_models(config: Config) -> bool:
    return next(schema.named_models(config), None) is not None

"""Versions of an agent's config: reading, comparing and restoring them."""

from __future__ import annotations

from collections.abc import Container

from django.db.models import QuerySet
from django.utils import timezone

from agent_config.patches import Patch, masked_patch
from agents.errors import VersionNotFound
from agents.models import Agent, ConfigVersion
from agents.services.config_writes import AgentConfigWrite
from core import audit
from core.actor import Actor
from core.db import transactional
from core.prepared_writes import one_round_trip


def versions_of(agent: Agent) -> QuerySet[ConfigVersion]:
    """Return the versions of an agent's config, newest first, without the configs themselves."""
    return ConfigVersion.objects.in_tenants([agent.tenant_id]).filter(agent=agent).defer("config").order_by("-number")


class VersionList:
    """The versions of `versions_of`, for paginated lists. Their numbers have no gaps, so no row is passed over."""

    def __init__(self, agent: Agent) -> None:
        self._rows, self._number = versions_of(agent), agent.config_version

    def __getitem__(self, part: slice) -> QuerySet[ConfigVersion]:
        newest = self._number - part.start
        return self._rows.filter(number__lte=newest, number__gt=newest - (part.stop - part.start))

    def count(self) -> int:
        """Return the number of versions."""
        return self._number

    def after(self, cursor: int) -> QuerySet[ConfigVersion]:
        """Return the versions with greater numbers, in the order of these."""
        return self._rows.filter(number__gt=cursor).order_by("number")


def get_version(agent: Agent, number: int) -> ConfigVersion:
    """Return one version with its config. Raise VersionNotFound."""
    version = ConfigVersion.objects.in_tenants([agent.tenant_id]).filter(agent=agent, number=number).first()
    if version is None:
        raise VersionNotFound
    return version


def diff(agent: Agent, first: int, second: int) -> Patch:
    """Return the patch from one version to another, secrets masked. Raise VersionNotFound."""
    return masked_patch(get_version(agent, first).config, get_version(agent, second).config)


@transactional
def restore(
    *,
    actor: Actor,
    agent: Agent,
    version: int,
    note: str | None = None,
    expected: Container[int] | None = None,
    strict: bool = False,
) -> Agent:
    """Make the config of a version the current one again, as a new version unless it is current already.

    Raise VersionNotFound, AgentNotFound, PreconditionFailed, and BadConfig where a layer below has since taken one of
    its names, or with `strict` where it gets warnings.
    """
    write = AgentConfigWrite.lock(agent, actor=actor, expected=expected)
    row, number_before = write.row, write.row.config_version
    write.restore(get_version(row, version), strict=strict)
    if write.is_changed:
        row.updated_at = timezone.now()
        with one_round_trip():
            row.save(update_fields=["config", "config_version", "updated_at"])
            write.record(note=note)
            audit.record(
                actor=actor,
                action="agent.restore",
                object_id=row.id,
                tenant_id=row.tenant_id,
                before={"config_version": number_before},
                after={"config_version": row.config_version, "restored": version},
            )
    return row

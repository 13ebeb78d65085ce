"""What a run did, and what it found wrong with the old data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """What became of an object that was read."""

    WRITTEN = "written"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Reason(StrEnum):
    """Why an object is not here as it is there, or not here at all."""

    # It was refused.
    REFERS_TO_NOTHING = "refers to nothing"
    BAD_ID = "bad id"
    MALFORMED_KEY = "malformed key"
    NOT_OURS = "exists here, and did not come from there"
    DELETED_HERE = "deleted here since it was imported"
    # It was taken over, but for this.
    RENAMED = "renamed"
    CHANGED_TEXT = "text changed"
    COPIES_DIFFER = "copies differ"
    BAD_EMAIL = "bad e-mail"
    BAD_PASSWORD = "bad password hash"  # noqa: S105  # no password, but what is wrong with one
    BAD_TIME = "bad time"
    BAD_NUMBER = "bad number"
    BAD_JSON = "bad JSON"
    BAD_STATUS = "bad status"
    BAD_PERMISSION = "bad permission"
    NO_OWNER = "no such owner"
    REPEATED = "repeated"
    CONFIG_LEFT_OUT = "config partly left out"
    CONFIG_WARNING = "config is odd"


class Finding(NamedTuple):
    """One thing that is wrong with one object. It quotes no secret."""

    kind: str
    object_id: str
    tenant_id: str | None
    reason: Reason
    detail: str
    is_refused: bool


@dataclass
class Report:
    """Counts by kind, and all that was found."""

    read: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str, outcome: Outcome, number: int = 1) -> None:
        """Counts what was read of a kind, and what became of it."""
        self.read[kind] += number
        self.outcomes[kind, outcome] += number

    def add(self, other: Report) -> None:
        """Takes over what another report says."""
        self.read.update(other.read)
        self.outcomes.update(other.outcomes)
        self.removed.update(other.removed)
        self.findings.extend(other.findings)

    def about(self, kind: str, object_id: Any, tenant_id: str | None) -> Notes:
        """Where what is found about one object goes."""
        return Notes(self, kind, str(object_id), tenant_id)

    def counts(self, kind: str) -> dict[str, int]:
        """All counts of a kind, by name."""
        outcomes = {outcome.value: self.outcomes[kind, outcome] for outcome in Outcome}
        return {"read": self.read[kind], **outcomes, "removed": self.removed[kind]}


@dataclass(frozen=True, slots=True)
class Notes:
    """What is found about one object."""

    _report: Report
    _kind: str
    _object_id: str
    _tenant_id: str | None

    def found(self, reason: Reason, detail: str) -> None:
        """Notes what is not taken over as it is."""
        self._note(reason, detail, is_refused=False)

    def refused(self, reason: Reason, detail: str) -> None:
        """Notes that the object is not taken over, and counts it."""
        self._note(reason, detail, is_refused=True)
        self._report.count(self._kind, Outcome.REFUSED)

    def _note(self, reason: Reason, detail: str, *, is_refused: bool) -> None:
        finding = Finding(self._kind, self._object_id, self._tenant_id, reason, detail, is_refused)
        self._report.findings.append(finding)

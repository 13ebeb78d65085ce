"""Which tenants are seen to together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from legacy.snapshot import Snapshot

GROUP = 300  # objects of small tenants that are stored in one transaction
Progress = Callable[[int], object]  # is told how many objects more have been seen to


def groups(old: Snapshot) -> Iterator[list[str]]:
    """The tenants by id, as many together as have some GROUP objects; a large one is alone."""
    group: list[str] = []
    size = 0
    for row in old.rows("SELECT id FROM tenant_ids ORDER BY id"):
        number = 1 + sum(
            old.number(f"SELECT count(*) FROM {table} WHERE tenant_id = ?", [row["id"]])
            for table in ("agents", "api_keys")
        )
        if group and size + number > GROUP:
            yield group
            group, size = [], 0
        group.append(row["id"])
        size += number
    if group:
        yield group

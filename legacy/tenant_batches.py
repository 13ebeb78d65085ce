"""Batches of tenants that are imported in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from legacy.snapshot import Snapshot

BATCH_OBJECTS = 300
Progress = Callable[[int], object]  # called with the number of objects that were processed since the last call


def tenant_batches(snapshot: Snapshot) -> Iterator[list[str]]:
    """Yield the ids of all tenants in batches of about BATCH_OBJECTS objects. A large tenant is a batch by itself."""
    batch: list[str] = []
    size = 0
    for row in snapshot.rows("SELECT id FROM tenant_ids ORDER BY id"):
        objects = 1 + sum(
            snapshot.fetch_number(f"SELECT count(*) FROM {table} WHERE tenant_id = ?", [row["id"]])
            for table in ("agents", "api_keys")
        )
        if batch and size + objects > BATCH_OBJECTS:
            yield batch
            batch, size = [], 0
        batch.append(row["id"])
        size += objects
    if batch:
        yield batch

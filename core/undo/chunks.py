"""Chunks of stored rows: JSON, compressed and sealed, none too large for a database's packet."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import models

from core import sealing
from core.fields import JSONTextField
from core.models import DeletedObject, DeletedRows
from core.undo.parts import Part

# Of JSON, before it is compressed and sealed. A row may be larger, and is a chunk by itself then.
CHUNK_BYTES = 1024 * 1024
# The copy is written in the deletion's transaction. A larger object is deleted without one: its deletion must not fail.
MAX_BYTES = 256 * CHUNK_BYTES
_LEVEL = 1  # of zlib, which takes a third of the time of the default for a tenth more bytes


class TooLarge(Exception):
    """A deleted object with more than MAX_BYTES of content."""


class StoredRows(NamedTuple):
    """Rows of one model, as a chunk has them."""

    label: str
    columns: list[str]
    rows: list[list[Any]]


def seal_rows(rows: Sequence[StoredRows]) -> str:
    """Return rows as the text of a chunk."""
    return sealing.seal_bytes(zlib.compress(orjson.dumps([stored._asdict() for stored in rows]), _LEVEL))


def unseal_rows(sealed: str) -> list[StoredRows]:
    """Return the rows of a chunk. Raise Unsealable."""
    return [StoredRows(**stored) for stored in orjson.loads(zlib.decompress(sealing.unseal_bytes(sealed)))]


class ChunkWriter:
    """A writer of the chunks of one deleted object, which counts its rows by model."""

    def __init__(self, deleted: DeletedObject) -> None:
        self._deleted = deleted
        self._rows: list[StoredRows] = []
        self._bytes = self._total = self._number = 0
        self.counts = Counter[str]()

    def add(self, part: Part[Any], page: Sequence[tuple[Any, ...]]) -> None:
        """Store rows of a part. Raise TooLarge."""
        self.counts[part.label] += len(page)
        columns = [field.attname for field in part.fields]
        for values in page:
            if not self._rows or self._rows[-1].label != part.label:
                self._rows.append(StoredRows(part.label, columns, []))
            self._rows[-1].rows.append(list(values))
            self._bytes += size_of(values)
            if self._bytes >= CHUNK_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write what is left. Raise TooLarge."""
        self._total += self._bytes
        if self._total > MAX_BYTES:
            raise TooLarge
        if self._rows:
            self._number += 1
            DeletedRows.objects.create(deleted=self._deleted, number=self._number, content=seal_rows(self._rows))
        self._rows, self._bytes = [], 0


def size_of(values: Sequence[Any]) -> int:
    """Return about how many bytes a row takes as JSON."""
    return sum(len(value) + 3 if isinstance(value, str) else 20 for value in values)


def read_rows(deleted: DeletedObject) -> Iterator[StoredRows]:
    """Yield the stored rows of a deleted object, chunk by chunk. Raise Unsealable."""
    chunks = deleted.chunks.order_by("number").values_list("number", flat=True)
    for number in list(chunks):
        yield from unseal_rows(deleted.chunks.get(number=number).content)


def to_instances(part: Part[Any], stored: StoredRows) -> list[models.Model]:
    """Return unsaved instances of stored rows. Columns that were added since have their default."""
    fields = {field.attname: field for field in part.fields}
    known = [(index, fields[name]) for index, name in enumerate(stored.columns) if name in fields]
    return [part.model(**{field.attname: _value(field, row[index]) for index, field in known}) for row in stored.rows]


def _value(field: Any, stored: Any) -> Any:
    if stored is None:
        return None
    if isinstance(field, JSONTextField):
        return orjson.loads(stored)
    return datetime.fromisoformat(stored) if isinstance(field, models.DateTimeField) else stored

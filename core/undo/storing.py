"""The storage of what a deletion removes."""

from __future__ import annotations

import logging

from django.conf import settings
from django.utils import timezone

from core.actor import Actor
from core.models import DeletedObject
from core.undo.chunks import ChunkWriter, TooLarge
from core.undo.parts import Kind, parts_of

log = logging.getLogger("maim.undo")


def store_deleted(*, actor: Actor, kind: Kind, object_id: str, tenant_id: str, name: str) -> None:
    """Store an object that the calling service deletes next, in its transaction, so that it can be restored.

    Store nothing with MAIM_UNDO_DAYS=0, nor of an object with more content than `chunks.MAX_BYTES`. The caller has
    locked what might change meanwhile.
    """
    if not settings.UNDO_FOR:
        return
    now = timezone.now()
    deleted = DeletedObject.objects.create(
        kind=kind,
        object_id=object_id,
        tenant_id=tenant_id,
        name=name,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_label=actor.label[:150],
        deleted_at=now,
        expires_at=now + settings.UNDO_FOR,
    )
    writer = ChunkWriter(deleted)
    try:
        for part in parts_of(kind):
            for page in part.pages(kind, object_id):
                writer.add(part, page)
        writer.flush()
    except TooLarge:
        deleted.delete()
        log.warning("%s %s is too large to be restored, and is deleted for good", kind, object_id)
        return
    deleted.counts = dict(writer.counts)
    deleted.save(update_fields=["counts"])

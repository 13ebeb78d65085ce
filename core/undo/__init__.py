"""The undo of deletions: a tenant or an agent that was deleted can be put back for MAIM_UNDO_DAYS.

A service that deletes one calls `storing.store_deleted` before its rows go, in the same transaction: a row of
DeletedObject says what was deleted, and sealed rows of DeletedRows have its content. `restoring.restore` puts it back.

The content is copied part by part: settings.UNDO_PARTS names a `parts.Part` for each model, in the order in which rows
can be inserted. What is measured or runs out by itself is no part, and is gone: heartbeats, counts of use, refusals,
notices, invitations, offers of ownership, and access tokens.
"""

"""The bridge, which keeps MaimConfig's old tables up to date for bots that read their config there.

database        the old database: its tables, reads, and writes in transactions
rows            objects of maim as rows of the old tables
row_diff        the writes that turn existing rows into target rows
mirrors         a mirror for each kind of object, with its old tables
state           what the bridge has written, and how far it has read changes
sync            the synchronization of objects, and the removal of deleted ones
change_sources  the change feed and the audit log
heartbeats      the opposite direction: heartbeats that bots write into the old tables
follower        the bridge while both databases answer
runner          the process
metrics         the gauges in /metrics
"""

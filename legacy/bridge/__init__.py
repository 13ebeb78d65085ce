"""The bridge: MaimConfig's old tables are kept in step with maim, for bots that read their config there.

rows       objects of maim as rows of the old tables
target     the old database: its tables, reads, and writes in transactions
writes     what has to be written so that rows become what is wanted
mirrors    the kinds of objects, each with the old tables that it has
records    what the bridge has written, and how far it has read, in maim's own database
news       what has changed in maim since
sync       bringing objects over, and removing them
heartbeats the other way round: what bots write into the old tables
runner     the loop
gauges     the figures in /metrics
"""

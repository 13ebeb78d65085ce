"""Moving in: what the systems before maim hold is read, compared with what is here, and taken over.

sources    where the old databases are
snapshot   a private copy of the old databases, as of one moment
values     what a column holds, read with care
names      names that can be kept, and those that must be changed
configs    an agent's config, out of its tables and its raw JSON
kinds      what there is to take over: people, tenants, agents, keys, plugin settings, heartbeats
imports    taking it over, a tenant at a time
checks     comparing both, object by object and key by key
reports    what was done, and what was wrong with the old data
bridge     the other way round: the old tables are kept in step with maim, for bots that read them
"""

"""The import of the databases of MaimConfig and MaimWebBackend, and the bridge to MaimConfig's old tables.

sources         the URLs of the old databases, and connections
snapshot        a private copy of the old databases, as of one moment
parsing         parsers for the columns of old tables
names           names made valid and unique
configs         an agent's config, from its tables and its JSON
importers       an importer for each kind: users, tenants, agents, keys, plugin settings, heartbeats
tenant_batches  batches of tenants that are imported in one transaction
freshness       a guard against importing an older copy of a database
removals        what an import removes, and when that is refused
imports         the import
verification    the comparison of maim with the old databases
reports         what an import did, and what it found wrong with the old data
bridge          the bridge, which keeps the old tables up to date for bots that read them
"""

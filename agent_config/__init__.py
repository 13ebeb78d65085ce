"""Agent config: an open JSON object of which some parts are known (docs/contract.md section 13).

Nothing here reads or writes the database. From the way in to the way out:

    schema        sections and fields; validation, warnings, regexes, the JSON Schema
    document      the type of a config, and the parts of a tenant's
    updates       the only way in which a stored config becomes another
    merging       a sent config put on a stored one
    validators    sizes
    items         providers and models, and which of them a model names
    names         names of lower layers that no write may take
    addresses     which secrets go to which address
    secret_names  the rule for what is a secret
    secret_paths  the places of secrets in a document
    secrets       sealed in the database, masked in responses, in clear for bots
    system        the lowest layer: defaults under the operator's TOML files
    layers        the effective config of all layers, and which layer each value comes from
    maibot        the bot's own files as configs, and back
    trust         what is left out of the effective config, because a key would meet another owner's model or address
    patches       the JSON patch between two configs
    bulk_import   configs of another system
"""

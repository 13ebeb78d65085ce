"""Tenants, members, agents and keys as a file declares them (manage.py apply, docs/apply.md).

From the bottom up:

    yaml_file     a strict reader of YAML, which knows the line of each value
    variables     `${NAME}` in configs
    serializers   the fields of the file
    declaration   the file as it was validated, and what is wrong with it
    changes       changes as they are shown
    plans         the changes of each declared object
    planning      the comparison of a declaration with the database
    secret_sinks  destinations of the secrets of new keys
    execution     the changes of a plan, through the services
"""

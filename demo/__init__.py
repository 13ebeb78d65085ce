"""Made-up data with a history of use, to try maim out on (manage.py demo, docs/operations.md).

From the bottom up:

    names          names of people, tenants, agents and keys
    storage        bulk writes, their rates, and what an interrupted run leaves
    audit_trail    audit entries in the order of their times
    context        what all of these share: chance, time, storage and names
    configs        configs of agents, and their versions
    population     people, tenants, members and agents
    verifications  verifications by outcome and how long they took, by minute, five minutes, hour and day
    uses           uses by day
    keys           keys, what became of them, and how they were used
    filling        all of them together
    samples        an operator, Alice, and keys whose secrets are shown
"""

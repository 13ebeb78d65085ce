"""`manage.py doctor`: checks of the configuration, the services that maim uses, and the machine.

Each module has the checks of one thing. A check yields findings, and changes nothing. One that cannot run is a finding
as well: `examination` turns the errors of what does not answer into one.
"""

"""Comparison of maim with other ways to verify API keys: `make bench-peers`.

The peers run in a virtual environment of their own, on the same MariaDB and Redis, with as many keys and under the same
load. `apps` is what they run; everything else here is of maim's side.
"""

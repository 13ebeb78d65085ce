"""Tests that take minutes: not part of `make test`, but of `make test-long`."""

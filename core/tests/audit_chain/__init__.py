"""Tests of the audit chain: what it covers, and how each way of tampering with it is named.

See docs/decisions/0039-audit-chain.md.
"""

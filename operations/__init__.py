"""Bulk operations: changes of many objects, which a background process of `serve` carries out in chunks."""

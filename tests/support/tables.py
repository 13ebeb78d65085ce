"""What is in the database, whole, to be compared before and after."""

from __future__ import annotations

from typing import Any

from django.apps import apps

Tables = dict[str, list[tuple[Any, ...]]]


def tables() -> Tables:
    """Every row of every table, by model name: ours, and those of Django's own apps."""
    return {
        model._meta.label: list(model._base_manager.order_by("pk").values_list())
        for model in apps.get_models()
        if model._meta.managed
    }


def changed_tables(before: Tables, after: Tables) -> set[str]:
    """The models whose tables differ."""
    return {name for name in before if before[name] != after[name]}

"""Model fields that behave alike on SQLite and MariaDB."""

from __future__ import annotations

import json
from typing import Any

import orjson
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # generic in the stubs only
    """Text that compares byte by byte.

    MariaDB's default collations treat 'bot 🤖' and 'bot 😀' as equal and ignore case, which ids, digests and
    folded names must not (docs/contract.md section 6). Even utf8mb4_bin ignores trailing blanks, so nothing is
    stored with any. Foreign keys to such a column inherit its collation.
    """

    _pyi_private_set_type: str | Combinable  # for the type checker
    _pyi_private_get_type: str

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class IdField(ExactCharField):
    """An identifier column: `tenant_3f0c9a71b2de`, or an imported one of up to 50 characters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 50)
        super().__init__(*args, **kwargs)


class JSONTextField(models.TextField):  # type: ignore[type-arg]  # generic in the stubs only
    """A JSON document in a text column.

    MariaDB's JSON type refuses more than 32 nested objects. A text column returns exactly what was stored,
    including the order of keys.
    """

    _pyi_private_set_type: Any  # for the type checker: values are JSON, not text
    _pyi_private_get_type: Any

    def from_db_value(self, value: str | None, *_: Any) -> Any:
        return None if value is None else orjson.loads(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        return self.value_from_object(obj)

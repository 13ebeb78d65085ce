"""Model fields that behave alike on SQLite and MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import lookups
from django.db.models.expressions import Combinable
from django.db.models.fields.related_lookups import RelatedExact, RelatedIn
from django.utils.translation import gettext_lazy as _


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # generic in the stubs only
    """Text that compares byte by byte.

    MariaDB's default collations treat 'bot 🤖' and 'bot 😀' as equal and ignore case, which ids, digests and
    folded names must not (docs/contract.md section 6). Foreign keys to such a column inherit its collation.

    Even utf8mb4_bin ignores trailing blanks. So nothing is stored with any, and text with some is not found.
    """

    _pyi_private_set_type: str | Combinable  # for the type checker
    _pyi_private_get_type: str

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class _Unpadded:
    """A lookup that finds nothing for text with trailing blanks, where MariaDB would find it without them."""

    rhs: Any

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(self.rhs, str) and self.rhs.endswith(" "):
            raise EmptyResultSet
        return self.as_sql(compiler, connection)  # type: ignore[attr-defined]  # of the lookup


class _UnpaddedIn(_Unpadded):
    """The same for a list of texts."""

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(self.rhs, list | tuple | set):
            self.rhs = [value for value in self.rhs if not (isinstance(value, str) and value.endswith(" "))]
        return super().as_mysql(compiler, connection)


@ExactCharField.register_lookup
class UnpaddedExact(_Unpadded, lookups.Exact):
    pass


@ExactCharField.register_lookup
class UnpaddedIn(_UnpaddedIn, lookups.In):
    pass


@models.ForeignKey.register_lookup
class UnpaddedRelatedExact(_Unpadded, RelatedExact):
    pass


@models.ForeignKey.register_lookup
class UnpaddedRelatedIn(_UnpaddedIn, RelatedIn):
    pass


ID_LENGTH = 50
# Segments that browsers and HTTP clients resolve before they send a path. No object may have one as its id, because a
# request to delete a key with the id `..` would delete its agent.
DOT_SEGMENTS = (".", "..")


class IdField(ExactCharField):
    """An identifier column: `tenant_3f0c9a71b2de`, or an imported one of up to ID_LENGTH characters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", ID_LENGTH)
        super().__init__(*args, **kwargs)

    def set_attributes_from_name(self, name: str) -> None:
        if name == "id" and not self.verbose_name:
            self.verbose_name = _("ID")  # where Django would take the name, which has no translation
        super().set_attributes_from_name(name)


def stored_time(moment: datetime) -> str:
    """Return a time as the text that both databases store. These texts sort like the times."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def parse_stored_time(text: str) -> datetime:
    """Return the time that `stored_time` wrote as a text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def json_text(column: str) -> models.ExpressionWrapper[models.F]:
    """Return an expression for the JSON of a JSONTextField, for lists that parse one row at a time."""
    return models.ExpressionWrapper(models.F(column), output_field=models.TextField())


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
        return None if value is None else orjson.dumps(value).decode()

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        return self.value_from_object(obj)

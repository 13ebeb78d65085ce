"""Forms of the operators' admin that overwrite nobody's changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import jsonpatch
from django import forms
from django.core import signing
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from core.admin_fields import JSONFormField, pretty
from core.display import isolated
from core.models import AuditEntry

# The name of the field with the values that a form was shown with.
SHOWN_VALUES = "shown_values"
_MAX_PATHS, _MAX_VALUE_LENGTH, _MAX_ENTRIES = 5, 100, 100


class ShownValuesField(forms.CharField):
    """A hidden field with the values that a form was shown with. It never counts as a change."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(required=False, label="")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class ShownValues(NamedTuple):
    """The values that a form was shown with, the time, and digests of the masked values."""

    at: datetime
    values: dict[str, Any]
    digests: dict[str, str]


class ConcurrentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A form of an existing row that writes only the fields that were changed in it.

    It contains the values that it was shown with, signed, so that `changed_data` are the fields whose submitted value
    differs from the shown one. A field that was also changed elsewhere meanwhile is an error. The form compares with
    its instance, which the caller has locked.
    """

    shown_values = ShownValuesField()

    # The audit log's names of fields, where they differ from the form's.
    audit_keys: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.current_values = {name: self.initial.get(name) for name in self.fields if name != SHOWN_VALUES}
        self._digests: dict[str, str] = getattr(self.instance, "stored_digests", {})
        self._shown: ShownValues | None = None
        if not self.is_bound:
            self.initial[SHOWN_VALUES] = self._sign_current_values()
        elif self._row_exists:
            self._shown = self._read_shown_values()
            self.initial.update(self._shown.values if self._shown else {})

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self._row_exists and self._shown is None:
            self.add_error(None, _("The form does not say what it was shown with. Nothing was saved; open it again."))
        for name in self.current_values if self._shown else ():
            if name in self.changed_data and self._was_changed_elsewhere(name):
                self.add_error(name, self._conflict(name))
        return cleaned

    @cached_property
    def changed_data(self) -> list[str]:
        return [
            name
            for name in super().changed_data
            if name not in self.current_values or self._differs(name, self.initial)
        ]

    def shown_value(self, name: str) -> Any:
        """Return the value that a field was shown with; None if it is unknown."""
        return self._shown.values.get(name) if self._shown else None

    @property
    def shown_at(self) -> datetime:
        """The time when the form was opened; now, if the form does not tell."""
        return self._shown.at if self._shown else timezone.now()

    def audit_entries(self) -> QuerySet[AuditEntry]:
        """Return the audit log's entries on the row."""
        return AuditEntry.objects.filter(object_id=self.instance.pk)

    def is_about(self, entry: AuditEntry, name: str) -> bool:
        """Return whether one of these entries is about a change of the field."""
        return self.audit_keys.get(name, name) in (entry.after or {})

    @property
    def _row_exists(self) -> bool:
        """False where a formset's row was deleted meanwhile, which is an error of its own."""
        return not self.instance._state.adding

    @property
    def _salt(self) -> str:
        return f"{__name__}:{self.instance._meta.label_lower}:{self.instance.pk}"

    def _sign_current_values(self) -> str:
        values = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self.current_values.items()
        }
        shown = ShownValues(timezone.now(), values, self._digests)
        return signing.dumps([shown.at.isoformat(), values, shown.digests], salt=self._salt, compress=True)

    def _read_shown_values(self) -> ShownValues | None:
        """Return the values that the form was shown with; None if they are missing, forged, or of another row."""
        try:
            at, sent, digests = signing.loads(str(self.data.get(self.add_prefix(SHOWN_VALUES), "")), salt=self._salt)
        except signing.BadSignature:
            return None
        if sent.keys() != self.current_values.keys():  # by another version of maim
            return None
        values = {name: _time_or_value(self.fields[name], value) for name, value in sent.items()}
        return ShownValues(datetime.fromisoformat(at), values, digests)

    def _differs(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether the submitted value of a field differs from its value in `values`."""
        field, value, data = self.fields[name], values[name], self[name].data
        if isinstance(field, forms.CharField) and not isinstance(field, JSONFormField):
            # A browser sends text with other line ends, and the field strips it.
            return _with_unix_lines(field.to_python(value)) != _with_unix_lines(field.to_python(data))
        return field.has_changed(value.replace(microsecond=0) if isinstance(value, datetime) else value, data)

    def _was_changed_elsewhere(self, name: str) -> bool:
        assert self._shown is not None
        is_as_shown = pretty(self.current_values[name]) == pretty(self._shown.values[name])
        if is_as_shown and self._digests.get(name) == self._shown.digests.get(name):
            return False
        return self._differs(name, self.current_values)

    def _conflict(self, name: str) -> str:
        assert self._shown is not None
        what = _difference(self._shown.values[name], self.current_values[name])
        entries = self.audit_entries().filter(at__gte=self._shown.at).order_by("-id")[:_MAX_ENTRIES]
        entry = next((entry for entry in entries if self.is_about(entry, name)), None)
        if entry is None:
            told = _("This was changed by somebody else after the form was opened (%(what)s).") % {"what": what}
        else:
            told = _("This was changed by %(who)s at %(when)s, after the form was opened (%(what)s).") % {
                "who": isolated(entry.actor),
                "when": date_format(timezone.localtime(entry.at), "Y-m-d H:i:s T"),
                "what": what,
            }
        return f"{told} {_('Nothing was saved; open the form again.')}"


def stored_digest(value: Any) -> str:
    """Return a digest that tells apart stored documents whose secrets look alike when masked."""
    return salted_hmac(__name__, pretty(value), algorithm="sha256").hexdigest()


def _time_or_value(field: forms.Field, value: Any) -> Any:
    is_time = isinstance(field, forms.DateTimeField | forms.SplitDateTimeField) and value is not None
    return datetime.fromisoformat(value) if is_time else value


def _with_unix_lines(text: str | None) -> str | None:
    return None if text is None else text.replace("\r\n", "\n").replace("\r", "\n")


def _difference(shown: Any, current: Any) -> str:
    """Return the change of a value in a few words."""
    if isinstance(shown, dict) and isinstance(current, dict):
        paths = sorted({operation["path"] for operation in jsonpatch.make_patch(shown, current)})
        if not paths:
            return _("a value that is masked")
        return ", ".join([*paths[:_MAX_PATHS], *(["…"] if len(paths) > _MAX_PATHS else [])])
    if current in (None, "", [], {}):
        return _("it is empty now")
    text = current if isinstance(current, str) else json.dumps(current, ensure_ascii=False, default=str)
    return _("it is %(value)s now") % {"value": isolated(text[:_MAX_VALUE_LENGTH])}

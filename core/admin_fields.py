"""Fields of the admin's forms for JSON columns, which the API's own fields validate.

A document is a text area, a list of texts has one in each line, and a flat object has an input for each of its keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from django import forms
from rest_framework import serializers
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from core import strict_json
from core.errors import Text
from core.http.problems import problem_of


def pretty(value: Any) -> str:
    """Return a JSON document formatted for a form."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


class JSONEditor(UnfoldAdminTextareaWidget):
    """A text area of which a script makes an editor. `fields_url` has the list of the fields of its documents."""

    template_name = "maim/admin/json_editor.html"
    fields_url: str | None = None

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["maim/json-editor.css"]}
        js: ClassVar[list[Any]] = [forms.Script("maim/json-editor.js", defer=True)]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, {"data-json-editor": True, **(attrs or {})})
        return {**context, "fields_url": self.fields_url}


class JSONFormField(forms.CharField):
    """A JSON document in a text area, validated by the API's field `api_field`."""

    rows = 10
    widget_class: type[forms.Textarea] = JSONEditor

    def __init__(self, *, api_field: serializers.Field[Any, Any, Any, Any], empty: Callable[[], Any], **options: Any):
        self.api_field, self.empty = api_field, empty
        options["widget"] = self.widget_class(attrs={"rows": self.rows, "spellcheck": "false"})
        super().__init__(**options, required=False)

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else pretty(value)

    def to_python(self, value: Any) -> Any:
        try:
            text = super().to_python(value)
            document = self.api_field.run_validation(strict_json.loads(text.encode())) if text else None
        except strict_json.NotAcceptable as error:
            raise forms.ValidationError(str(error)) from error
        except serializers.ValidationError as error:
            raise forms.ValidationError(list(_sentences(_errors_of(error)))) from error
        return self.empty() if document is None else document

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            # Compare text, because 1, 1.0 and True are equal in Python.
            return pretty(initial) != pretty(self.to_python(data))
        except forms.ValidationError:
            return True


class LinesFormField(JSONFormField):
    """A list of texts, one in each line. A JSON list is read as well."""

    rows = 3
    widget_class = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else "\n".join(value)

    def to_python(self, value: Any) -> Any:
        text = str(value or "").strip()
        if text and not text.startswith(("[", "{")):
            text = json.dumps([line.strip() for line in text.splitlines() if line.strip()])
        return super().to_python(text)


class JSONObjectWidget(forms.MultiWidget):
    """An input for each key of a JSON object, below a label of its own."""

    template_name = "maim/admin/json_object.html"

    def __init__(self, inputs: Mapping[str, forms.Widget], labels: Mapping[str, Text], title: Text) -> None:
        super().__init__(dict(inputs))
        self._names, self._labels, self._title = tuple(inputs), tuple(labels[name] for name in inputs), title

    def decompress(self, value: Any) -> list[Any]:
        return [(value or {}).get(name) for name in self._names]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["inputs"] = list(zip(self._labels, context["widget"]["subwidgets"], strict=True))
        context["title"] = self._title
        return context


class JSONObjectFormField(forms.Field):
    """A flat JSON object of numbers and choices, with an input for each key. Without any value it is empty."""

    def __init__(
        self,
        *,
        api_field: serializers.Serializer[Any],
        empty: Callable[[], Any],
        labels: Mapping[str, Text],
        **options: Any,
    ) -> None:
        self.api_field, self.empty, self.labels = api_field, empty, labels
        self.fields = {name: _form_field(field) for name, field in api_field.fields.items()}
        inputs = {name: field.widget for name, field in self.fields.items()}
        super().__init__(**options, required=False, widget=JSONObjectWidget(inputs, labels, options["label"]))

    def to_python(self, value: Any) -> Any:
        sent, errors = {}, []
        for (name, field), text in zip(self.fields.items(), value or [], strict=False):
            try:
                sent[name] = field.clean(text)
            except forms.ValidationError as error:
                errors += [f"{self.labels[name]}: {sentence}" for sentence in error.messages]
        if errors:
            raise forms.ValidationError(errors)
        document = {name: each for name, each in sent.items() if each not in (None, "")}
        return self._validated(document) if document else self.empty()

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            document = self.to_python(data) or {}
        except forms.ValidationError:
            return True
        return any((initial or {}).get(name) != document.get(name) for name in self.fields)

    def _validated(self, document: dict[str, Any]) -> Any:
        try:
            return self.api_field.run_validation(document)
        except serializers.ValidationError as error:
            by_label = {str(self.labels.get(path, path)): texts for path, texts in _errors_of(error).items()}
            raise forms.ValidationError(list(_sentences(by_label))) from error


def json_object_text(
    document: Mapping[str, Any], api_field: serializers.Serializer[Any], labels: Mapping[str, Text]
) -> str:
    """Return a flat JSON object for people who may not change it, with its labels and the names of its choices."""
    choices = {name: getattr(field, "choices", {}) for name, field in api_field.fields.items()}
    return "; ".join(
        f"{labels.get(name, name)}: {choices.get(name, {}).get(value, value)}" for name, value in document.items()
    )


def _form_field(field: serializers.Field[Any, Any, Any, Any]) -> forms.Field:
    """Return the form's field for a number or a choice. The serializer's field has the bounds."""
    if isinstance(field, serializers.ChoiceField):
        choices = [("", "—"), *field.choices.items()]
        return forms.CharField(required=False, widget=UnfoldAdminSelectWidget(choices=choices))
    assert isinstance(field, serializers.IntegerField)
    bounds = {"min": field.min_value, "max": field.max_value}
    return forms.IntegerField(required=False, widget=UnfoldAdminIntegerFieldWidget(attrs=bounds))


def _errors_of(error: serializers.ValidationError) -> Mapping[str, list[str]]:
    problem = problem_of(error)
    assert problem is not None
    return problem.errors or {}


def _sentences(errors: Mapping[str, list[str]]) -> Iterator[str]:
    """Return the errors of a document as sentences with their paths; `body` is the document itself."""
    for path, texts in errors.items():
        yield from (text if path == "body" else f"{path}: {text}" for text in texts)

"""Forms of the operators' admin, which show the errors of services."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from core.admin_concurrency import ConcurrentForm
from core.errors import DomainError, Invalid


def show_error(form: forms.BaseForm, error: DomainError) -> None:
    """Add a service's error to a form, at the field it is about if the form has it."""
    if not isinstance(error, Invalid):
        form.add_error(None, str(error.detail))
        return
    for name, sentences in error.errors.items():
        if name in form.fields:
            form.add_error(name, [str(sentence) for sentence in sentences])
        else:
            form.add_error(None, [f"{name}: {sentence}" for sentence in sentences])


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A form that shows the error that a service raised for its input."""

    service_error: ClassVar[DomainError | None] = None

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.service_error is not None:
            show_error(self, self.service_error)
        return cleaned


class ChangeForm(ConcurrentForm, ServiceForm):
    """The form of an existing row."""

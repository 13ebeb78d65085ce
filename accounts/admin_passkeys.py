"""The forms of passkeys in the admin. A script of ours asks the browser, and fills them in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import PASSKEY_NAME_LENGTH
from core import strict_json


class CredentialField(forms.CharField):
    """A credential that the browser returned, as JSON."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return strict_json.loads(text.encode()) if text else None
        except strict_json.NotAcceptable as error:
            raise forms.ValidationError(str(error)) from error


class PasskeyNameField(forms.CharField):
    widget = UnfoldAdminTextInputWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(label=_("Name of the passkey"), max_length=PASSKEY_NAME_LENGTH, **options)


class NewPasskeyForm(forms.Form):
    name = PasskeyNameField(widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True}))
    challenge = forms.CharField(max_length=200, widget=forms.HiddenInput)
    credential = CredentialField()

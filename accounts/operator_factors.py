"""The page on which operators manage their own second factors."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from accounts import services
from accounts.models import User
from accounts.operator_passkeys import NewPasskeyForm
from accounts.operator_sign_in import SECOND_FACTOR, CodeField
from accounts.validators import MAX_PASSWORD_LENGTH
from core.admin_base import actor_of
from core.admin_forms import show_error
from core.errors import DomainError


class ConfirmationForm(forms.Form):
    password = forms.CharField(
        label=_("Your password"),
        strip=False,
        max_length=MAX_PASSWORD_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class FirstCodeForm(forms.Form):
    code = CodeField(label=_("Code that the app shows"))


class RemovePasskeyForm(ConfirmationForm):
    passkey_id = forms.CharField(max_length=50, widget=forms.HiddenInput)


FORMS = {"confirm": FirstCodeForm, "add_passkey": NewPasskeyForm, "remove_passkey": RemovePasskeyForm}


class OwnFactorsView(TemplateView):
    """One's authenticator app, passkeys and recovery codes. Each change is a form of its own, which `action` names."""

    template_name = "accounts/admin/factors.html"
    site: Any = None  # the OperatorsSite, which is given to `as_view`

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.site.may_manage_factors(request):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        action = request.POST.get("action", "")
        form = FORMS.get(action, ConfirmationForm)(request.POST)
        shown: dict[str, Any] = {}
        if form.is_valid():
            try:
                shown = self._change(action, form.cleaned_data)
            except DomainError as error:
                show_error(form, error)
        return self.render_to_response(self.get_context_data(**{f"{action}_form": form}, **shown))

    def _change(self, action: str, values: dict[str, Any]) -> dict[str, Any]:
        """Make a change, and return what is to be shown once."""
        who: dict[str, Any] = {"actor": actor_of(self.request), "user": self.request.user}
        match action:
            case "begin":
                return {"enrolment": services.begin_totp(**who, **values)}
            case "confirm":
                codes = services.confirm_totp(**who, **values)
                self.request.session[SECOND_FACTOR] = "totp"
                return {"recovery_codes": codes}
            case "begin_passkey":
                begun = services.begin_passkey(**who, **values)
                form = NewPasskeyForm(initial={"challenge": begun.challenge})
                return {"begun_passkey": begun, "new_passkey_form": form}
            case "add_passkey":
                added = services.add_passkey(**who, **values)
                self.request.session[SECOND_FACTOR] = "passkey"
                return {"recovery_codes": added.recovery_codes}
            case "remove_passkey":
                services.remove_passkey(**who, **values)
                self._forget_factor()
            case "renew":
                return {"recovery_codes": services.renew_recovery_codes(**who, **values)}
            case "remove":
                services.remove_totp(**who, **values)
                self._forget_factor()
        return {}

    def _forget_factor(self) -> None:
        """End what a factor gave the session, if the last one was removed."""
        if not services.factors_of(cast(User, self.request.user))["factors"]:
            self.request.session.pop(SECOND_FACTOR, None)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        own = services.factors_of(cast(User, self.request.user))
        return super().get_context_data(
            **{
                **self.site.each_context(self.request),
                "title": _("Second factors"),
                "own": own,
                "app": next((factor for factor in own["factors"] if factor["method"] == "totp"), None),
                "passkeys": [
                    {**factor, "removal": RemovePasskeyForm(initial={"passkey_id": factor["id"]})}
                    for factor in own["factors"]
                    if factor["method"] == "passkey"
                ],
                "password_form": ConfirmationForm(),
                "code_form": FirstCodeForm(),
                **context,
            }
        )

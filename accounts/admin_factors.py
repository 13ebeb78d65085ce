"""The page on which operators manage their own second factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts import services
from accounts.admin_passkeys import NewPasskeyForm, PasskeyNameField
from accounts.admin_sign_in import SECOND_FACTOR, CodeField
from accounts.models import User
from accounts.validators import MAX_PASSWORD_LENGTH
from core.admin_base import actor_of
from core.admin_forms import show_error
from core.errors import DomainError
from core.setting_types import OidcProvider


class ConfirmationForm(forms.Form):
    """The password, which the service demands of whoever has one."""

    password = forms.CharField(
        label=_("Your password"),
        required=False,
        strip=False,
        max_length=MAX_PASSWORD_LENGTH,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
    )


class FirstCodeForm(forms.Form):
    code = CodeField(label=_("Code that the app shows"))


class RenamePasskeyForm(forms.Form):
    name = PasskeyNameField()
    passkey_id = forms.CharField(max_length=50, widget=forms.HiddenInput)


class RemovePasskeyForm(ConfirmationForm):
    passkey_id = forms.CharField(max_length=50, widget=forms.HiddenInput)


FORMS: dict[str, type[forms.Form]] = {
    "begin": ConfirmationForm,
    "confirm": FirstCodeForm,
    "remove": ConfirmationForm,
    "begin_passkey": ConfirmationForm,
    "add_passkey": NewPasskeyForm,
    "rename_passkey": RenamePasskeyForm,
    "remove_passkey": RemovePasskeyForm,
    "renew": ConfirmationForm,
}


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
        if action not in FORMS:
            return self.get(request)
        form = FORMS[action](request.POST, auto_id=f"{action}_%s")
        shown = self._change(action, form) if form.is_valid() else {}
        if codes := shown.get("recovery_codes"):
            context = {"title": _("Recovery codes"), "codes": "\n".join(codes), "next_url": reverse("admin:index")}
            return TemplateResponse(request, "accounts/admin/recovery_codes.html", context)
        return self.render_to_response(self.get_context_data(**{action: form}, **shown))

    def _change(self, action: str, form: forms.Form) -> dict[str, Any]:
        """Make a change, and return what is to be shown once. The form gets the error of a refused one."""
        try:
            return self._changes[action](actor=actor_of(self.request), user=self.request.user, **form.cleaned_data)
        except DomainError as error:
            show_error(form, error)
            return {}

    @property
    def _changes(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {
            "begin": self._begin,
            "confirm": self._confirm,
            "remove": self._remove,
            "begin_passkey": self._begin_passkey,
            "add_passkey": self._add_passkey,
            "rename_passkey": self._rename_passkey,
            "remove_passkey": self._remove_passkey,
            "renew": self._renew,
        }

    def _begin(self, **values: Any) -> dict[str, Any]:
        return {"enrolment": services.begin_totp(**values)}

    def _confirm(self, **values: Any) -> dict[str, Any]:
        codes = services.confirm_totp(**values)
        self.request.session[SECOND_FACTOR] = "totp"
        return {"recovery_codes": codes}

    def _renew(self, **values: Any) -> dict[str, Any]:
        return {"recovery_codes": services.renew_recovery_codes(**values)}

    def _remove(self, **values: Any) -> dict[str, Any]:
        services.remove_totp(**values)
        return self._forget_factor()

    def _begin_passkey(self, **values: Any) -> dict[str, Any]:
        begun = services.begin_passkey(**values)
        return {"options": begun.options, "add_passkey": NewPasskeyForm(initial={"challenge": begun.challenge})}

    def _add_passkey(self, **values: Any) -> dict[str, Any]:
        added = services.add_passkey(**values)
        self.request.session[SECOND_FACTOR] = "passkey"
        return {"recovery_codes": added.recovery_codes}

    def _rename_passkey(self, **values: Any) -> dict[str, Any]:
        services.rename_passkey(**values)
        return {}

    def _remove_passkey(self, **values: Any) -> dict[str, Any]:
        services.remove_passkey(**values)
        return self._forget_factor()

    def _forget_factor(self) -> dict[str, Any]:
        """End what the last factor gave the session, if it was removed."""
        if not services.factors_of(cast(User, self.request.user))["factors"]:
            self.request.session.pop(SECOND_FACTOR, None)
        return {}

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        user = cast(User, self.request.user)
        own = services.factors_of(user)
        unsent = {action: form(auto_id=f"{action}_%s") for action, form in FORMS.items()}
        page = {
            **self.site.each_context(self.request),
            "title": _("Second factors"),
            "own": own,
            "app": next((factor for factor in own["factors"] if factor["method"] == "totp"), None),
            "passkeys": [_with_forms(factor) for factor in own["factors"] if factor["method"] == "passkey"],
            "must_sign_in_again": services.must_sign_in_again(actor=actor_of(self.request), user=user),
            "providers": _providers_of(user),
        }
        return super().get_context_data(**{**page, **unsent, **context})


def _with_forms(passkey: dict[str, Any]) -> dict[str, Any]:
    """Return a passkey with the forms that rename and remove it."""
    passkey_id = passkey["id"]
    rename = RenamePasskeyForm(
        initial={"passkey_id": passkey_id, "name": passkey["name"]}, auto_id=f"rename_{passkey_id}_%s"
    )
    remove = RemovePasskeyForm(initial={"passkey_id": passkey_id}, auto_id=f"{passkey_id}_%s")
    return {**passkey, "rename": rename, "remove": remove}


def _providers_of(user: User) -> list[OidcProvider]:
    """Return the providers by which a user signs in."""
    used = set(user.identities.values_list("provider", flat=True))
    return [provider for provider in settings.OIDC_PROVIDERS.values() if provider.id in used]

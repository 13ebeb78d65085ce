"""The site of the operators' admin, with its login and the change of one's own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts import services
from core.admin_base import actor_of
from core.admin_forms import show_error
from core.errors import DomainError, Invalid


class OperatorLoginForm(AdminAuthenticationForm):
    """A login form that shows the errors of the throttle and of the hashing queue."""

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except DomainError as error:
            raise forms.ValidationError(str(error.detail)) from error


class OwnPasswordForm(AdminPasswordChangeForm):
    """A form that leaves the check of the old password to the service, which counts the attempt."""

    def clean_old_password(self) -> str:
        old_password: str = self.cleaned_data["old_password"]
        return old_password


class OwnPasswordView(PasswordChangeView):
    form_class = OwnPasswordForm

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            services.change_password(
                actor=actor_of(self.request),
                user=form.user,
                old_password=form.cleaned_data["old_password"],
                new_password=form.cleaned_data["new_password1"],
                keep_session=None,
            )
        except Invalid as error:
            names = {"new_password": "new_password1"}  # the page's template shows errors by the form's names
            show_error(form, Invalid({names.get(name, name): texts for name, texts in error.errors.items()}))
        except DomainError as error:
            form.add_error("old_password", str(error.detail))  # the template shows errors of fields only
        else:
            update_session_auth_hash(self.request, form.user)
            return HttpResponseRedirect(self.get_success_url())
        return self.form_invalid(form)


class OperatorsSite(AdminSite):
    """Django's admin site, in which every write goes through a service."""

    site_header = "maim"
    site_title = "maim"
    site_url = None
    login_form = OperatorLoginForm
    index_template = "accounts/admin/index.html"
    login_template = "accounts/admin/login.html"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the page to sign in with a password, or by a provider (tenants.views.admin_sign_in)."""
        ways = {"password_login": settings.PASSWORD_LOGIN, "oidc_providers": settings.OIDC_PROVIDERS.values()}
        return super().login(request, {**ways, **(extra_context or {})})

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return OwnPasswordView.as_view(
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)

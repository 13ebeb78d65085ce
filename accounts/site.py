"""The site of the operators' admin, with its login and the change of one's own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from accounts import services
from core.actor import Actor, ActorKind
from core.admin_base import actor_of
from core.admin_forms import show_error
from core.errors import DomainError, Invalid
from core.http.request_context import RequestContext


class OperatorLoginForm(AdminAuthenticationForm):
    """A login form that shows the errors of the throttle and of the hashing queue."""

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except DomainError as error:
            raise forms.ValidationError(str(error.detail)) from error


def _anonymous(request: HttpRequest) -> Actor:
    """Return the sender of a sign-in, who is nobody until it has succeeded."""
    context = RequestContext.of(request)
    return Actor(kind=ActorKind.ANONYMOUS, request_id=context.request_id, address=context.address)


class OperatorLoginView(LoginView):
    """A login that opens no session before the second factor of an operator who has one."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            services.sign_in_operator(actor=_anonymous(self.request), user=form.get_user())
        except DomainError as error:
            form.add_error(None, str(error.detail))
            return self.form_invalid(form)
        return super().form_valid(form)


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

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method != "POST":
            return super().login(request, extra_context)
        context = {**self.each_context(request), "title": gettext("Log in"), "app_path": request.get_full_path()}
        return OperatorLoginView.as_view(
            authentication_form=self.login_form,
            template_name="admin/login.html",
            next_page="admin:index",
            extra_context={**context, **(extra_context or {})},
        )(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return OwnPasswordView.as_view(
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)

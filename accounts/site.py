"""The site of the operators' admin, with its login and the change of one's own password."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.sites import UnfoldAdminSite

from accounts import services
from accounts.admin_factors import OwnFactorsView
from accounts.admin_sign_in import SECOND_FACTOR, PasswordStepView, SecondFactorView
from accounts.models import User
from core import admin_search
from core.admin_base import actor_of
from core.admin_deletion import delete_selected
from core.admin_forms import show_error
from core.errors import DomainError, Invalid


class OwnPasswordForm(AdminOwnPasswordChangeForm):
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


class OperatorsSite(UnfoldAdminSite):
    """The admin site, in which every write goes through a service. Its theme is in maim/console.py."""

    index_title = _("Dashboard")
    login_template = "accounts/admin/login.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._actions = {"delete_selected": delete_selected}
        self._global_actions = self._actions.copy()

    def get_urls(self) -> list[Any]:
        return [
            path("second-factor/", never_cache(SecondFactorView.as_view(site=self)), name="second_factor"),
            path("factors/", never_cache(OwnFactorsView.as_view(site=self)), name="factors"),
            *super().get_urls(),
        ]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        request.has_theme = True  # type: ignore[attr-defined]  # ours, read by AdminContentSecurityMiddleware
        context: dict[str, Any] = super().each_context(request)
        return context

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Return what the command palette finds. It asks by POST, because people paste secrets."""
        found = admin_search.search_palette(self, request, request.POST.get("q", ""))
        return TemplateResponse(request, "maim/admin/found.html", {"found": found})

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether an operator may use the admin: with MAIM_ADMIN_REQUIRE_MFA, after a second factor only."""
        is_complete = not settings.ADMIN_REQUIRE_MFA or SECOND_FACTOR in request.session
        return super().has_permission(request) and (is_complete or request.path == reverse("admin:logout"))

    def may_manage_factors(self, request: HttpRequest) -> bool:
        """Return whether an operator may manage their factors: also to add the first one, which they have to have."""
        return self.has_permission(request) or self._must_add_factor(request)

    def _must_add_factor(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not services.factors_of(cast(User, request.user))["factors"]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the page to sign in with a password, or by a provider (tenants.views.admin_sign_in)."""
        ways = {"password_login": settings.PASSWORD_LOGIN, "oidc_providers": settings.OIDC_PROVIDERS.values()}
        extra_context = {**ways, **(extra_context or {})}
        if request.method != "POST":
            must_add = not self.has_permission(request) and self._must_add_factor(request)
            return HttpResponseRedirect(reverse("admin:factors")) if must_add else super().login(request, extra_context)
        context = {**self.each_context(request), "title": gettext("Log in"), "app_path": request.get_full_path()}
        return PasswordStepView.as_view(extra_context={**context, **extra_context})(request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST" and request.user.is_authenticated:
            services.record_sign_out(actor=actor_of(request))
        return super().logout(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return OwnPasswordView.as_view(
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)

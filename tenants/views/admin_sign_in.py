"""Operators' sign-in to the admin by OpenID Connect, by redirects.

It begins with a link and not with a form, because the admin's Content-Security-Policy lets no form lead elsewhere. The
flow's secret is in a cookie, which a browser sends when the provider sends it back (SameSite=Lax) and no page reads.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.generic import View
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts import services as accounts
from accounts.admin_sign_in import anonymous, log_in_operator
from accounts.errors import LinkRequired
from accounts.models import User
from accounts.services.identities import CHALLENGE_LIFETIME
from accounts.services.oidc import FLOW_LIFETIME
from accounts.validators import MAX_PASSWORD_LENGTH
from core.errors import DomainError
from tenants import services

_COOKIE, _PATH = "maim_oidc", "/admin/oidc/"


class LinkForm(forms.Form):
    """The password of the account that an identity is to be linked to."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=MAX_PASSWORD_LENGTH,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


def _to_login_page(request: HttpRequest, sentence: str) -> HttpResponse:
    messages.error(request, sentence)
    response = HttpResponseRedirect(reverse("admin:login"))
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


@method_decorator(never_cache, name="dispatch")
class _RedirectView(View):
    """A step of the sign-in, which leads to the login page if it is refused."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return _to_login_page(request, str(error.detail))


class StartView(_RedirectView):
    """A link to a provider's page."""

    def get(self, request: HttpRequest, provider: str) -> HttpResponse:
        redirect_uri = settings.PEOPLE_URL + reverse("admin_oidc:callback", args=[provider])
        started = accounts.start_flow(actor=anonymous(request), provider_id=provider, redirect_uri=redirect_uri)
        response = HttpResponseRedirect(started.authorization_url)
        kept = {"flow": started.flow, "next": request.GET.get("next", "")[:1000]}
        _keep(response, kept, int(FLOW_LIFETIME.total_seconds()))
        return response


class CallbackView(_RedirectView):
    """The page that a provider sends the browser back to."""

    def get(self, request: HttpRequest, provider: str) -> HttpResponse:
        if "error" in request.GET:
            sentence = gettext("The provider did not sign you in; try again, or sign in another way")
            return _to_login_page(request, sentence)
        kept = _kept(request)
        proven = accounts.finish_flow(
            actor=anonymous(request),
            provider_id=provider,
            flow=kept.get("flow", ""),
            code=request.GET.get("code", ""),
            state=request.GET.get("state", ""),
            iss=request.GET.get("iss"),
        )
        try:
            user = services.sign_in_by_identity(actor=anonymous(request), proven=proven)
        except LinkRequired as error:
            response = HttpResponseRedirect(reverse("admin_oidc:link"))
            kept = {"challenge": str(error.extra["challenge"]), "next": kept.get("next", "")}
            _keep(response, kept, int(CHALLENGE_LIFETIME.total_seconds()))
            return response
        return _log_in(request, user, kept)


@method_decorator(never_cache, name="dispatch")
class LinkView(View):
    """The form for the password of the account that has an identity's e-mail address."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, LinkForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form, kept = LinkForm(request.POST), _kept(request)
        if form.is_valid():
            try:
                password = form.cleaned_data["password"]
                user = accounts.link_identity(
                    actor=anonymous(request), challenge=kept.get("challenge", ""), password=password
                )
                return _log_in(request, user, kept)
            except DomainError as error:
                form.add_error("password", str(error.detail).removeprefix("password: "))
        return self._page(request, form)

    def _page(self, request: HttpRequest, form: LinkForm) -> HttpResponse:
        context = {**admin.site.each_context(request), "form": form, "title": gettext("Link your account")}
        return TemplateResponse(request, "accounts/admin/link.html", context)


def _log_in(request: HttpRequest, user: User, kept: dict[str, str]) -> HttpResponse:
    """Let an operator in as the login page does, which asks for the second factor of whoever has one."""
    if not user.is_staff:
        return _to_login_page(request, gettext("This account may not use the admin; ask an operator for access"))
    target = kept.get("next", "")
    if not url_has_allowed_host_and_scheme(target, None):
        target = resolve_url("admin:index")
    response = log_in_operator(request, user, target)
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


def _keep(response: HttpResponse, kept: dict[str, str], seconds: int) -> None:
    response.set_cookie(
        _COOKIE,
        signing.dumps(kept, salt=_COOKIE),
        max_age=seconds,
        path=_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _kept(request: HttpRequest) -> dict[str, str]:
    """Return what this browser keeps of its sign-in; nothing if it has begun none."""
    try:
        kept: dict[str, str] = signing.loads(request.COOKIES.get(_COOKIE, ""), salt=_COOKIE)
    except signing.BadSignature:
        return {}
    return kept


urlpatterns = [
    path("link", LinkView.as_view(), name="link"),
    path("<str:provider>/start", StartView.as_view(), name="start"),
    path("<str:provider>/callback", CallbackView.as_view(), name="callback"),
]

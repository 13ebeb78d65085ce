"""The pages of the admin's sign-in: the password, and after it the second factor of an operator who has one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import login
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import services
from accounts.admin_passkeys import CredentialField
from accounts.challenges import LIFETIME
from accounts.models import User
from accounts.services import SecondFactorRequired
from core.actor import Actor, ActorKind
from core.admin_base import SIGNED_IN_AT
from core.admin_forms import show_error
from core.errors import DomainError
from core.http.request_context import RequestContext

CHALLENGE_COOKIE = "maim_challenge"
# The key of an admin's session under which stands the method that completed its sign-in.
SECOND_FACTOR = "second_factor"


class OperatorLoginForm(AuthenticationForm):
    """A login form that shows the errors of the throttle and of the hashing queue."""

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except DomainError as error:
            raise forms.ValidationError(str(error.detail)) from error


class CodeField(forms.CharField):
    """A code that an app shows, or a recovery code."""

    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "autofocus": True})

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=100, **options)


class SecondFactorForm(forms.Form):
    """A code, or a passkey, for which the page has another form."""

    code = CodeField(label=_("Code of your authenticator app, or a recovery code"), required=False)
    credential = CredentialField(required=False)

    def clean(self) -> dict[str, Any]:
        """Raise ValidationError without either."""
        if not any(self.cleaned_data.get(name) for name in self.fields) and not self.errors:
            raise forms.ValidationError({"code": self.fields["code"].error_messages["required"]})
        return self.cleaned_data

    @property
    def method(self) -> str:
        """The method that the proof is of: for a code, by its look."""
        if self.cleaned_data["credential"]:
            return "passkey"
        is_of_the_app = self.cleaned_data["code"].replace(" ", "").isdigit()
        return "totp" if is_of_the_app else "recovery_code"


class PasswordStepView(LoginView):
    """The password. It opens no session if a second factor has to follow."""

    form_class = OperatorLoginForm
    template_name = "accounts/admin/login.html"
    next_page = "admin:index"

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            return log_in_operator(self.request, form.get_user(), self.get_success_url())
        except DomainError as error:
            form.add_error(None, str(error.detail))
            return self.form_invalid(form)


def log_in_operator(request: HttpRequest, user: User, target: str) -> HttpResponse:
    """Open a session of the admin for an operator who was authenticated, and lead to `target`.

    Lead to the page of the second factor instead, without a session, if they have one. Raise what
    `services.sign_in_operator` does otherwise.
    """
    try:
        services.sign_in_operator(actor=anonymous(request), user=user)
    except SecondFactorRequired as required:
        return _ask_for_factor(required.challenge, target)
    _open_session(request, user, None)
    return HttpResponseRedirect(target)


def _open_session(request: HttpRequest, user: User, method: str | None) -> None:
    """Open a session, which knows the method of the second factor and its time. It replaces what one before knew."""
    login(request, user)
    request.session[SIGNED_IN_AT] = timezone.now().timestamp()
    request.session.pop(SECOND_FACTOR, None)
    if method is not None:
        request.session[SECOND_FACTOR] = method


def _ask_for_factor(challenge: str, target: str) -> HttpResponse:
    page = reverse("admin:second_factor")
    response = HttpResponseRedirect(f"{page}?{urlencode({'next': target})}")
    response.set_cookie(
        CHALLENGE_COOKIE,
        challenge,
        max_age=LIFETIME,
        path=page,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return response


class SecondFactorView(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # generic in the stubs only
    """The second factor. It opens the session."""

    form_class = SecondFactorForm
    template_name = "accounts/admin/second_factor.html"
    next_page = "admin:index"
    site: AdminSite = None  # type: ignore[assignment]  # given to `as_view`

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if CHALLENGE_COOKIE not in request.COOKIES:
            return HttpResponseRedirect(reverse("admin:login"))
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: SecondFactorForm) -> HttpResponse:
        try:
            user = services.use_factor_of_operator(
                actor=anonymous(self.request),
                challenge=self.request.COOKIES[CHALLENGE_COOKIE],
                method=form.method,
                **form.cleaned_data,
            )
        except DomainError as error:
            show_error(form, error)
            return self.form_invalid(form)
        _open_session(self.request, user, form.method)
        response = HttpResponseRedirect(self.get_success_url())
        response.delete_cookie(CHALLENGE_COOKIE, path=reverse("admin:second_factor"), samesite="Strict")
        return response

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(
            **self.site.each_context(self.request),
            title=_("Second factor"),
            next=self.get_redirect_url(),
            passkey=services.passkey_options(self.request.COOKIES[CHALLENGE_COOKIE]),
            **context,
        )


def anonymous(request: HttpRequest) -> Actor:
    """Return the sender of a sign-in, who is nobody until it has succeeded."""
    context = RequestContext.of(request)
    return Actor(kind=ActorKind.ANONYMOUS, request_id=context.request_id, address=context.address)

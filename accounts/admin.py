"""Users in the operators' admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import PermissionDenied
from django.db.models import Model, ProtectedError, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from accounts import services, token_format
from accounts.fields import USER_FIELDS
from accounts.models import Invitation, PersonalToken, QueuedMail, User
from accounts.operator_roles import OperatorRole
from accounts.services.methods import METHODS
from accounts.validators import MAX_PASSWORD_LENGTH
from core.actor import Actor
from core.admin_base import OperatorAdmin, ReadOnlyAdmin, actor_of
from core.admin_columns import change_url
from core.admin_forms import ServiceForm, show_error
from core.changes import change_all
from core.display import isolated
from core.errors import Conflict, DomainError
from core.scrubbing import TOKEN_PREFIX


def _password_field(label: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        max_length=MAX_PASSWORD_LENGTH,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )


class PasswordForm(forms.Form):
    """A new password, typed twice because it is not shown."""

    password = _password_field(_("Password"))
    password_again = _password_field(_("Password again"))

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        first, second = (self.cleaned_data.get(name) for name in ("password", "password_again"))
        if first and second and first != second:
            self.add_error("password_again", gettext("The two passwords differ"))
        return cleaned


class NewUserForm(PasswordForm, ServiceForm):
    pass


class RoleForm(forms.Form):
    role = forms.TypedChoiceField(
        label=_("Role"),
        choices=[("", _("none")), *OperatorRole.choices],
        coerce=OperatorRole,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(User)
class UserAdmin(OperatorAdmin):
    list_display = ("username", "email", "is_active", "operator_role", "created_at", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username_folded__startswith", "email_folded__startswith", "id")
    palette_fields = search_fields
    search_help_text = _("The beginning of a username or an e-mail address, or an id in full.")
    add_form = NewUserForm
    add_fields = ("username", "email", "password", "password_again", "is_active")
    fields = ("id", *USER_FIELDS.names, "second_factors", "created_at", "last_login")
    readonly_fields = ("id", "username", "operator_role", "second_factors", "created_at", "last_login")
    actions = ("deactivate", "end_sessions")
    exclude = ("password",)  # the model's hash is never shown nor overwritten with plain text
    change_form_template = "accounts/admin/user.html"

    def create(self, actor: Actor, values: dict[str, Any]) -> User:
        return services.create_user(
            actor=actor,
            username=values["username"],
            password=values["password"],
            email=values["email"],
            is_active=values["is_active"],
        )

    def change(self, actor: Actor, row: User, changes: Any) -> None:
        services.update_user(actor=actor, user_id=row.pk, changes=changes)

    def delete(self, actor: Actor, row: User) -> None:
        try:
            services.delete_user(actor=actor, user_id=row.pk)
        except ProtectedError as error:
            raise Conflict(
                gettext("Not deleted: %(user)s still owns tenants, delete those first") % {"user": isolated(row)}
            ) from error

    def get_urls(self) -> list[URLPattern]:
        views = (self.role_view, self.password_view, self.factors_view)
        role, password, factors = map(self.admin_site.admin_view, views)
        return [
            path("<path:object_id>/role/", role, name="accounts_user_role"),
            path("<path:object_id>/password/", password, name="accounts_user_password"),
            path("<path:object_id>/factors/", factors, name="accounts_user_factors"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=_("role in the admin"))
    def operator_role(self, row: User) -> str:
        return "-" if row.operator_role is None else str(row.operator_role.label)

    def has_deactivate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.deactivate_user")

    def has_end_sessions_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.end_sessions_user")

    @admin.action(description=_("Deactivate selected users"), permissions=["deactivate"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        actor = actor_of(request)
        number = len(change_all(queryset, lambda user: services.deactivate_user(actor=actor, user_id=user.pk)))
        message = ngettext(
            "%(number)d user is deactivated. All sessions and tokens have ended.",
            "%(number)d users are deactivated. All their sessions and tokens have ended.",
            number,
        )
        self.message_user(request, message % {"number": number})

    @admin.action(description=_("End all sessions of selected users"), permissions=["end_sessions"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        actor = actor_of(request)
        number = len(change_all(queryset, lambda user: services.end_all_sessions(actor=actor, user_id=user.pk)))
        message = ngettext(
            "The sessions of %(number)d user have ended.", "The sessions of %(number)d users have ended.", number
        )
        self.message_user(request, message % {"number": number})

    def role_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give a user a role in the admin, or take it away."""
        if not request.user.has_perm("accounts.set_role_user"):
            raise PermissionDenied
        user = self._user(request, object_id)
        form = RoleForm(request.POST or None, initial={"role": user.operator_role})
        if form.is_valid():
            try:
                services.set_operator_role(actor=actor_of(request), user_id=user.pk, role=form.cleaned_data["role"])
            except DomainError as error:
                show_error(form, error)
            else:
                self.message_user(request, gettext("The role was changed."), messages.SUCCESS)
                return HttpResponseRedirect(change_url(user))
        return self._action_page(request, "role", user, form, gettext("Role in the admin"))

    @admin.display(description=_("second factors"))
    def second_factors(self, row: User) -> str:
        return ", ".join(str(METHODS[name].label) for name in services.methods_of(row)) or "-"

    def factors_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Remove the second factors of a user who has lost them."""
        user = self._user_to_change(request, object_id)
        form = forms.Form(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                services.remove_factors(actor=actor_of(request), user=user)
            except DomainError as error:
                show_error(form, error)
            else:
                self.message_user(request, gettext("The second factors were removed."), messages.SUCCESS)
                return HttpResponseRedirect(change_url(user))
        return self._action_page(request, "remove_factors", user, form, gettext("Remove second factors"))

    def password_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set a user's password, which ends all their sessions."""
        user = self._user_to_change(request, object_id)
        form = PasswordForm(request.POST or None)
        if form.is_valid():
            try:
                services.set_password(actor=actor_of(request), user=user, password=form.cleaned_data["password"])
            except DomainError as error:
                show_error(form, error)
            else:
                update_session_auth_hash(request, user)  # operators who set their own password stay signed in here
                self.message_user(request, gettext("The password was set."), messages.SUCCESS)
                return HttpResponseRedirect(change_url(user))
        return self._action_page(request, "password", user, form, gettext("Set password"))

    def _user_to_change(self, request: HttpRequest, object_id: str) -> User:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return self._user(request, object_id)

    def _user(self, request: HttpRequest, object_id: str) -> User:
        user: User | None = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        return user

    def _action_page(self, request: HttpRequest, name: str, user: User, form: forms.Form, title: str) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "original": user, "form": form}
        return TemplateResponse(request, f"accounts/admin/{name}.html", {**context, "title": title})


@admin.register(Invitation)
class InvitationAdmin(OperatorAdmin):
    """The operators' invitations that wait. Deleting one revokes it."""

    list_display = ("email", "created_at", "expires_at")
    search_fields = ("id",)
    search_help_text = _("An id in full.")
    add_fields = ("email",)
    fields = ("id", *list_display)
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        return super().get_queryset(request).filter(inviter=None)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.invited = services.invite(actor=actor_of(request), email=form.cleaned_data["email"])

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Say that the mail is on its way, or show the link. No redirect, because that would have to store the link."""
        invited = obj.invited
        if invited.link is None:
            sentence = gettext("A mail with the link is on its way to %(email)s.")
            self.message_user(request, sentence % {"email": isolated(invited.invitation)}, messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:accounts_invitation_changelist"))
        context = {
            "title": gettext("Link to register"),
            "link": invited.link,
            "next_url": reverse("admin:accounts_invitation_changelist"),
        }
        return TemplateResponse(request, "accounts/admin/invitation.html", context)

    def delete(self, actor: Actor, row: Invitation) -> None:
        services.revoke_invitation(actor=actor, invitation_id=row.pk)


@admin.register(PersonalToken)
class PersonalTokenAdmin(OperatorAdmin):
    """The personal access tokens of all users. Deleting one revokes it."""

    list_display = ("name", "user", "scope", "tenant_id", "created_at", "expires_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("id", "user_id", "tenant_id")
    search_help_text = _("The id of a token, a user or a tenant, in full.")
    fields = ("id", "masked_token", *list_display, "last_used_address")
    readonly_fields = fields

    def looks_like_secret(self, text: str) -> bool:
        return text.startswith(TOKEN_PREFIX)

    def find_by_secret(self, request: HttpRequest, secret: str) -> PersonalToken | None:
        return services.find_token(secret)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description=_("personal access token"))
    def masked_token(self, row: PersonalToken) -> str:
        return token_format.masked(row.hint)

    def delete(self, actor: Actor, row: PersonalToken) -> None:
        services.revoke_token(actor=actor, token_id=row.pk)


@admin.register(QueuedMail)
class QueuedMailAdmin(ReadOnlyAdmin):
    """The mails that wait, without what is in them."""

    list_display = ("id", "kind", "created_at", "attempts", "due_at")
    list_filter = ("kind",)
    search_fields = ("id__exact",)
    fields = list_display

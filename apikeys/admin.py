"""API keys and the bots' usage log in the operators' admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import display_for_value, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldForeignKeyRawIdWidget

from agents.models import Agent
from apikeys import attention, keyformat, queries, services
from apikeys.access import find_secret, keys_for
from apikeys.errors import KeyNotFound
from apikeys.fields import ISSUE_FIELDS, KEY_FIELDS
from apikeys.keyformat import MalformedKey
from apikeys.models import ApiKey, KeySecret, KeyStatus, UsageLogEntry
from apikeys.serializers.keys import KeyUpdateRequest
from apikeys.services import IssuedKey
from core.actor import Actor
from core.admin_base import OperatorAdmin, ReadOnlyAdmin, actor_of
from core.admin_columns import change_url, in_colour
from core.admin_forms import ChangeForm, ServiceForm, show_error
from core.admin_pages import KeysetChangeList
from core.changes import change_all
from core.errors import DomainError
from core.http.fields import FIRST_YEAR


class StatusFilter(admin.SimpleListFilter):
    """A filter by the status that is shown: an active key past its expiry date is expired."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(KeyStatus.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        return queries.filter_keys(queryset, status=self.value()) if self.value() in KeyStatus else queryset


class ExpiryFilter(admin.SimpleListFilter):
    """A filter for active keys that expire soon."""

    title = _("expiry")
    parameter_name = "expires_within_days"
    days = (7, 30, 90)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(days), _("within %(days)d days") % {"days": days}) for days in self.days]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        asked = [days for days in self.days if str(days) == self.value()]
        return queries.filter_keys(queryset, expires_within_days=asked[0]) if asked else queryset


class LeakFilter(admin.SimpleListFilter):
    """A filter for keys with a leaked secret, of the last reports."""

    title = _("leak")
    parameter_name = "leaked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("current", _("leaked, not rotated since")), ("any", _("leaked at any time"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() not in ("current", "any"):
            return queryset
        return queryset.filter(pk__in=attention.leaked_key_ids(only_current=self.value() == "current"))


class UseFilter(admin.SimpleListFilter):
    """A filter for keys that are not in use."""

    title = _("use")
    parameter_name = "unused"
    never = "never"
    days = (30, 90, 365)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        unused = [(str(days), _("not for %(days)d days") % {"days": days}) for days in self.days]
        return [(self.never, _("never")), *unused]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() == self.never:
            return queries.filter_keys(queryset, never_used=True)
        asked = [timedelta(days=days) for days in self.days if str(days) == self.value()]
        if not asked:
            return queryset
        # No key was used before it was created, so the list begins in its index where keys are old enough.
        since = timezone.now() - asked[0]
        return queries.filter_keys(queryset, unused_since=since).filter(created_at__lt=since)


class AgentIdWidget(UnfoldForeignKeyRawIdWidget):
    """An input for an agent's id, with the agent's name and tenant beside it."""

    def label_and_url_for_value(self, value: Any) -> tuple[str, str]:
        agent = Agent.unscoped.select_related("tenant").filter(pk=value).first()
        return ("", "") if agent is None else (format_html("{} ({})", agent, agent.tenant), change_url(agent))


class KeyForm(ServiceForm):
    class Meta:
        help_texts = {
            "permissions": _("One in each line, such as agent:read, chat or config.*"),
            "allowed_networks": _(
                "The networks that the key may be used from, one in each line, such as 203.0.113.0/24; "
                "empty for anywhere."
            ),
            "metadata": _("A JSON object of up to 8 KiB."),
        }

    def clean_expires_at(self) -> datetime | None:
        moment: datetime | None = self.cleaned_data["expires_at"]
        if moment is not None and moment.year < FIRST_YEAR:
            raise forms.ValidationError(_("The time must lie between 1970 and 9999."))
        return moment


class KeyChangeForm(KeyForm, ChangeForm):
    """The form of an existing key."""


class RotationForm(forms.Form):
    grace_seconds = forms.IntegerField(
        label=_("Seconds that the old secret stays good"),
        min_value=0,
        max_value=services.MAX_GRACE_SECONDS,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
    )


_IDENTITY = ("id", "api_key", "agent", "tenant")
_HISTORY = (
    "last_used_at",
    "usage_count",
    "old_secret_last_used_at",
    "leaked_at",
    "leaked_where",
    "created_at",
    "updated_at",
)


class _KeyList(KeysetChangeList):
    """The list of keys, without the secrets that were rotated out."""

    def get_rows(self) -> QuerySet[ApiKey]:
        return super().get_rows().prefetch_related(None)


@admin.register(ApiKey)
class ApiKeyAdmin(OperatorAdmin):
    list_display = (
        "name", "api_key", "current_status", "agent", "tenant", "expires_at", "last_used_at", "created_at",
    )  # fmt: skip
    list_filter = (StatusFilter, ExpiryFilter, UseFilter, LeakFilter)
    search_fields = ("name_folded__startswith", "id", "agent_id", "tenant_id")
    palette_fields = ("name_folded__startswith", "id")
    search_help_text = _("The beginning of a name, the id of a key, an agent or a tenant in full, or a masked key.")
    ordering = ("-created_at", "-name_folded", "-id")
    search_ordering = ("-created_at", "-id")
    raw_id_fields = ("agent",)
    actions = ("disable", "enable")
    add_form = KeyForm
    form = KeyChangeForm
    add_fields = ("agent", *ISSUE_FIELDS)
    fields = (*_IDENTITY, *KEY_FIELDS.changeable, *_HISTORY)
    readonly_fields = (*_IDENTITY, *_HISTORY)
    body = KeyUpdateRequest

    @admin.display(description=_("API key"))
    def api_key(self, key: ApiKey) -> str:
        """Return the masked secret; the secret itself is stored nowhere."""
        return keyformat.masked(key.current_secret.hint)

    @admin.display(description=_("old secret last used"))
    def old_secret_last_used_at(self, key: ApiKey) -> str:
        return self._format_time(key.old_secret_last_used_at(timezone.now()))

    @admin.display(description=_("leaked"))
    def leaked_at(self, key: ApiKey) -> str:
        return self._format_time(key.current_secret.leaked_at)

    @admin.display(description=_("leaked where"))
    def leaked_where(self, key: ApiKey) -> str | None:
        return key.current_secret.leaked_where

    @in_colour
    @admin.display(description=_("status"), ordering="status")
    def current_status(self, key: ApiKey) -> tuple[str, str]:
        if key.current_secret.leaked_at is not None:
            return "leaked", gettext("leaked")
        status = key.status_at(timezone.now())
        return status.value, str(status.label)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("apikeys.disable_apikey")

    def has_enable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("apikeys.enable_apikey")

    @admin.action(description=_("Disable selected keys"), permissions=["disable"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        actor = actor_of(request)
        number = len(change_all(queryset, lambda key: services.disable_key(actor=actor, key=key)))
        message = ngettext("%(number)d key is disabled.", "%(number)d keys are disabled.", number)
        self.message_user(request, message % {"number": number})

    @admin.action(description=_("Enable selected keys"), permissions=["enable"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        actor = actor_of(request)
        number = len(change_all(queryset, lambda key: services.enable_key(actor=actor, key=key)))
        message = ngettext("%(number)d key is enabled.", "%(number)d keys are enabled.", number)
        self.message_user(request, message % {"number": number})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        if hint := keyformat.hint_in(search_term):
            ids = KeySecret.objects.filter(hint=hint).values_list("key_id", flat=True)
            return queryset.filter(pk__in=list(ids)), False
        return super().get_search_results(request, queryset, search_term)

    def search_for_palette(self, request: HttpRequest, term: str, limit: int) -> list[ApiKey]:
        if hint := keyformat.hint_in(term):
            ids = KeySecret.objects.filter(hint=hint).values_list("key_id", flat=True)[:limit]
            return list(self.get_queryset(request).filter(pk__in=list(ids)))
        return super().search_for_palette(request, term, limit)

    def looks_like_secret(self, text: str) -> bool:
        return text.startswith(keyformat.PREFIX) and keyformat.hint_in(text) is None

    def find_by_secret(self, request: HttpRequest, secret: str) -> ApiKey | None:
        try:
            return find_secret(secret).key
        except (MalformedKey, KeyNotFound):
            return None

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return keys_for(actor_of(request)).select_related("agent", "tenant")

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return _KeyList

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return the order of the list: of keys that expire soon, the first to expire first."""
        chosen = request.GET.get(ExpiryFilter.parameter_name, "")
        if chosen in {str(days) for days in ExpiryFilter.days}:
            return ("expires_at", "id")
        return super().get_ordering(request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        # The model's own form field would use Agent's default manager, which raises without a tenant.
        return forms.ModelChoiceField(
            queryset=Agent.unscoped.all(),
            label=capfirst(db_field.verbose_name),
            widget=AgentIdWidget(db_field.remote_field, self.admin_site),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            # Django passes the same object to response_add.
            obj.issued = services.issue_key(actor=actor_of(request), **form.cleaned_data)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self._secret_page(request, obj.issued, gettext("API key issued"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rotation_view)
        return [path("<path:object_id>/rotate/", view, name="apikeys_apikey_rotate"), *super().get_urls()]

    def rotation_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the grace period of the old secret, and rotate the key."""
        if not request.user.has_perm("apikeys.rotate_apikey"):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        form = RotationForm(request.POST or None)
        if form.is_valid():
            try:
                issued = services.rotate_key(actor=actor_of(request), key=key, **form.cleaned_data)
            except DomainError as error:
                show_error(form, error)
            else:
                return self._secret_page(request, issued, gettext("API key rotated"))
        context = {**self.admin_site.each_context(request), "opts": self.opts, "original": key, "form": form}
        return TemplateResponse(request, "apikeys/admin/rotation.html", {**context, "title": gettext("Rotate")})

    def _format_time(self, moment: datetime | None) -> str:
        return str(display_for_value(moment, self.get_empty_value_display()))

    def _secret_page(self, request: HttpRequest, issued: IssuedKey, title: str) -> HttpResponse:
        """Return the page that shows a secret once. No redirect, because that would have to store the secret."""
        context = {"title": title, "key": issued.key, "secret": issued.secret, "next_url": change_url(issued.key)}
        return TemplateResponse(request, "apikeys/admin/issued_key.html", context)

    def change(self, actor: Actor, row: ApiKey, changes: Any) -> None:
        services.update_key(actor=actor, key=row, changes=changes)

    def delete(self, actor: Actor, row: ApiKey) -> None:
        services.delete_key(actor=actor, key=row)


@admin.register(UsageLogEntry)
class UsageLogEntryAdmin(ReadOnlyAdmin):
    list_display = ("timestamp", "action", "platform", "tenant_id", "agent_id", "user_id")
    list_filter = ("created_at",)
    search_fields = ("tenant_id", "agent_id", "user_id", "action")
    search_help_text = _("The id of a tenant, an agent or a user, or an action, in full.")
    fields = ("timestamp", "action", "platform", "tenant_id", "agent_id", "user_id", "details", "created_at")

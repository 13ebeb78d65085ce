"""Tenants and their members in the operators' admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import TabularInline
from unfold.forms import PaginationInlineFormSet

from agent_config.schema.field_list import Field, list_tenant_fields
from agent_config.schema.versions import DEFAULT, NAMES
from agent_config.updates import masked_tenant_config
from core.actor import Actor
from core.admin_base import OperatorAdmin, actor_of
from core.admin_concurrency import SHOWN_VALUES, ConcurrentForm
from core.admin_config import STRICT, ConfigAdmin, StrictField
from core.admin_forms import ChangeForm, ServiceForm
from core.changes import change_all
from core.errors import Conflict
from core.models import AuditEntry
from tenants import invitations, members, services
from tenants.fields import TENANT_FIELDS, TenantChanges, TenantSettings
from tenants.models import Membership, Role, Tenant, TenantInvitation, TenantStatus
from tenants.serializers import InternalTenantUpdateRequest


class _MembershipInline(TabularInline):
    model = Membership
    extra = 0
    hide_title = True


class MemberForm(ConcurrentForm):
    """The form of a member's role, whose changes are in the tenant's audit log."""

    def audit_entries(self) -> QuerySet[AuditEntry]:
        return AuditEntry.objects.filter(object_id=self.instance.tenant_id)

    def is_about(self, entry: AuditEntry, name: str) -> bool:
        after = entry.after or {}  # old changes of a role do not name the member
        may_be_this_one = after.get("user", self.instance.user_id) == self.instance.user_id
        return may_be_this_one and after.get(name) == self.current_values[name]


class MemberForms(PaginationInlineFormSet):
    """The forms of a page of members."""

    def get_page_num(self) -> int:
        """Return the requested page; the first for a text that `isnumeric` accepts and `int` refuses, such as ²."""
        try:
            return int(super().get_page_num())
        except ValueError:
            return 1


class Members(_MembershipInline):
    """The tenant's members, in pages, because Django limits the number of fields of a request.

    Users are shown as text, because each choice field would cost a query.
    """

    verbose_name_plural = _("Members")
    form = MemberForm
    formset = MemberForms
    per_page = 100  # type: ignore[assignment]  # None in Unfold, which makes no pages then
    fields = ("user", "role", "created_at")
    readonly_fields = ("user", "created_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*self.fields, SHOWN_VALUES] if self.has_change_permission(request, obj) else self.fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user").order_by("created_at", "id")


class NewMembers(_MembershipInline):
    """The members to add."""

    verbose_name = _("member")
    verbose_name_plural = _("New members")
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 1
    max_num = 100

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        # Django would read and show a thousand forms beyond `max_num`, which takes a worker for seconds.
        return super().get_formset(request, obj, absolute_max=self.max_num, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).none()


def _check_unchanged(form: forms.ModelForm[Membership], current: Membership | None, shown_at: datetime) -> None:
    """Raise Conflict if the member was added, or got another role, after the form was opened."""
    if not isinstance(form, MemberForm):
        is_changed = current is not None and current.created_at > shown_at
    else:
        is_changed = current is not None and current.role != form.shown_value("role")
    if is_changed:
        raise Conflict(_("The members were changed after the form was opened. Nothing was saved; open it again."))


class TenantForm(ServiceForm):
    strict = StrictField()


class TenantChangeForm(TenantForm, ChangeForm):
    pass


@admin.register(Tenant)
class TenantAdmin(ConfigAdmin):
    list_display = ("tenant_name", "id", "tenant_type", "status", "owner", "created_at")
    list_filter = ("status", "tenant_type")
    search_fields = ("name_folded__startswith", "id", "owner_id", "owner__username_folded")
    palette_fields = ("name_folded__startswith", "id")
    search_help_text = _("The beginning of a name, the id of a tenant or its owner in full, or the owner's username.")
    autocomplete_fields = ("owner",)
    add_form = TenantForm
    form = TenantChangeForm
    add_fields = ("tenant_name", "tenant_type", "owner", *TenantSettings.__annotations__)
    fields = ("id", "owner", *TENANT_FIELDS.changeable, "created_at", "updated_at")
    readonly_fields = ("id", "owner", "created_at", "updated_at")
    inlines = (Members, NewMembers)
    actions = ("suspend", "resume")
    body = InternalTenantUpdateRequest
    limit_labels = {
        **OperatorAdmin.limit_labels,
        "agents": _("Agents"),
        "keys": _("API keys"),
        "members": _("Members"),
    }
    masks = {"tenant_config": masked_tenant_config}
    config_field = "tenant_config"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).select_related("owner")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.fields_view)
        return [path("config-fields/<str:schema>/", view, name="tenants_tenant_fields"), *super().get_urls()]

    def fields_url(self, obj: Any) -> str:
        return reverse("admin:tenants_tenant_fields", args=[(obj and obj.config_schema) or DEFAULT])

    def config_fields(self, schema: str) -> list[Field] | None:
        return list_tenant_fields(schema) if schema in NAMES else None

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else self.inlines

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.suspend_tenant")

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.resume_tenant")

    @admin.action(description=_("Suspend selected tenants"), permissions=["suspend"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        number = self._set_status(request, queryset, TenantStatus.SUSPENDED)
        message = ngettext(
            "%(number)d tenant is suspended, and none of its keys is valid.",
            "%(number)d tenants are suspended, and none of their keys is valid.",
            number,
        )
        self.message_user(request, message % {"number": number})

    @admin.action(description=_("Resume selected suspended tenants"), permissions=["resume"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        number = self._set_status(request, queryset.filter(status=TenantStatus.SUSPENDED), TenantStatus.ACTIVE)
        message = ngettext("%(number)d tenant is active again.", "%(number)d tenants are active again.", number)
        self.message_user(request, message % {"number": number})

    @staticmethod
    def _set_status(request: HttpRequest, tenants: QuerySet[Tenant], status: TenantStatus) -> int:
        actor, changes = actor_of(request), TenantChanges(status=status)
        return len(change_all(tenants, lambda row: services.update_tenant(actor=actor, tenant=row, changes=changes)))

    def create(self, actor: Actor, values: dict[str, Any]) -> Tenant:
        owner = values.pop("owner")
        return services.create_tenant(actor=actor, owner_id=owner and owner.pk, **values)

    def change(self, actor: Actor, row: Tenant, changes: Any) -> Tenant:
        strict = changes.pop(STRICT)
        return services.update_tenant(actor=actor, tenant=row, changes=changes, strict=strict)

    def delete(self, actor: Actor, row: Tenant) -> None:
        services.delete_tenant(actor=actor, tenant=row)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        actor, tenant = actor_of(request), formset.instance
        stored = {row.user_id: row for row in Membership.objects.filter(tenant=tenant)}
        for member in formset.forms:
            user_id = member.instance.user_id
            is_deleted = member in formset.deleted_forms
            if is_deleted or not isinstance(member, MemberForm):
                _check_unchanged(member, stored.get(user_id), form.shown_at)
            if is_deleted:
                members.remove_member(actor=actor, tenant=tenant, user_id=user_id)
            elif member.has_changed():
                members.set_member(actor=actor, tenant=tenant, user_id=user_id, role=Role(member.cleaned_data["role"]))


@admin.register(TenantInvitation)
class TenantInvitationAdmin(OperatorAdmin):
    """The stored invitations into tenants, also those that are no longer valid. Deleting one revokes it."""

    list_display = ("email", "tenant", "role", "inviter", "sent_at", "expires_at")
    ordering = ("-sent_at", "-invitation_ptr_id")
    sortable_by = ("sent_at",)
    list_select_related = ("tenant", "inviter")
    search_fields = ("invitation_ptr", "tenant_id")
    search_help_text = _("The id of an invitation or a tenant in full.")
    fields = ("id", *list_display)
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def delete(self, actor: Actor, row: TenantInvitation) -> None:
        invitations.revoke(actor=actor, tenant=row.tenant, invitation_id=row.pk)

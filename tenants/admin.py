"""Tenants and their members in the operators' admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from agents.config.changing import masked_tenant_config
from maim.common.actor import Actor
from maim.http.admin_base import OperatorAdmin, actor_of
from tenants import services
from tenants.models import Membership, Tenant
from tenants.serializers import InternalTenantChanges


class _MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.admin_site.has_permission(request)


class Members(_MembershipInline):
    """Who belongs to the tenant. The people are text, not choice fields that would each ask for theirs."""

    verbose_name_plural = _("Members")
    fields = ("user", "role", "created_at")
    readonly_fields = ("user", "created_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user").order_by("created_at", "id")


class NewMembers(_MembershipInline):
    """Who is to belong to it."""

    verbose_name = _("member")
    verbose_name_plural = _("New members")
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).none()


@admin.register(Tenant)
class TenantAdmin(OperatorAdmin):
    list_display = ("tenant_name", "id", "tenant_type", "status", "owner", "created_at")
    list_filter = ("status", "tenant_type")
    list_select_related = ("owner",)
    search_fields = ("name_folded", "id", "owner__username_folded")
    autocomplete_fields = ("owner",)
    add_fields = (
        "tenant_name",
        "tenant_type",
        "owner",
        "description",
        "contact_email",
        "tenant_config",
        "rate_limit",
        "quota",
    )
    fields = (
        "id",
        "tenant_name",
        "tenant_type",
        "status",
        "owner",
        "description",
        "contact_email",
        "tenant_config",
        "rate_limit",
        "quota",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("id", "owner", "created_at", "updated_at")
    inlines = (Members, NewMembers)
    body = InternalTenantChanges

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else self.inlines

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Tenant | None:
        """The tenant with its agents' defaults masked, so that no page can show a secret."""
        tenant: Tenant | None = super().get_object(request, object_id, from_field)
        if tenant is not None:
            tenant.tenant_config = masked_tenant_config(tenant.tenant_config)
        return tenant

    def create(self, actor: Actor, values: dict[str, Any]) -> Tenant:
        owner = values.pop("owner")
        return services.create_tenant(actor=actor, owner_id=owner and owner.pk, **values)

    def change(self, actor: Actor, row: Tenant, changes: dict[str, Any]) -> None:
        services.update_tenant(actor=actor, tenant=row, changes=changes)

    def delete(self, actor: Actor, row: Tenant) -> None:
        services.delete_tenant(actor=actor, tenant=row)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        actor, tenant = actor_of(request), formset.instance
        for member in formset.forms:
            user_id = member.instance.user_id
            if member in formset.deleted_forms:
                services.remove_member(actor=actor, tenant=tenant, user_id=user_id)
            elif member.has_changed():
                services.set_member(actor=actor, tenant=tenant, user_id=user_id, role=member.cleaned_data["role"])

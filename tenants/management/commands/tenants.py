from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from core.changes import change_all
from core.commands.formatting import quota_text, rate_limit_text, time_text
from core.commands.options import add_dry_run, add_json, add_limits, add_page, add_yes, integer_between, validated_data
from core.commands.subcommands import Options, SubcommandsCommand
from core.keyset import read_page
from core.naming import begins_with
from core.text import fold_name
from tenants import services
from tenants.access import tenants_for
from tenants.capacity import Resource, capacity_of
from tenants.management.lookup import TenantLookup, name_and_id
from tenants.members import members_of
from tenants.models import Tenant, TenantStatus, TenantType
from tenants.serializers import (
    MAX_LIMIT,
    InternalTenantCreateRequest,
    InternalTenantUpdateRequest,
    MemberResponse,
    TenantCapacityResponse,
    TenantDeletionResponse,
    TenantResponse,
)

HEADER = ["ID", "NAME", "TYPE", "STATUS", "OWNER", "CREATED"]
MAX_MEMBERS = 100  # that are shown with a tenant
# The options that set the API's fields; errors name them in place of the fields.
OPTION_NAMES = {
    "tenant_name": "NAME",
    "owner_id": "--owner",
    "limits": "--max-agents, --max-keys or --max-members",
} | {
    name: f"--{name.replace('_', '-')}"
    for name in ("tenant_type", "description", "contact_email", "config_schema", "rate_limit", "quota", "requires_mfa")
}


class Command(SubcommandsCommand):
    """Management of tenants, through the services that the API and the admin call."""

    help = "Finds, creates, changes, suspends and deletes tenants. They go by id or name, or by their owner's e-mail."
    option_names = OPTION_NAMES
    lookup: TenantLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        found = add("list", self.list, "Lists tenants, newest first; with --name by name")
        found.add_argument("--status", choices=TenantStatus.values)
        found.add_argument("--type", choices=TenantType.values)
        found.add_argument("--member", metavar="USER", help="those in which this user has a role")
        found.add_argument("--name", metavar="TEXT", help="those whose name begins with it")
        add_page(found)
        add_json(found)

        show = add("show", self.show, "Shows a tenant: its settings, what it has of what it may have, and its members")
        _add_tenant(show)
        add_json(show)

        create = add("create", self.create, "Creates a tenant")
        create.add_argument("tenant_name", metavar="NAME", help="unique among its owner's")
        create.add_argument("--type", dest="tenant_type", choices=TenantType.values, default=TenantType.ENTERPRISE)
        create.add_argument("--owner", metavar="USER", help="id, name or e-mail address; by default nobody")
        _add_settings(create, may_end=False)

        update = add("update", self.update, "Changes a tenant; a text that is empty empties the field")
        _add_tenant(update)
        update.add_argument("--name", dest="tenant_name", metavar="NAME", help="a new name")
        update.add_argument(
            "--requires-mfa", action=argparse.BooleanOptionalAction, help="refuse members without a second factor"
        )
        _add_settings(update, may_end=True)

        suspend = add("suspend", self.suspend, "Suspends tenants: people only read there, and no key is good")
        resume = add("resume", self.resume, "Makes suspended or inactive tenants active again")
        delete = add("delete", self.delete, "Deletes tenants with their agents, keys and members")
        for change in (suspend, resume, delete):
            change.add_argument("tenants", nargs="+", metavar="TENANT", help="id, name, or the owner's e-mail address")
            add_dry_run(change)
            add_json(change)
        add_yes(delete)

    def prepare(self) -> None:
        self.lookup = TenantLookup(self.actor)

    # ---- the subcommands

    def list(self, options: Options) -> None:
        rows = tenants_for(self.actor).select_related("owner")
        if options["status"] is not None:
            rows = rows.filter(status=options["status"])
        if options["type"] is not None:
            rows = rows.filter(tenant_type=options["type"])
        if options["member"] is not None:
            rows = rows.filter(memberships__user=self.lookup.user(options["member"]))
        if options["name"] is not None:
            rows = rows.filter(begins_with("name_folded", fold_name(options["name"])))
            rows = rows.order_by("name_folded", "created_at", "id")
        page = read_page(rows, after=options["after"], limit=options["limit"])
        self.write_page(page, options, header=HEADER, row=_row, document=_documents)

    def show(self, options: Options) -> None:
        tenant = self.lookup.tenant(options["tenant"])
        capacity = capacity_of(tenant)
        members = members_of(tenant)[:MAX_MEMBERS]
        if options["json"]:
            document = {
                **TenantResponse(tenant).data,
                "capacity": TenantCapacityResponse({name: each._asdict() for name, each in capacity.items()}).data,
                "members": MemberResponse(members, many=True).data,
            }
            self.out.json(document)
            return
        used = [
            (name, f"{each.used}" if each.limit is None else f"{each.used} of {each.limit}")
            for name, each in capacity.items()
        ]
        self.out.record([*_members(tenant), *used])
        if members:
            self.out.text("")
            rows = [[each.user_id, each.user, each.role, time_text(each.created_at)] for each in members]
            self.out.table(["USER ID", "MEMBER", "ROLE", "SINCE"], rows)

    def create(self, options: Options) -> None:
        owner = None if options["owner"] is None else self.lookup.user(options["owner"])
        given = {**options, "owner_id": owner and owner.id, "limits": _limits(options)}
        values = validated_data(InternalTenantCreateRequest, given)
        self._write(self.change(lambda: services.create_tenant(actor=self.actor, **values), options), options)

    def update(self, options: Options) -> None:
        tenant = self.lookup.tenant(options["tenant"])
        given = {**options, "limits": _limits(options, tenant.limits)}
        changes: Any = validated_data(InternalTenantUpdateRequest, given)
        self._write(
            self.change(lambda: services.update_tenant(actor=self.actor, tenant=tenant, changes=changes), options),
            options,
        )

    def suspend(self, options: Options) -> None:
        self._set_status(TenantStatus.SUSPENDED, options)

    def resume(self, options: Options) -> None:
        self._set_status(TenantStatus.ACTIVE, options)

    def delete(self, options: Options) -> None:
        tenants = self._tenants(options)
        if not options["json"]:
            self.out.tell_table(
                ["ID", "NAME", *(name.upper() for name in Resource)], [_extent(each) for each in tenants]
            )
        if options["dry_run"]:
            self.out.tell("A dry run: nothing was written.")
        else:
            self.confirm(f"Delete {len(tenants)} tenants with everything in them?", options)
            change_all(tenants, lambda tenant: services.delete_tenant(actor=self.actor, tenant=tenant))
        if options["json"]:
            deleted = [{"id": tenant.id} for tenant in tenants]
            self.out.json({"items": TenantDeletionResponse(deleted, many=True).data})
        elif not options["dry_run"]:
            self.out.text("\n".join(f"deleted {tenant.id}" for tenant in tenants))

    # ---- shared steps

    def _tenants(self, options: Options) -> Sequence[Tenant]:
        """Return the tenants that are named, without duplicates."""
        found = [self.lookup.tenant(text) for text in options["tenants"]]
        return list({tenant.id: tenant for tenant in found}.values())

    def _set_status(self, status: TenantStatus, options: Options) -> None:
        tenants = self._tenants(options)

        def set_status(tenant: Tenant) -> Tenant:
            return services.update_tenant(actor=self.actor, tenant=tenant, changes={"status": status})

        changed = self.change(lambda: change_all(tenants, set_status), options)
        if options["json"]:
            self.out.json({"items": _documents(changed)})
        else:
            self.out.table(HEADER, [_row(tenant) for tenant in changed])

    def _write(self, tenant: Tenant, options: Options) -> None:
        if options["json"]:
            self.out.json(TenantResponse(tenant).data)
        else:
            self.out.record(_members(tenant))
            for warning in tenant.config_warnings:
                self.out.tell(f"warning: {warning.path}: {warning.message}")


def _add_tenant(parser: CommandParser) -> None:
    parser.add_argument("tenant", metavar="TENANT", help="id, name, or the owner's e-mail address")


def _add_settings(parser: CommandParser, *, may_end: bool) -> None:
    parser.add_argument("--description", metavar="TEXT")
    parser.add_argument("--contact-email", metavar="ADDRESS")
    parser.add_argument("--config-schema", metavar="NAME", help="the schema of its agents' configs")
    add_limits(parser, may_end=may_end)
    for resource in Resource:
        parser.add_argument(
            f"--max-{resource}",
            type=integer_between(0, MAX_LIMIT),
            metavar="N",
            help=f"how many {resource} it may have",
        )
    add_dry_run(parser)
    add_json(parser)


def _limits(options: Options, before: dict[str, int] | None = None) -> dict[str, int] | None:
    """Return the limits of a tenant that had these before, or None if no option changes them."""
    given = {str(resource): options[f"max_{resource}"] for resource in Resource}
    changes = {name: number for name, number in given.items() if number is not None}
    return {**(before or {}), **changes} if changes else None


def _row(tenant: Tenant) -> list[Any]:
    owner = tenant.owner or tenant.named_owner_id
    return [tenant.id, tenant, tenant.tenant_type, tenant.status, owner, time_text(tenant.created_at)]


def _members(tenant: Tenant) -> list[tuple[str, Any]]:
    """Return a tenant for a record."""
    return [
        ("id", tenant.id),
        ("name", tenant),
        ("type", tenant.tenant_type),
        ("status", tenant.status),
        ("owner", name_and_id(tenant.owner) if tenant.owner else tenant.named_owner_id),
        ("description", tenant.description),
        ("contact", tenant.contact_email),
        ("config schema", tenant.config_schema),
        ("rate limit", rate_limit_text(tenant.rate_limit)),
        ("quota", quota_text(tenant.quota)),
        ("requires a second factor", "yes" if tenant.requires_mfa else "no"),
        ("created", time_text(tenant.created_at)),
        ("updated", time_text(tenant.updated_at)),
    ]


def _extent(tenant: Tenant) -> list[Any]:
    """Return what goes with a tenant that is deleted."""
    return [tenant.id, tenant, *(capacity.used for capacity in capacity_of(tenant).values())]


def _documents(tenants: Sequence[Tenant]) -> Any:
    return TenantResponse(tenants, many=True).data

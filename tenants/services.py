"""The rules about tenants and their members."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, NotRequired, TypedDict, Unpack

from django.db import connection
from django.db.models import ProtectedError, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import services as accounts
from accounts.errors import IdentityTaken
from accounts.models import Invitation, User
from accounts.services import BadInvitation, ProvenIdentity
from agent_config.document import agent_defaults
from agent_config.schema import DEFAULT
from agent_config.updates import apply_tenant_update
from core import audit, change_feed, counts, epoch
from core.actor import Actor, ActorKind, TokenScope
from core.db import delete_many, lock_in_order, transactional, transactional_and_propagated, translate_unique_violation
from core.errors import Conflict, Invalid, Unauthenticated
from core.models import DeletedObject, FeedEntry
from core.prepared import prepared_sql
from core.resource_fields import check_names
from core.revisions import check_revision
from core.undo.storing import store_deleted
from tenants import invitations
from tenants.access import check_creation, check_secrets, get_tenant, lock_tenant
from tenants.errors import NAME_TAKEN, MissingSecondFactor, OwnsTenants
from tenants.fields import OPERATOR_FIELDS, TENANT_FIELDS, TenantChanges, TenantSettings
from tenants.models import Membership, Role, Tenant, TenantType
from tenants.notices import notify_members_without_factor
from tenants.roles import Access
from tenants.templates import templates_below

_NAMED_TENANTS = 100  # in the response about an account that cannot be closed yet


def register(
    *, actor: Actor, username: str, password: str, email: str | None = None, invitation: str | None = None
) -> User:
    """Create a user with a personal tenant, or neither. With an invitation, its address is theirs, and verified.

    By an invitation into a tenant they also become a member of that. Raise TooMany, Forbidden where registration is
    closed or takes an invitation, Invalid for a bad invitation and for bad or taken input, TenantReadOnly,
    TenantLimitReached, and Unavailable.
    """
    found = accounts.check_registration(username=username, email=email, invitation=invitation, address=actor.address)
    user = accounts.new_user(username=username, password=password, email=found.email if found else email)
    _add_with_tenant(actor=actor, user=user, invitation=found)
    return user


def sign_in_by_identity(*, actor: Actor, proven: ProvenIdentity) -> User:
    """Return the user of an identity, or create one with a personal tenant, for `accounts.services.sign_in`.

    If several requests with a new identity come at once, one creates the user. Raise AccountInactive, LinkRequired, and
    Forbidden where registration is closed.
    """
    for username in proven.usernames():
        user = accounts.user_of_identity(actor=actor, proven=proven)
        if user is not None:
            return user
        accounts.check_registration_open()
        try:
            return _register_identity(actor=actor, proven=proven, username=username)
        except (Invalid, IdentityTaken):  # the name is taken, or another request was first
            continue
    raise Conflict(_("No username like yours is free; ask an operator for an account"))


@transactional
def _register_identity(*, actor: Actor, proven: ProvenIdentity, username: str) -> User:
    user = accounts.register_identity(actor=actor, proven=proven, username=username)
    _create_personal_tenant(actor=actor, user=user)
    if not user.email_verified:
        accounts.queue_verification(actor=actor, user=user)
    return user


@transactional
def _add_with_tenant(*, actor: Actor, user: User, invitation: Invitation | None) -> None:
    joined = None
    if invitation is not None and invitation.inviter_id is not None:
        joined = invitations.lock_invitation(invitation)
        if joined is None:
            raise BadInvitation
    if invitation is not None:
        tenant_id = None if joined is None else joined.tenant_id
        accounts.accept_invitation(actor=actor, invitation=invitation, user=user, tenant_id=tenant_id)
    accounts.add_user(actor=actor, user=user)
    _create_personal_tenant(actor=actor, user=user)
    if joined is not None:
        invitations.join(actor=actor, invitation=joined, user=user)
    accounts.queue_verification(actor=actor, user=user)


def _create_personal_tenant(*, actor: Actor, user: User) -> None:
    create_tenant(
        actor=actor,
        tenant_name=f"{user.username}'s Personal Tenant",
        tenant_type=TenantType.PERSONAL,
        owner_id=user.id,
        contact_email=user.email,
    )


def close_account(*, actor: Actor, user: User, password: str | None) -> None:
    """Delete the account of the person who acts, who owns no tenant, after checking their password.

    Raise OwnsTenants, Conflict for the last superuser, Invalid for a wrong password, TooMany, and Unavailable.
    """
    try:
        accounts.close_account(actor=actor, user=user, password=password)
    except ProtectedError as error:
        owned = Tenant.objects.filter(owner=user).order_by("created_at", "id")
        raise OwnsTenants(owned[:_NAMED_TENANTS]) from error


@transactional
def create_tenant(
    *,
    actor: Actor,
    tenant_name: str,
    tenant_type: str,
    owner_id: str | None = None,
    strict: bool = False,
    **settings: Unpack[TenantSettings],
) -> Tenant:
    """Create a tenant. A person becomes the owner of what they create; others may name an owner.

    An `owner_id` that names no user is kept for a user who may come later, and gives nobody rights. Raise
    TenantNameTaken, BadConfig, Invalid for a bad name, Forbidden for a token that only reads or is for one tenant, and
    Unauthenticated for a person who was deleted meanwhile.
    """
    check_creation(actor)
    check_names(settings, TenantSettings.__annotations__)
    if actor.kind == ActorKind.USER:
        owner_id = actor.id
    # Locked, so that the user cannot be deleted meanwhile.
    owner = User.objects.select_for_update().filter(pk=owner_id).first() if owner_id else None
    if actor.kind == ActorKind.USER and owner is None:
        raise Unauthenticated
    tenant = Tenant(
        tenant_type=tenant_type,
        owner=owner,
        owner_scope=owner_id or "",
    )
    TENANT_FIELDS.assign(tenant, settings, skip=("tenant_config",))
    tenant.tenant_config, tenant.config_warnings = apply_tenant_update(
        None,
        settings.get("tenant_config"),
        templates=templates_below(tenant),
        schema_name=tenant.config_schema or DEFAULT,
        strict=strict,
    )
    tenant.change_name(tenant_name)
    with translate_unique_violation(NAME_TAKEN):
        tenant.save(force_insert=True)
    counts.add(tenant)
    if owner is not None:
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
    after = TENANT_FIELDS.audit_state(tenant)
    audit.record(actor=actor, action="tenant.create", object_id=tenant.id, tenant_id=tenant.id, after=after)
    return tenant


@transactional_and_propagated
def update_tenant(
    *,
    actor: Actor,
    tenant: Tenant,
    changes: TenantChanges,
    expected: Container[int] | None = None,
    strict: bool = False,
) -> Tenant:
    """Change some fields of a tenant, and return the changed row. Ignore OPERATOR_FIELDS in a person's changes.

    With `expected`, the tenant's revision must be among these. Raise TenantNameTaken, TenantNotFound,
    PreconditionFailed, BadConfig, and Invalid for a bad name.
    """
    row = lock_tenant(tenant.pk)
    check_revision(row, expected)
    before, config_before = TENANT_FIELDS.audit_state(row), row.tenant_config
    ignored = () if actor.is_trusted else OPERATOR_FIELDS
    _check_factor(actor, row, changes)
    if "tenant_name" in changes:
        row.change_name(changes["tenant_name"])
    TENANT_FIELDS.assign(row, changes, skip=("tenant_name", "tenant_config", *ignored))
    if "tenant_config" in changes:
        row.tenant_config, row.config_warnings = apply_tenant_update(
            row.tenant_config,
            changes["tenant_config"],
            templates=templates_below(row),
            schema_name=row.config_schema or DEFAULT,
            may_move_secrets=actor.is_trusted,
            strict=strict,
        )
        check_secrets(actor, row.id, row.tenant_config or {}, config_before or {})
    after = TENANT_FIELDS.audit_state(row)
    # Even if nothing changes: another request may have made the same change a moment ago and still be waiting.
    if TENANT_FIELDS.affect_verdicts(changes.keys() - ignored):
        epoch.invalidate(row.id)
    if not audit.differ([before, config_before], [after, row.tenant_config]):
        return row
    row.updated_at = timezone.now()
    with translate_unique_violation(NAME_TAKEN):
        row.save(update_fields=[*TENANT_FIELDS.changeable, "name_folded", "updated_at"])
    has_new_defaults = audit.differ(agent_defaults(config_before), agent_defaults(row.tenant_config))
    if has_new_defaults:
        epoch.on_epoch(partial(set_revision, row))
    if has_new_defaults or (row.status, row.config_schema) != (before["status"], before["config_schema"]):
        change_feed.publish(FeedEntry.Kind.TENANT, [row.id], tenant_id=row.id)
    audit.record(actor=actor, action="tenant.update", object_id=row.id, tenant_id=row.id, before=before, after=after)
    if row.requires_mfa and not before["requires_mfa"]:
        notify_members_without_factor(actor=actor, tenant=row)
    return row


def _check_factor(actor: Actor, tenant: Tenant, changes: TenantChanges) -> None:
    """Raise MissingSecondFactor for a person who would require of others what they do not have."""
    is_required = changes.get("requires_mfa", False) and not tenant.requires_mfa
    if is_required and actor.kind == ActorKind.USER and not accounts.has_factor(actor.id or ""):
        raise MissingSecondFactor(_("Add a second factor to your own account before you require one of others"))


@transactional_and_propagated
def delete_tenant(*, actor: Actor, tenant: Tenant, expected: Container[int] | None = None) -> None:
    """Delete a tenant and everything in it. An operator can restore it for MAIM_UNDO_DAYS (core.undo).

    Raise TenantNotFound if it is already gone, and PreconditionFailed.
    """
    row = lock_tenant(tenant.pk)
    check_revision(row, expected)
    before = TENANT_FIELDS.audit_state(row)
    epoch.invalidate(row.id)
    change_feed.publish(
        FeedEntry.Kind.DELETED, row.agents(manager="unscoped").values_list("pk", flat=True), tenant_id=row.id
    )
    lock_in_order(row.agents(manager="unscoped").all())
    keys = row.api_keys(manager="unscoped").all()
    key_ids = lock_in_order(keys)
    store_deleted(actor=actor, kind=DeletedObject.Kind.TENANT, object_id=row.id, tenant_id=row.id, name=row.tenant_name)
    counts.remove_tenant(row)
    delete_many(keys.model, key_ids)
    row.delete()
    accounts.end_tokens_in(actor, tenant_id=tenant.id)
    audit.record(actor=actor, action="tenant.delete", object_id=tenant.id, tenant_id=tenant.id, before=before)


class TokenValues(TypedDict):
    """The choices of a person who makes a personal access token, and their password."""

    name: str
    scope: TokenScope
    expires_at: NotRequired[datetime | None]
    password: NotRequired[str | None]


def create_personal_token(
    *, actor: Actor, user: User, tenant_id: str | None = None, **values: Unpack[TokenValues]
) -> accounts.CreatedToken:
    """Create a personal access token, for one of the person's tenants or for all.

    Raise what `get_tenant` would for the tenant, and what `accounts.services.create_token` does.
    """
    if tenant_id is None:
        return accounts.create_token(actor=actor, user=user, **values)
    get_tenant(actor, tenant_id, Access.READ)

    def check() -> None:
        # Again, under the lock under which members leave: otherwise the token would outlast the membership.
        get_tenant(actor, lock_tenant(tenant_id).id, Access.READ)

    return accounts.create_token(actor=actor, user=user, tenant_id=tenant_id, check=check, **values)


class ListedMembership(NamedTuple):
    """A person's role in a tenant, and the fields of the tenant that their profile shows."""

    tenant_id: str
    tenant_name: str
    tenant_status: str
    role: str
    requires_mfa: bool


def memberships_of(actor: Actor) -> list[ListedMembership]:
    """Return the memberships of the person who acts, oldest first; by a token for one tenant, that in it alone."""
    with connection.cursor() as cursor:
        cursor.execute(_select_memberships(), [actor.id])
        rows = [ListedMembership._make((*row, bool(is_required))) for *row, is_required in cursor.fetchall()]
    return [row for row in rows if actor.may_enter(row.tenant_id)]


@prepared_sql
def _select_memberships() -> QuerySet[Membership, Any]:
    rows = Membership.objects.filter(user_id="").order_by("created_at", "id")
    return rows.values_list("tenant_id", "tenant__tenant_name", "tenant__status", "role", "tenant__requires_mfa")


def set_revision(tenant: Tenant, number: int) -> None:
    """Store the epoch of a change of the tenant's `agent_defaults`."""
    tenant.defaults_revision = number
    Tenant.objects.filter(pk=tenant.pk).update(defaults_revision=number)

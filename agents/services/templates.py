"""The rules about templates: operators' for everybody, tenants' for their own agents."""

from __future__ import annotations

from collections.abc import Container

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agent_config import system
from agent_config.document import Config
from agent_config.updates import changed
from agents.errors import TemplateNameTaken, TemplateNotFound
from agents.fields import TEMPLATE_FIELDS, TemplateChanges
from agents.models import Agent, Template
from core import audit, change_feed, epoch
from core.actor import Actor
from core.db import transactional, translate_unique_violation
from core.errors import Forbidden, Invalid
from core.models import FeedEntry
from core.revisions import check_revision
from tenants.access import Access, get_tenant, tenants_for
from tenants.errors import TenantNotFound
from tenants.models import Tenant

_TAKEN = {
    name: TemplateNameTaken() for name in ("template_name_unique", "name_folded", "agents_template.id", "PRIMARY")
}


def templates_for(actor: Actor) -> QuerySet[Template]:
    """The templates the actor may see, newest first: the operators' and those of their tenants."""
    rows = Template.unscoped.all()
    if not actor.is_trusted:
        rows = rows.filter(Q(tenant=None) | Q(tenant__in=tenants_for(actor)))
    return rows.order_by("-created_at", "-id")


def get_template(actor: Actor, template_id: str, access: Access) -> Template:
    """The template, if the actor has `access` with it; people may only read an operator's.

    Raises TemplateNotFound, Forbidden, TenantReadOnly.
    """
    template = Template.unscoped.filter(pk=template_id).first()
    if template is None:
        raise TemplateNotFound
    if actor.is_trusted:
        return template
    if template.tenant_id is not None:
        try:
            get_tenant(actor, template.tenant_id, access)
        except TenantNotFound as error:
            raise TemplateNotFound from error
    elif access != Access.READ and not actor.is_trusted:
        raise Forbidden(_("This template is the operators'"))
    return template


def agents_of(template: Template) -> QuerySet[Agent]:
    """The agents whose effective config a change of the template changes."""
    agents = Agent.unscoped if template.tenant_id is None else Agent.objects.in_tenants([template.tenant_id])
    return agents.filter(template_id=template.pk)


@transactional
def create_template(
    *,
    actor: Actor,
    tenant: Tenant | None,
    name: str,
    description: str | None = None,
    config: Config | None = None,
    template_id: str | None = None,
    strict: bool = False,
) -> Template:
    """A new template, a tenant's or with None an operator's. Operators may choose its id: agents may already name it.

    Raises TemplateNameTaken, BadConfig, Forbidden, Invalid for a bad name or id.
    """
    if not actor.is_trusted and (tenant is None or template_id is not None):
        raise Forbidden(_("Only operators make templates for everybody, and choose ids"))
    template = Template(tenant=tenant, tenant_scope=tenant.id if tenant else "", description=description)
    if template_id is not None:
        if tenant is not None:
            raise Invalid({"template_id": [_("Only a template for everybody may have an id of your choice")]})
        if "/" in template_id:
            raise Invalid(
                {"template_id": [_("An id may not contain a slash, which would make it an address of its own")]}
            )
        template.id = template_id
    template.change_name(name)
    _change(template, config or {}, actor=actor, strict=strict)
    with translate_unique_violation(_TAKEN):
        template.save(force_insert=True)
    _announce(template)
    audit.record(
        actor=actor,
        action="template.create",
        object_id=template.id,
        tenant_id=template.tenant_id,
        after=TEMPLATE_FIELDS.audit_state(template),
    )
    return template


@transactional
def update_template(
    *,
    actor: Actor,
    template: Template,
    changes: TemplateChanges,
    replace: bool = False,
    expected: Container[int] | None = None,
    strict: bool = False,
) -> Template:
    """Changes any of `name, description`, and `config`, which is merged unless `replace`; only while its revision is an
    `expected` one (None: any).

    Raises TemplateNameTaken, TemplateNotFound, PreconditionFailed, BadConfig, Invalid for a bad name.
    """
    row = _lock(template)
    check_revision(row, expected)
    before, config_before = TEMPLATE_FIELDS.audit_state(row), row.config
    if "name" in changes:
        row.change_name(changes["name"])
    TEMPLATE_FIELDS.assign(row, changes, skip=("name", "config"))
    if "config" in changes:
        _change(row, changes["config"], actor=actor, replace=replace, strict=strict)
    has_new_config = audit.differ(config_before, row.config)
    after = TEMPLATE_FIELDS.audit_state(row)
    if not has_new_config and not audit.differ(before, after):
        return row
    row.updated_at = timezone.now()
    with translate_unique_violation(_TAKEN):
        row.save(update_fields=[*TEMPLATE_FIELDS.changeable, "name_folded", "updated_at"])
    if has_new_config:
        _announce(row)
    audit.record(
        actor=actor, action="template.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
    )
    return row


@transactional
def delete_template(*, actor: Actor, template: Template, expected: Container[int] | None = None) -> None:
    """Removes a template; the agents that name it keep its id, which then resolves to nothing.

    Raises TemplateNotFound, PreconditionFailed.
    """
    row = _lock(template)
    check_revision(row, expected)
    before = TEMPLATE_FIELDS.audit_state(row)
    change_feed.publish(FeedEntry.Kind.TEMPLATE, [row.id], tenant_id=row.tenant_id)
    row.delete()
    audit.record(
        actor=actor, action="template.delete", object_id=template.id, tenant_id=template.tenant_id, before=before
    )


def _lock(template: Template) -> Template:
    row = Template.unscoped.select_for_update().filter(pk=template.pk).first()
    if row is None:
        raise TemplateNotFound
    return row


def _change(template: Template, sent: Config, *, actor: Actor, replace: bool = False, strict: bool) -> None:
    new = changed(
        template.config,
        sent,
        below=[system.defaults().layer],
        is_trusted=template.tenant_id is None,
        may_move_secrets=actor.is_trusted,
        replace=replace,
        strict=strict,
    )
    template.config, template.found_warnings = new


def _announce(template: Template) -> None:
    """Notes the epoch of the config's change, and tells those who follow the template's agents."""
    epoch.on_epoch(lambda number: _set_config_epoch(template, number))
    change_feed.publish(FeedEntry.Kind.TEMPLATE, [template.id], tenant_id=template.tenant_id)


def _set_config_epoch(template: Template, number: int) -> None:
    template.config_epoch = number
    Template.unscoped.filter(pk=template.pk).update(config_epoch=number)

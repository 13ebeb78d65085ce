"""Templates: the operators' for all tenants, and the tenants' for their own agents."""

from __future__ import annotations

from collections.abc import Container, Sequence

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agent_config import system
from agent_config.document import Config
from agent_config.layers import Layer
from agents.errors import TemplateNameTaken, TemplateNotFound
from agents.fields import TEMPLATE_FIELDS, TemplateChanges
from agents.models import Agent, Template
from agents.services.config_writes import ConfigWrite
from core import audit, change_feed, epoch
from core.actor import Actor
from core.db import transactional, translate_unique_violation
from core.errors import Forbidden, Invalid
from core.fields import DOT_SEGMENTS
from core.models import FeedEntry
from core.revisions import check_revision
from core.scrubbing import scrubbed_text
from tenants.access import get_tenant, tenant_ids_for
from tenants.errors import TenantNotFound
from tenants.models import Tenant
from tenants.roles import Access

_TAKEN = {
    name: TemplateNameTaken() for name in ("template_name_unique", "name_folded", "agents_template.id", "PRIMARY")
}


class TemplateConfigWrite(ConfigWrite[Template]):
    """A write of a template's config."""

    @property
    def lower_layers(self) -> Sequence[Layer]:
        return [system.defaults(self.schema_name).layer]

    @property
    def schema_name(self) -> str:
        return self.row.schema_name

    @property
    def is_trusted(self) -> bool:
        return self.row.tenant_id is None

    def record(self) -> None:
        epoch.on_epoch(self._set_config_epoch)
        change_feed.publish(FeedEntry.Kind.TEMPLATE, [self.row.id], tenant_id=self.row.tenant_id)

    def _set_config_epoch(self, number: int) -> None:
        self.row.config_epoch = number
        Template.unscoped.filter(pk=self.row.pk).update(config_epoch=number)


def templates_for(actor: Actor) -> QuerySet[Template]:
    """Return the templates that the actor may read, newest first: the operators' and those of their tenants."""
    rows = Template.unscoped.select_related("tenant").defer("tenant__tenant_config")
    if not actor.is_trusted:
        # The ids themselves, because MariaDB would look at every tenant's templates for those in a subquery.
        rows = rows.filter(tenant_scope__in=["", *tenant_ids_for(actor).values_list("tenant_id", flat=True)])
    return rows.order_by("-created_at", "-id")


def get_template(actor: Actor, template_id: str, access: Access) -> Template:
    """Return the template if the actor has this access to it; people may only read an operator's.

    Raise TemplateNotFound, Forbidden, TenantReadOnly.
    """
    template = Template.unscoped.select_related("tenant").filter(pk=template_id).first()
    if template is None:
        raise TemplateNotFound
    if actor.is_trusted:
        return template
    if template.tenant_id is not None:
        try:
            get_tenant(actor, template.tenant_id, access)
        except TenantNotFound as error:
            raise TemplateNotFound from error
    elif access != Access.READ:
        raise Forbidden(_("This template is the operators'"))
    return template


def agents_of(template: Template) -> QuerySet[Agent]:
    """Return the agents that use the template."""
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
    """Create a template of a tenant, or of the operators if `tenant` is None.

    Operators may choose its id, because agents may already name it. Raise TemplateNameTaken, BadConfig, Forbidden,
    and Invalid for a bad name or id.
    """
    if not actor.is_trusted and (tenant is None or template_id is not None):
        raise Forbidden(_("Only operators make templates for everybody, and choose ids"))
    template = Template(tenant=tenant, tenant_scope=tenant.id if tenant else "")
    template.description = scrubbed_text(description)
    if template_id is not None:
        if tenant is not None:
            raise Invalid({"template_id": [_("Only a template for everybody may have an id of your choice")]})
        if "/" in template_id or template_id in DOT_SEGMENTS:
            raise Invalid(
                {"template_id": [_("An id may not contain a slash or be . or .., because it would be another address")]}
            )
        template.id = template_id
    template.change_name(name)
    write = TemplateConfigWrite(template, actor=actor)
    write.apply(config or {}, strict=strict)
    with translate_unique_violation(_TAKEN):
        template.save(force_insert=True)
    write.record()
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
    """Change any of `name`, `description` and `config`, which is merged, or replaced with `replace`.

    Raise TemplateNameTaken, TemplateNotFound, PreconditionFailed unless the revision is an `expected` one (None allows
    any), BadConfig, and Invalid for a bad name.
    """
    row = _lock(template, expected)
    before = TEMPLATE_FIELDS.audit_state(row)
    write = TemplateConfigWrite(row, actor=actor)
    if "name" in changes:
        row.change_name(changes["name"])
    TEMPLATE_FIELDS.assign(row, changes, skip=("name", "config"))
    if "config" in changes:
        write.apply(changes["config"], replace=replace, strict=strict)
    after = TEMPLATE_FIELDS.audit_state(row)
    if not write.is_changed and not audit.differ(before, after):
        return row
    row.updated_at = timezone.now()
    with translate_unique_violation(_TAKEN):
        row.save(update_fields=[*TEMPLATE_FIELDS.changeable, "name_folded", "updated_at"])
    if write.is_changed:
        write.record()
    audit.record(
        actor=actor, action="template.update", object_id=row.id, tenant_id=row.tenant_id, before=before, after=after
    )
    return row


@transactional
def delete_template(*, actor: Actor, template: Template, expected: Container[int] | None = None) -> None:
    """Delete a template. Agents that name it keep its id, which then has no effect.

    Raise TemplateNotFound, PreconditionFailed.
    """
    row = _lock(template, expected)
    before = TEMPLATE_FIELDS.audit_state(row)
    change_feed.publish(FeedEntry.Kind.TEMPLATE, [row.id], tenant_id=row.tenant_id)
    row.delete()
    audit.record(
        actor=actor, action="template.delete", object_id=template.id, tenant_id=template.tenant_id, before=before
    )


def _lock(template: Template, expected: Container[int] | None) -> Template:
    row = Template.unscoped.select_for_update().filter(pk=template.pk).first()
    if row is None:
        raise TemplateNotFound
    check_revision(row, expected)
    if Template.tenant.is_cached(template):
        row.tenant = template.tenant  # instead of reading it again
    return row

"""Agents, the versions of their config, and templates in the operators' admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from agent_config.schema.field_list import Field, list_fields
from agent_config.schema.versions import DEFAULT, NAMES
from agent_config.secrets import masked
from agents import admin_config, services
from agents.access import agents_for
from agents.admin_import import import_view
from agents.errors import AgentNotFound, VersionNotFound
from agents.fields import AGENT_FIELDS, TEMPLATE_FIELDS, AgentSettings
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting, Template
from agents.serializers.agents import AgentUpdateRequest
from agents.serializers.configs import TemplateUpdateRequest
from agents.services import templates
from agents.services.config_writes import WriteOptions
from core.actor import KIND_NAMES, Actor, ActorKind
from core.admin_base import ReadOnlyAdmin, actor_of
from core.admin_config import STRICT, ConfigAdmin, StrictField
from core.admin_forms import ChangeForm, ServiceForm
from core.admin_pages import KeysetChangeList
from core.display import DisplayName
from core.fields import ID_LENGTH
from tenants.models import Tenant

_CONFIG_HELP = _(
    "A JSON object. It is merged into the stored one: what you leave out stays, null removes, "
    "and ******** keeps a stored secret."
)


def _fields_url(schema: str | None) -> str:
    return reverse("admin:agents_agent_fields", args=[schema or DEFAULT])


def _template_id_field(label: Any, help_text: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        max_length=ID_LENGTH,
        empty_value=None,
        widget=UnfoldAdminTextInputWidget,
        help_text=help_text,
    )


class AgentForm(ServiceForm):
    # The foreign key's own form field would refuse an id that names no template.
    template_id = _template_id_field(_("Template"), _("An id that names no template is kept and means nothing."))
    strict = StrictField()

    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("instance") is not None:
            options["initial"] = {"template_id": options["instance"].template_id, **(options.get("initial") or {})}
        super().__init__(*args, **options)

    class Meta:
        help_texts = {
            "config": _CONFIG_HELP,
            "tags": _("One in each line."),
        }


class AgentChangeForm(AgentForm, ChangeForm):
    # The audit log has the version's number; the config itself is in the versions.
    audit_keys = {"config": "config_version"}


@admin.register(Agent)
class AgentAdmin(ConfigAdmin):
    list_display = ("name", "id", "tenant", "status", "created_at")
    list_filter = ("status",)
    list_select_related = ("tenant",)
    search_fields = ("name_folded__startswith", "id", "tenant_id")
    palette_fields = ("name_folded__startswith", "id")
    search_help_text = _("The beginning of a name, or the id of an agent or a tenant in full.")
    ordering = ("-created_at", "-name_folded", "-id")
    search_ordering = ("-created_at", "-id")
    raw_id_fields = ("tenant",)
    add_form = AgentForm
    form = AgentChangeForm
    add_fields = ("tenant", "name", *AgentSettings.__annotations__)
    fields = ("id", "tenant", *AGENT_FIELDS.names, "created_at", "updated_at")
    readonly_fields = ("id", "tenant", "config_version", "created_at", "updated_at")
    change_list_template = "agents/admin/agents.html"
    body = AgentUpdateRequest
    masks = {"config": masked}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        return agents_for(actor_of(request))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        config = "<str:object_id>/config/"
        return [
            path("import/", view(self.import_view), name="agents_agent_import"),
            path("config-fields/<str:schema>/", view(self.fields_view), name="agents_agent_fields"),
            path(config, view(self.config_view), name="agents_agent_config"),
            path(f"{config}<int:first>/<int:second>/", view(self.comparison_view), name="agents_agent_comparison"),
            path(f"{config}<int:number>/restore/", view(self.restore_view), name="agents_agent_restore"),
            *super().get_urls(),
        ]

    def fields_url(self, obj: Any) -> str:
        if obj is None:
            return _fields_url(None)
        # A query of its own, because the tenant may be deleted meanwhile.
        of_tenant = Tenant.objects.filter(pk=obj.tenant_id).values_list("config_schema", flat=True)
        return _fields_url(obj.config_schema or of_tenant.first())

    def config_fields(self, schema: str) -> list[Field] | None:
        return list_fields(schema) if schema in NAMES else None

    def config_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        agent = self._agent(request, object_id)
        try:
            return admin_config.config_view(request, self.admin_site, agent)
        except AgentNotFound as error:  # deleted meanwhile
            raise Http404 from error

    def comparison_view(self, request: HttpRequest, object_id: str, first: int, second: int) -> HttpResponse:
        agent = self._agent(request, object_id)
        try:
            return admin_config.comparison_view(request, self.admin_site, agent, first, second)
        except VersionNotFound as error:
            raise Http404 from error

    def restore_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        agent = self._agent(request, object_id)
        if not admin_config.may_restore(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        return admin_config.restore(request, agent, number)

    def _agent(self, request: HttpRequest, object_id: str) -> Agent:
        agent = self.get_queryset(request).filter(pk=unquote(object_id)).select_related("tenant").first()
        if agent is None or not self.has_view_permission(request, agent):
            raise Http404
        return agent

    def import_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return import_view(request, self.admin_site)

    def create(self, actor: Actor, values: dict[str, Any]) -> Agent:
        return services.create_agent(actor=actor, **values)

    def change(self, actor: Actor, row: Agent, changes: Any) -> Agent:
        write = WriteOptions(strict=changes.pop(STRICT))
        return services.update_agent(actor=actor, agent=row, changes=changes, config_write=write)

    def delete(self, actor: Actor, row: Agent) -> None:
        services.delete_agent(actor=actor, agent=row)


class _VersionList(KeysetChangeList):
    """The list of versions, without the documents, because they are large."""

    def get_rows(self) -> QuerySet[ConfigVersion]:
        return super().get_rows().defer("config", "patch")


@admin.register(ConfigVersion)
class ConfigVersionAdmin(ReadOnlyAdmin):
    """The versions of agents' configs, which the agent's own page compares and restores."""

    list_display = ("number", "agent", "author_name", "note", "created_at")
    list_select_related = ("agent",)
    search_fields = ("agent_id",)
    search_help_text = _("The id of an agent, in full.")
    fields = ("agent", "number", "kind", "author_id", "author_name", "note", "created_at", "patch", "config")
    masks = {"config": masked}

    @admin.display(description=_("author kind"))
    def kind(self, version: ConfigVersion) -> str:
        return str(KIND_NAMES[ActorKind(version.author_kind)])

    @admin.display(description=_("author"), ordering="author")
    def author_name(self, version: ConfigVersion) -> str:
        return DisplayName(version.author_name).__html__()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigVersion]:
        return ConfigVersion.unscoped.all()

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return _VersionList


class TemplateForm(ServiceForm):
    strict = StrictField()

    class Meta:
        help_texts = {"config": _CONFIG_HELP}


class TemplateChangeForm(TemplateForm, ChangeForm):
    pass


class NewTemplateForm(TemplateForm):
    template_id = _template_id_field(
        _("Id"), _("Of a template for everybody, one that agents may already name; empty for a new one.")
    )

    class Meta(TemplateForm.Meta):
        help_texts = {**TemplateForm.Meta.help_texts, "tenant": _("Whose agents may use it; empty for everybody's.")}


@admin.register(Template)
class TemplateAdmin(ConfigAdmin):
    list_display = ("name", "id", "tenant", "created_at")
    list_select_related = ("tenant",)
    search_fields = ("name_folded__startswith", "id", "tenant_id")
    search_help_text = _("The beginning of a name, or the id of a template or a tenant in full.")
    raw_id_fields = ("tenant",)
    add_form = NewTemplateForm
    form = TemplateChangeForm
    add_fields = ("template_id", "tenant", *TEMPLATE_FIELDS.changeable)
    fields = ("id", "tenant", *TEMPLATE_FIELDS.changeable, "followers", "created_at", "updated_at")
    readonly_fields = ("id", "tenant", "followers", "created_at", "updated_at")
    body = TemplateUpdateRequest
    masks = {"config": masked}

    @admin.display(description=_("agents that use it"))
    def followers(self, template: Template) -> int:
        """Return how many agents use the template."""
        return templates.agents_of(template).count()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Template]:
        return templates.templates_for(actor_of(request))

    def fields_url(self, obj: Any) -> str:
        return _fields_url(obj.schema_name if obj else None)

    def create(self, actor: Actor, values: dict[str, Any]) -> Template:
        return templates.create_template(actor=actor, **values)

    def change(self, actor: Actor, row: Template, changes: Any) -> Template:
        strict = changes.pop(STRICT)
        return templates.update_template(actor=actor, template=row, changes=changes, strict=strict)

    def delete(self, actor: Actor, row: Template) -> None:
        templates.delete_template(actor=actor, template=row)


@admin.register(PluginSetting)
class PluginSettingAdmin(ReadOnlyAdmin):
    """The settings of plugins, which bots and members change."""

    list_display = ("plugin_name", "tenant", "agent", "enabled", "updated_at")
    list_select_related = ("tenant", "agent")
    search_fields = ("tenant_id", "agent_id")
    search_help_text = _("The id of a tenant or an agent, in full.")
    fields = ("plugin_name", "tenant", "agent", "enabled", "config", "created_at", "updated_at")
    masks = {"config": masked}

    def get_queryset(self, request: HttpRequest) -> QuerySet[PluginSetting]:
        return PluginSetting.unscoped.all()


@admin.register(AgentActivity)
class AgentActivityAdmin(ReadOnlyAdmin):
    """The last heartbeats of agents."""

    list_display = ("agent", "tenant", "last_seen_at", "expires_at")
    list_display_links = ("last_seen_at",)  # the first column leads to the agent
    list_select_related = ("agent", "tenant")
    ordering: ClassVar[tuple[str, ...]] = ("-expires_at", "-agent_id")
    search_fields = ("agent_id",)
    search_help_text = _("The id of an agent, in full.")
    fields = ("agent", "tenant", "last_seen_at", "ttl_seconds", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentActivity]:
        return AgentActivity.unscoped.all()

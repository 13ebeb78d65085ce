"""The page of the operators' admin that makes an agent from a bot's own files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
    UnfoldForeignKeyRawIdWidget,
)

from agent_config.secrets import masked
from agents import maibot_files
from agents.models import Agent
from agents.serializers.transfer import MAX_FILE_LENGTH
from agents.transfer_files import import_document
from core.actor import Actor
from core.admin_base import actor_of
from core.admin_columns import change_url
from core.admin_config import StrictField
from core.admin_fields import pretty
from core.admin_forms import show_error
from core.errors import DomainError
from core.http.fields import NAME_LENGTH
from tenants.models import Tenant


def _file_field(label: str) -> forms.FileField:
    return forms.FileField(label=label, required=False, allow_empty_file=True, widget=UnfoldAdminFileFieldWidget)


class ImportForm(forms.Form):
    tenant = forms.ModelChoiceField(Tenant.objects.all(), label=_("Tenant"))
    name = forms.CharField(label=_("Name"), max_length=NAME_LENGTH, widget=UnfoldAdminTextInputWidget)
    bot = _file_field(maibot_files.BOT)
    model = _file_field(maibot_files.MODEL)
    dry_run = forms.BooleanField(
        label=_("Only show what would be made"),
        required=False,
        help_text=_("Nothing is stored."),
        widget=UnfoldBooleanWidget,
    )
    strict = StrictField()

    def __init__(self, site: AdminSite, *args: Any) -> None:
        super().__init__(*args)
        relation = Agent._meta.get_field("tenant").remote_field
        self.fields["tenant"].widget = UnfoldForeignKeyRawIdWidget(relation, site)

    def clean_bot(self) -> UploadedFile[bytes] | None:
        return self._clean_file("bot")

    def clean_model(self) -> UploadedFile[bytes] | None:
        return self._clean_file("model")

    def _clean_file(self, name: str) -> UploadedFile[bytes] | None:
        file: UploadedFile[bytes] | None = self.cleaned_data[name]
        if file is not None and (file.size or 0) > MAX_FILE_LENGTH:
            raise forms.ValidationError(
                _("The file may have at most %(kib)d KiB."), params={"kib": MAX_FILE_LENGTH // 1024}
            )
        return file


def import_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Ask for a bot's files, and make an agent from them, or show what would be made."""
    form = ImportForm(site, request.POST or None, request.FILES or None)
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": gettext("Import a bot"),
        "opts": Agent._meta,
        "form": form,
    }
    if form.is_valid():
        try:
            context |= _import(actor_of(request), **form.cleaned_data)
        except DomainError as error:
            show_error(form, error)
    return TemplateResponse(request, "agents/admin/import.html", context)


def _import(
    actor: Actor,
    *,
    tenant: Tenant,
    name: str,
    bot: UploadedFile[bytes] | None,
    model: UploadedFile[bytes] | None,
    dry_run: bool,
    strict: bool,
) -> dict[str, Any]:
    """Return what the page shows of the import."""
    files = maibot_files.read_files(*(None if file is None else file.read() for file in (bot, model)))
    document = {"name": name, "config": files.config, "config_schema": files.schema_name, "strict": strict}
    result = import_document(actor, tenant, document, dry_run=dry_run)
    shown = {"agent": result["agent"], "files": files, "warnings": result["config_warnings"]}
    if dry_run:
        preview = result["preview"]
        return {**shown, "config": pretty(masked(preview.config)), "changes": pretty(preview.changes)}
    return {**shown, "agent_url": change_url(result["agent"])}

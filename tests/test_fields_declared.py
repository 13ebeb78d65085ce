"""The declared fields of each resource, which no column, request, response, form or command option lacks."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model

from accounts import services as accounts
from accounts.fields import USER_FIELDS
from accounts.models import (
    EmailToken,
    Identity,
    Invitation,
    LinkChallenge,
    OidcFlow,
    Passkey,
    PersonalToken,
    QueuedMail,
    RecoveryCode,
    SignInAddress,
    SignInChallenge,
    TokenSession,
    TotpFactor,
    UsedChallenge,
    User,
)
from accounts.serializers import ProfileRequest
from agents import services as agents
from agents.fields import AGENT_FIELDS, PLUGIN_FIELDS, TEMPLATE_FIELDS, AgentSettings
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting, Template
from agents.serializers.agents import (
    AgentCreateRequest,
    AgentResponse,
    AgentUpdateRequest,
    InternalAgentResponse,
    PluginResponse,
)
from agents.serializers.configs import TemplateResponse, TemplateUpdateRequest
from agents.services import templates
from apikeys import services as apikeys
from apikeys.fields import ISSUE_FIELDS, KEY_FIELDS, KeyChanges
from apikeys.management.options import OPTIONS, add_issue_options, issue_data
from apikeys.models import (
    ApiKey,
    DailyRefusals,
    DailyUse,
    FiveMinuteCount,
    HourCount,
    KeySecret,
    MinuteCount,
    Notice,
    Refusal,
    UsageLogEntry,
    VerificationTime,
)
from apikeys.serializers.keys import AgentKeyCreateRequest, AgentKeyResponse, KeyResponse, KeyUpdateRequest
from core.models import (
    Approval,
    AuditBlock,
    AuditEntry,
    AuditRedaction,
    AuditRemoval,
    DeletedObject,
    DeletedRows,
    Epoch,
    FeedEntry,
    Gauge,
    IdempotentResponse,
    Invalidation,
    Lock,
    RevealCount,
    RowCount,
    RunningServer,
)
from core.resource_fields import ResourceField, ResourceFields
from legacy.models import Bridge, Bridged, Imported, NewestRow
from operations.models import BulkOperation, Outcome
from tenants import services as tenants
from tenants.fields import TENANT_FIELDS, TenantSettings
from tenants.models import Membership, OwnershipOffer, Tenant, TenantInvitation
from tenants.serializers import (
    InternalTenantCreateRequest,
    InternalTenantResponse,
    InternalTenantUpdateRequest,
    TenantResponse,
)
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.embedded

APPS = {"core", "accounts", "tenants", "agents", "apikeys", "operations", "legacy"}
# Fields that only the admin changes.
NOT_IN_REQUESTS: dict[type[Model], set[str]] = {
    Tenant: {"tenant_type"},
    User: {"is_active"},
}
# Fields of requests that are not stored: the password that allows a change.
PROOFS = {"password"}
LATER = datetime(2999, 1, 31, 12, tzinfo=UTC)


CREATE: dict[str, Callable[..., object]] = {
    "key": lambda tenant, **settings: make_key(make_agent(tenant), **settings),
    "agent": make_agent,
    "tenant": lambda _tenant, **settings: tenants.create_tenant(
        actor=OPERATOR, tenant_name="new", tenant_type="enterprise", **settings
    ),
}


@dataclass(frozen=True)
class Resource:
    """A model with declared fields: how a row is made and updated, and a change of each field."""

    fields: ResourceFields
    make: Callable[[Person], Any]
    update: Callable[[Any, Any], Any]
    changes: dict[str, Any]
    request: type[Any]
    responses: tuple[type[Any], ...]
    # Columns without a field, each with its reason.
    exempt: dict[str, str]
    # Fields that the audit log has under another name.
    audited_as: dict[str, str] = field(default_factory=dict)


_COMMON = {
    "id": "identifies the row, and never changes",
    "revision": "is raised by every change",
    "created_at": "is set once",
    "updated_at": "is set by every change",
}
_TENANT = {"tenant_id": "has its own column in the audit log, and never changes"}
_NAMED = {"name_folded": "follows from the name"}
_LIMITS = {"rate_limit": {"limit": 1, "window_seconds": 60}, "quota": {"limit": 1, "period": "day"}}

RESOURCES: dict[type[Model], Resource] = {
    ApiKey: Resource(
        fields=KEY_FIELDS,
        make=lambda alice: make_key(make_agent(alice.tenant)).key,
        update=lambda row, changes: apikeys.update_key(actor=OPERATOR, key=row, changes=changes),
        changes={
            "name": "renamed",
            "description": "changed",
            "permissions": ["chat"],
            "status": "disabled",
            "expires_at": LATER,
            "allowed_networks": ["10.0.0.0/8"],
            "metadata": {"owner": "bob"},
            **_LIMITS,
        },
        request=KeyUpdateRequest,
        responses=(AgentKeyResponse, KeyResponse),
        exempt=_COMMON | _TENANT | _NAMED | {"last_used_at": "is measured", "usage_count": "is measured"},
    ),
    Agent: Resource(
        fields=AGENT_FIELDS,
        make=lambda alice: make_agent(alice.tenant),
        update=lambda row, changes: agents.update_agent(actor=OPERATOR, agent=row, changes=changes),
        changes={
            "name": "renamed",
            "description": "changed",
            "template_id": "template_1",
            "status": "archived",
            "config": {"persona": "strict"},
            "tags": ["new"],
            "config_schema": "maibot-1.2",
            **_LIMITS,
        },
        request=AgentUpdateRequest,
        responses=(AgentResponse, InternalAgentResponse),
        exempt=_COMMON | _TENANT | _NAMED,
        audited_as={"config": "config_version"},
    ),
    Template: Resource(
        fields=TEMPLATE_FIELDS,
        make=lambda alice: templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="first"),
        update=lambda row, changes: templates.update_template(actor=OPERATOR, template=row, changes=changes),
        changes={"name": "renamed", "description": "changed", "config": {"persona": "strict"}},
        request=TemplateUpdateRequest,
        responses=(TemplateResponse,),
        exempt=_COMMON
        | _NAMED
        | {"tenant_scope": "follows from the tenant", "config_epoch": "follows from the changes of the config"},
    ),
    Tenant: Resource(
        fields=TENANT_FIELDS,
        make=lambda alice: alice.tenant,
        update=lambda row, changes: tenants.update_tenant(actor=OPERATOR, tenant=row, changes=changes),
        changes={
            "tenant_name": "renamed",
            "tenant_type": "enterprise",
            "status": "suspended",
            "description": "changed",
            "contact_email": "alice@example.org",
            "tenant_config": {"plan": "gold"},
            "config_schema": "maibot-1.2",
            **_LIMITS,
            "limits": {"agents": 1},
            "requires_mfa": True,
        },
        request=InternalTenantUpdateRequest,
        responses=(TenantResponse, InternalTenantResponse),
        exempt=_COMMON
        | _NAMED
        | {"owner_scope": "is what owner_id shows", "defaults_revision": "follows from the changes of the config"},
    ),
    User: Resource(
        fields=USER_FIELDS,
        make=lambda alice: alice.user,
        update=lambda row, changes: accounts.update_user(actor=OPERATOR, user_id=row.pk, changes=changes),
        changes={
            "email": "alice@example.org",
            "is_active": False,
            "key_notices": False,
        },
        request=ProfileRequest,
        responses=(),  # users do not see their own flags
        exempt={
            "id": "identifies the row, and never changes",
            "created_at": "is set once",
            "username_folded": "follows from the username",
            "email_folded": "follows from the email",
            "password": "is changed by services of its own, and never audited",
            "last_login": "is measured",
            "deactivations": "counts the changes of is_active",
            "is_staff": "is what operator_role says",
            "is_superuser": "is what operator_role says",
            "admin_sign_outs": "counts the ends of all sessions in the admin",
            "verified_email": "is set by links in mails, see accounts.services.emails",
            "pending_email": "waits for such a link",
        },
    ),
}
# Models without declared fields, each with its reason.
NOT_DECLARED: dict[type[Model], str] = {
    PluginSetting: "is set as a whole, see TestPluginSettings",
    Membership: "has a role alone, which is set as a whole",
    OwnershipOffer: "is made, accepted or withdrawn, never edited",
    RowCount: "is counted with the rows, never edited",
    MinuteCount: "is counted with verifications, never edited",
    HourCount: "is counted with verifications, never edited",
    FiveMinuteCount: "is counted with verifications, never edited",
    DailyRefusals: "is counted with verifications, never edited",
    VerificationTime: "is counted with verifications, never edited",
    TotpFactor: "is added and removed, see accounts.services.factors",
    Passkey: "is added, renamed and removed, see accounts.services.own_passkeys",
    PersonalToken: "is created, renamed and revoked, see accounts.services.personal_tokens",
    UsedChallenge: "is written once",
    RecoveryCode: "is made and used, never edited",
    SignInChallenge: "is made and used, never edited",
    EmailToken: "is made and used, never edited",
    Identity: "is added, used and removed, never edited",
    LinkChallenge: "is made and used, never edited",
    OidcFlow: "is made and used, never edited",
    Invitation: "is made and used, never edited",
    TenantInvitation: "is made and used, never edited",
    QueuedMail: "is sent, and gone",
    SignInAddress: "is measured",
    TokenSession: "is opened, refreshed and ended, never edited",
    ConfigVersion: "is written once",
    AgentActivity: "is measured",
    KeySecret: "is written once, and ends",
    DailyUse: "is measured",
    Notice: "is told once, never edited",
    Refusal: "is noted with verifications, never edited",
    UsageLogEntry: "is written once",
    AuditEntry: "is written once",
    AuditBlock: "is written once",
    AuditRedaction: "is written by `rotate_secrets`",
    AuditRemoval: "is written once",
    DeletedObject: "is written once",
    DeletedRows: "is written once",
    BulkOperation: "is written by its worker",
    Outcome: "is written once",
    RevealCount: "is counted, never edited",
    Epoch: "is a counter",
    RunningServer: "is a process' state",
    Gauge: "is measured",
    Approval: "is a worker's state",
    Invalidation: "is written once",
    FeedEntry: "is written once",
    Lock: "is held by processes",
    IdempotentResponse: "is written once",
    Imported: "is the state of an import",
    NewestRow: "is the state of an import",
    Bridge: "is the state of a bridge",
    Bridged: "is the state of a bridge",
}

resources = pytest.mark.parametrize("model", RESOURCES, ids=lambda model: model.__name__)
changeable = pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model, resource in RESOURCES.items() for name in resource.fields.changeable],
)


class TestDeclarations:
    def test_every_model_is_declared_or_exempt_with_a_reason(self) -> None:
        ours = {model for model in apps.get_models() if model.__module__.partition(".")[0] in APPS}

        assert ours == RESOURCES.keys() | NOT_DECLARED.keys()
        assert not RESOURCES.keys() & NOT_DECLARED.keys()

    @resources
    def test_every_column_is_declared_or_exempt_with_a_reason(self, model: type[Model]) -> None:
        resource = RESOURCES[model]
        columns = {column.attname for column in model._meta.concrete_fields}
        declared, exempt = set(resource.fields.names), set(resource.exempt)
        computed = {name for name in declared if isinstance(getattr(model, name, None), property)}

        assert columns == (declared - computed) | exempt
        assert not declared & exempt

    @resources
    def test_every_changeable_field_is_in_the_update_request(self, model: type[Model]) -> None:
        resource = RESOURCES[model]

        missing = set(resource.fields.changeable) - set(resource.request().fields)
        assert missing == set(NOT_IN_REQUESTS.get(model, ()))
        assert set(resource.request().fields) <= set(resource.fields.changeable) | PROOFS

    @resources
    def test_every_changeable_field_is_in_the_responses(self, model: type[Model]) -> None:
        resource = RESOURCES[model]

        for response in resource.responses:
            assert set(resource.fields.changeable) <= set(response().fields)

    @resources
    def test_every_changeable_field_is_in_the_admin_form(self, model: type[Model]) -> None:
        page: Any = admin.site._registry[model]

        assert set(page.fields) - set(page.readonly_fields) == set(RESOURCES[model].fields.changeable)

    def test_changeable_field_without_a_declaration_fails_at_import(self) -> None:
        with pytest.raises(TypeError, match="description"):
            ResourceFields(ResourceField("name"), changes=KeyChanges)


class TestPluginSettings:
    def test_every_column_is_declared_or_exempt(self) -> None:
        columns = {column.attname for column in PluginSetting._meta.concrete_fields}

        assert columns == {*PLUGIN_FIELDS.names, *_COMMON, *_TENANT, "agent_scope"}, "the scope follows from the agent"

    def test_every_field_is_in_the_response(self) -> None:
        assert set(PLUGIN_FIELDS.names) <= set(PluginResponse().fields)


@pytest.mark.django_db
class TestUpdates:
    @changeable
    def test_changed_field_is_stored_and_audited(self, alice: Person, model: type[Model], name: str) -> None:
        resource = RESOURCES[model]
        row = resource.make(alice)
        changes = {name: resource.changes[name]}

        resource.update(row, changes)

        stored = model._base_manager.get(pk=row.pk)
        assert getattr(stored, name) == changes[name]
        assert getattr(row, name) != changes[name]
        entry = AuditEntry.objects.filter(object_id=row.pk).first()
        assert entry is not None
        assert resource.audited_as.get(name, name) in (entry.after or {})

    @resources
    def test_unknown_field_is_refused_and_nothing_is_written(self, alice: Person, model: type[Model]) -> None:
        resource = RESOURCES[model]
        row = resource.make(alice)

        last = AuditEntry.objects.first()

        with pytest.raises(TypeError, match="unknown fields: descripton"):
            resource.update(row, {**resource.changes, "descripton": "x"})

        assert AuditEntry.objects.first() == last

    @pytest.mark.parametrize("setting", ["descripton", "status", "usage_count"])
    @pytest.mark.parametrize("create", CREATE.values(), ids=CREATE)
    def test_nothing_is_created_with_an_unknown_field(
        self, alice: Person, create: Callable[..., object], setting: str
    ) -> None:
        with pytest.raises(TypeError, match=f"unknown fields: {setting}"):
            create(alice.tenant, **{setting: "x"})


class TestCreateRequests:
    def test_every_setting_of_a_new_row_is_in_the_create_request(self) -> None:
        assert set(AgentKeyCreateRequest().fields) == set(ISSUE_FIELDS)
        assert set(AgentCreateRequest().fields) == {"name", "tenant_id", *AgentSettings.__annotations__}
        assert set(InternalTenantCreateRequest().fields) == {
            "tenant_name", "tenant_type", "owner_id", *TenantSettings.__annotations__,
        }  # fmt: skip


class TestKeyCommand:
    def test_every_field_of_a_new_key_has_an_option(self) -> None:
        parser = ArgumentParser()
        add_issue_options(parser)
        options = {action.dest: action.option_strings for action in parser._actions}

        assert set(ISSUE_FIELDS) <= set(options)
        for name in ISSUE_FIELDS:
            assert options[name] == [OPTIONS[name]]

    def test_every_option_is_in_the_request(self) -> None:
        options = {name: f"a {name}" for name in ISSUE_FIELDS}

        assert issue_data({**options, "expires_in_days": None}) == options

"""The declared fields of each resource: no column, request, response, form or command option is forgotten."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model

from apikeys import services as apikeys
from apikeys.fields import ISSUE_FIELDS, KEY_FIELDS, KeyChanges
from apikeys.management.options import OPTIONS, add_issue_options, issue_data
from apikeys.models import ApiKey
from apikeys.serializers.keys import AgentKeyCreateRequest, AgentKeyResponse, KeyResponse, KeyUpdateRequest
from core.models import AuditEntry
from core.resource_fields import ResourceField, ResourceFields
from tests.support.people import OPERATOR, Person, make_agent, make_key

LATER = datetime(2999, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Resource:
    """A model with declared fields: how a row is made and updated, and a change of each field."""

    fields: ResourceFields
    make: Callable[[Person], Any]
    update: Callable[[Any, Any], Any]
    changes: dict[str, Any]
    requests: tuple[type[Any], ...]
    responses: tuple[type[Any], ...]
    # Columns that are no fields, each with its reason.
    exempt: dict[str, str]


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
        requests=(KeyUpdateRequest,),
        responses=(AgentKeyResponse, KeyResponse),
        exempt=_COMMON | _TENANT | _NAMED | {"last_used_at": "is measured", "usage_count": "is measured"},
    ),
}

resources = pytest.mark.parametrize("model", RESOURCES, ids=lambda model: model.__name__)
changeable = pytest.mark.parametrize(
    ("model", "field"),
    [(model, field) for model, resource in RESOURCES.items() for field in resource.fields.changeable],
)


class TestDeclarations:
    @resources
    def test_every_column_is_declared_or_exempt_with_a_reason(self, model: type[Model]) -> None:
        resource = RESOURCES[model]
        columns = {column.attname for column in model._meta.concrete_fields}
        declared, exempt = set(resource.fields.names), set(resource.exempt)

        assert columns == declared | exempt
        assert not declared & exempt

    @resources
    def test_every_changeable_field_is_in_the_update_request(self, model: type[Model]) -> None:
        resource = RESOURCES[model]

        sent = {field for request in resource.requests for field in request().fields}
        assert sent == set(resource.fields.changeable)

    @resources
    def test_every_field_is_in_the_responses(self, model: type[Model]) -> None:
        resource = RESOURCES[model]

        for response in resource.responses:
            assert set(resource.fields.names) <= set(response().fields)

    @resources
    def test_every_changeable_field_is_in_the_admin_form(self, model: type[Model]) -> None:
        page: Any = admin.site._registry[model]

        assert set(page.fields) - set(page.readonly_fields) == set(RESOURCES[model].fields.changeable)

    def test_a_changeable_field_without_a_declaration_fails_at_import(self) -> None:
        with pytest.raises(TypeError, match="description"):
            ResourceFields(ResourceField("name"), changes=KeyChanges)


@pytest.mark.django_db
class TestUpdates:
    @changeable
    def test_a_changed_field_is_stored_and_audited(self, alice: Person, model: type[Model], field: str) -> None:
        resource = RESOURCES[model]
        row = resource.make(alice)
        changes = {field: resource.changes[field]}

        resource.update(row, changes)

        stored = model._base_manager.get(pk=row.pk)
        assert getattr(stored, field) == changes[field] != getattr(row, field)
        entry = AuditEntry.objects.filter(object_id=row.pk).first()
        assert entry is not None
        assert field in (entry.after or {})

    @resources
    def test_an_unknown_field_is_refused_and_nothing_is_written(self, alice: Person, model: type[Model]) -> None:
        resource = RESOURCES[model]
        row = resource.make(alice)

        with pytest.raises(TypeError, match="unknown fields: descripton"):
            resource.update(row, {"descripton": "x", "description": "y"})

        assert model._base_manager.get(pk=row.pk).description != "y"

    @pytest.mark.parametrize("field", ["descripton", "status", "usage_count"])
    def test_a_key_is_not_issued_with_what_is_no_setting(self, alice: Person, field: str) -> None:
        settings: Any = {field: "x"}
        with pytest.raises(TypeError, match=f"unknown fields: {field}"):
            apikeys.issue_key(actor=OPERATOR, agent=make_agent(alice.tenant), name="key", **settings)


class TestKeyCommand:
    def test_every_field_of_a_new_key_is_in_the_create_request(self) -> None:
        assert set(AgentKeyCreateRequest().fields) == set(ISSUE_FIELDS)

    def test_every_field_of_a_new_key_has_an_option(self) -> None:
        parser = ArgumentParser()
        add_issue_options(parser)
        options = {action.dest: action.option_strings for action in parser._actions}

        assert set(ISSUE_FIELDS) <= set(options)
        for field in ISSUE_FIELDS:
            assert options[field] == [OPTIONS[field]]

    def test_every_option_is_in_the_request(self) -> None:
        given = {field: f"a {field}" for field in ISSUE_FIELDS}

        assert issue_data({**given, "expires_in_days": None}) == given

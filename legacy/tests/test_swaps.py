"""Values that were swapped in the old system are swapped in maim, however few objects are imported together."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import User
from agents.models import Agent
from apikeys.models import ApiKey
from legacy import tenant_batches
from legacy.importers import base
from legacy.tests.clients import can_sign_in, verdict
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.old_databases import AGENT_ID, KEY_ID, TENANT_ID, OldDatabase, secret_of
from tenants.models import Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True, params=[1, 200], ids=["one object at a time", "all objects together"])
def _chunk_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "CHUNK_OBJECTS", request.param)
    monkeypatch.setattr(tenant_batches, "BATCH_OBJECTS", request.param)


def import_swapped(old: OldDatabase, directory: Path, table: str, column: str, ids: list[str]) -> Run:
    """Import, give each object the value of the next one, and import again."""
    import_from(old, directory)
    values = [old.value(table, object_id, column) for object_id in ids]
    for object_id in ids:
        old.update(table, object_id, **{column: f"other {object_id}"})
    for object_id, value in zip(ids, [*values[1:], values[0]], strict=True):
        old.update(table, object_id, **{column: value})
    run = import_from(old, directory)
    assert run.report["findings"] == []
    assert verify(old).status == 0
    return run


def test_swapped_usernames(old: OldDatabase, tmp_path: Path) -> None:
    names = {f"user_{number}": f"person {number}" for number in range(3)}
    for user_id, name in names.items():
        old.user(user_id, name, email=f"{user_id}@example.com")

    run = import_swapped(old, tmp_path, "users", "username", list(names))

    assert dict(User.objects.values_list("id", "username")) == {
        "user_0": "person 1", "user_1": "person 2", "user_2": "person 0",
    }  # fmt: skip
    assert run.counts("users") == {"read": 3, "changed": 3}
    assert can_sign_in("person 0")


def test_swapped_email_addresses(old: OldDatabase, tmp_path: Path) -> None:
    for number in range(3):
        old.user(f"user_{number}", f"person {number}", email=f"{number}@example.com")

    import_swapped(old, tmp_path, "users", "email", ["user_0", "user_1", "user_2"])

    assert User.objects.get(pk="user_0").email == "1@example.com"


def test_swapped_names_of_tenants(old: OldDatabase, tmp_path: Path) -> None:
    for number in range(3):
        old.tenant(f"tenant_{number}", f"Shop {number}")

    run = import_swapped(old, tmp_path, "tenants", "tenant_name", ["tenant_0", "tenant_1", "tenant_2"])

    assert Tenant.objects.get(pk="tenant_2").tenant_name == "Shop 0"
    assert run.counts("tenants") == {"read": 3, "changed": 3}


def test_swapped_names_of_agents(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    for number in range(3):
        old.agent(TENANT_ID, f"agent_{number}", f"bot {number}")

    run = import_swapped(old, tmp_path, "agents", "name", ["agent_0", "agent_1", "agent_2"])

    assert Agent.unscoped.get(pk="agent_2").name == "bot 0"
    assert run.counts("agents") == {"read": 3, "changed": 3}


def test_swapped_names_of_keys(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    for number in range(3):
        old.key(TENANT_ID, AGENT_ID, f"key_{number}", f"key {number}")

    import_swapped(old, tmp_path, "api_keys", "name", ["key_0", "key_1", "key_2"])

    assert ApiKey.unscoped.get(pk="key_2").name == "key 0"


def test_swapped_secrets_of_keys(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secrets = [
        old.key(TENANT_ID, AGENT_ID, f"key_{number}", f"key {number}", permissions=[f"p{number}"])
        for number in range(3)
    ]

    import_swapped(old, tmp_path, "api_keys", "api_key", ["key_0", "key_1", "key_2"])

    assert [verdict(secret) for secret in secrets] == ["VALID"] * 3
    keys = [ApiKey.unscoped.get(secrets__hint=secret_hint(secret), permissions__contains="p") for secret in secrets]
    assert [key.id for key in keys] == ["key_2", "key_0", "key_1"]


def test_older_of_two_keys_with_the_same_secret_is_imported(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    secret = old.key(TENANT_ID, AGENT_ID, created_at="2026-01-01 00:00:00")
    old.key(TENANT_ID, AGENT_ID, "key_2", "later", api_key=secret)

    run = import_from(old, tmp_path)

    assert run.reasons("keys", "key_2") == ["repeated"]
    assert set(ApiKey.unscoped.values_list("id", flat=True)) == {KEY_ID}
    assert verdict(secret) == "VALID"


def test_secret_of_a_deleted_key_may_belong_to_another(old: OldDatabase, tmp_path: Path) -> None:
    old.tenant()
    old.agent(TENANT_ID)
    old.agent(TENANT_ID, "agent_2", "second")
    secret = old.key(TENANT_ID, AGENT_ID)
    import_from(old, tmp_path)
    old.delete("api_keys", KEY_ID)
    old.key(TENANT_ID, "agent_2", "key_2", "second", api_key=secret)

    import_from(old, tmp_path)

    assert verdict(secret) == "VALID"
    assert verify(old).status == 0


def secret_hint(secret: str) -> str:
    """Return the hint of a key's secret."""
    numbers = {secret_of(TENANT_ID, AGENT_ID, number): f"{number:016x}"[-4:] for number in range(1, 20)}
    return numbers[secret]

"""Bulk import of API keys from another system, with their secrets."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat, services, verification
from apikeys.bulk_import import IMPORTED_FIELDS, USAGE_FIELDS, ImportedKey, forget_unknown, has_secret, import_keys
from apikeys.fields import KeyChanges
from apikeys.models import ApiKey, KeySecret
from apikeys.tests.asking import code_of
from apikeys.tests.worker import Data, Worker, queries
from apikeys.verification import DISABLED, EXPIRED, NOT_ACTIVE, UNKNOWN, VALID, VerificationRequest
from core import epoch
from core.models import AuditEntry, Invalidation
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A_DAY = timedelta(days=1)
OLD, NEW = "an older secret of thirty-two or more", "a newer secret of thirty-two or more"
_numbers = itertools.count(1)


def old_secret(agent: Agent) -> str:
    """Return a secret in the format of the old system."""
    payload = f"{agent.tenant_id}_{agent.id}_{next(_numbers):016x}_v1"
    return keyformat.PREFIX + base64.b64encode(payload.encode()).decode()


def unsaved(agent: Agent, name: str, *, secret: str | None = None, **fields: Any) -> ImportedKey:
    """Return an unsaved key to import."""
    given = {"created_at": LONG_AGO, "updated_at": LONG_AGO, **fields}
    key = ApiKey(tenant_id=agent.tenant_id, agent_id=agent.id, **given)
    key.set_name(name)
    return ImportedKey(key, secret or old_secret(agent))


def import_rows(*, new: Sequence[ImportedKey] = (), rows: Sequence[tuple[ApiKey, ImportedKey]] = ()) -> None:
    import_keys(actor=OPERATOR, new=new, changed=rows)


def clear_records() -> None:
    for told in (AuditEntry, Invalidation):
        QuerySet(told).delete()


def imported(agent: Agent, name: str = "old", **fields: Any) -> ImportedKey:
    """Import a key, and clear the audit log and invalidations."""
    known = unsaved(agent, name, **fields)
    import_rows(new=[known])
    clear_records()
    return known


def changed(known: ImportedKey, **wanted: Any) -> tuple[ApiKey, ImportedKey]:
    """Return a stored key with its target."""
    row = stored(known)
    own = {"name", "name_folded", "agent_id"}
    same = {field: getattr(row, field) for field in (*IMPORTED_FIELDS, *USAGE_FIELDS) if field not in own}
    name, secret = wanted.pop("name", row.name), wanted.pop("secret", known.secret)
    return row, unsaved(row.agent, name, secret=secret, id=row.id, **{**same, **wanted})


def stored(known: ImportedKey) -> ApiKey:
    return ApiKey.unscoped.select_related("agent").get(pk=known.key.pk)


def secrets_of(known: ImportedKey) -> list[KeySecret]:
    return list(KeySecret.objects.filter(key=known.key).order_by("id"))


def invalidated() -> list[str]:
    return list(Invalidation.objects.order_by("pk").values_list("subject", flat=True))


def audited() -> list[tuple[str, str, Any, Any]]:
    rows = AuditEntry.objects.order_by("pk")
    assert {row.actor_kind for row in rows} <= {"command"}
    return [(row.action, row.object_id, row.before, row.after) for row in rows]


class TestNewKeys:
    def test_new_rows_are_stored_unchanged(self, agent: Agent) -> None:
        fields: dict[str, Any] = {
            "description": "For production",
            "permissions": ["chat", "config.*"],
            "status": "disabled",
            "expires_at": NOON,
            "last_used_at": NOON - A_DAY,
            "usage_count": 12345,
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO + A_DAY,
        }

        import_rows(new=[unsaved(agent, "Production", id="k-1", **fields)])

        key = ApiKey.unscoped.get(pk="k-1")
        assert (key.tenant_id, key.agent_id) == (agent.tenant_id, agent.id)
        assert (key.name, key.name_folded) == ("Production", "production")
        assert {field: getattr(key, field) for field in fields} == fields

    def test_are_good_with_the_secret_that_they_have_there(self, agent: Agent) -> None:
        known = unsaved(agent, "old", permissions=["chat"])
        assert code_of(known.secret) == UNKNOWN

        import_rows(new=[known])

        verdict = verification.verify(known.secret)
        assert verdict.code == VALID
        assert verdict.facts is not None
        assert (verdict.facts.key_id, verdict.facts.agent_id) == (known.key.id, agent.id)
        assert verdict.facts.permissions == ("chat",)
        assert code_of(known.secret) == VALID
        assert code_of(old_secret(agent)) == UNKNOWN

    @pytest.mark.parametrize(
        ("fields", "code"), [({"status": "disabled"}, DISABLED), ({"expires_at": LONG_AGO}, EXPIRED), ({}, VALID)]
    )
    def test_are_no_better_than_they_were_there(self, agent: Agent, fields: dict[str, Any], code: str) -> None:
        known = unsaved(agent, "old", **fields)

        import_rows(new=[known])

        assert code_of(known.secret) == code

    def test_of_an_inactive_agent_are_not_good(self, alice: Person) -> None:
        known = unsaved(make_agent(alice.tenant), "old")
        Agent.unscoped.update(status="inactive")

        import_rows(new=[known])

        assert code_of(known.secret) == NOT_ACTIVE

    def test_have_one_secret_of_which_only_the_digest_and_a_hint_are_kept(self, agent: Agent, settings: Any) -> None:
        settings.KEY_PEPPERS = {2: NEW, 1: OLD}
        known = unsaved(agent, "old")

        import_rows(new=[known])

        (secret,) = secrets_of(known)
        assert (secret.pepper_id, secret.created_at, secret.expires_at) == (2, LONG_AGO, None)
        assert secret.hint == keyformat.parse(known.secret).hint
        assert known.secret not in json.dumps(list(KeySecret.objects.values()), default=str)

    def test_can_be_found_and_rotated_by_their_owner(self, alice: Person, agent: Agent) -> None:
        known = unsaved(agent, "old")
        import_rows(new=[known])

        response = alice.client.send("POST", f"/api/v1/api-keys/{known.key.id}/rotate", {})

        assert response.status_code == 200, response.content
        assert code_of(known.secret) != VALID

    def test_leave_an_audit_row_each_without_the_secret(self, agent: Agent) -> None:
        one, two = unsaved(agent, "one", permissions=["chat"], expires_at=NOON), unsaved(agent, "two")
        clear_records()

        import_rows(new=[one, two])

        kept = {
            "description": None,
            "agent_id": agent.id,
            "status": "active",
            "rate_limit": None,
            "quota": None,
            "allowed_networks": [],
            "metadata": {},
        }
        assert audited() == [
            (
                "key.import",
                one.key.id,
                None,
                {**kept, "name": "one", "permissions": ["chat"], "expires_at": NOON.isoformat()},
            ),
            ("key.import", two.key.id, None, {**kept, "name": "two", "permissions": [], "expires_at": None}),
        ]
        assert {row.tenant_id for row in AuditEntry.objects.all()} == {agent.tenant_id}
        assert invalidated() == []

    def test_show_no_secret_in_a_log(self, agent: Agent) -> None:
        known = unsaved(agent, "old")

        shown = f"{known} {known!r} {[known]}"

        assert known.secret not in shown
        assert known.key.id in shown

    def test_new_row_with_a_taken_name_is_refused(self, agent: Agent) -> None:
        imported(agent, "old")

        with pytest.raises(IntegrityError):
            import_rows(new=[unsaved(agent, "OLD")])


class TestChangedKeys:
    def test_changed_rows_are_updated(self, agent: Agent) -> None:
        known = imported(agent, description="For production", permissions=["chat"])
        fields: dict[str, Any] = {
            "description": None,
            "permissions": ["config.read"],
            "status": "expired",
            "expires_at": NOON,
            "created_at": LONG_AGO - A_DAY,
            "updated_at": LONG_AGO + A_DAY,
        }

        import_rows(rows=[changed(known, name="New", **fields)])

        key = stored(known)
        assert (key.name, key.name_folded) == ("New", "new")
        assert {field: getattr(key, field) for field in fields} == fields

    def test_fields_that_are_not_imported_are_kept(self, agent: Agent) -> None:
        known = imported(agent)
        given: KeyChanges = {
            "quota": {"limit": 1, "period": "day"},
            "allowed_networks": ["10.0.0.0/8"],
            "metadata": {"a": "b"},
        }
        key = stored(known)
        services.update_key(actor=OPERATOR, key=key, changes=given)

        import_rows(rows=[changed(known, description="Old")])

        assert {field: getattr(stored(known), field) for field in given} == given

    def test_audit_row_has_only_the_changed_fields(self, agent: Agent) -> None:
        one, two = imported(agent, "one"), imported(agent, "two", permissions=["chat"])

        import_rows(
            rows=[changed(one, status="disabled", usage_count=5), changed(two, permissions=[], expires_at=NOON)]
        )

        assert audited() == [
            ("key.import", one.key.id, {"status": "active"}, {"status": "disabled"}),
            (
                "key.import",
                two.key.id,
                {"permissions": ["chat"], "expires_at": None},
                {"permissions": [], "expires_at": NOON.isoformat()},
            ),
        ]

    def test_changed_rows_may_swap_their_names(self, agent: Agent) -> None:
        one, two, three = (imported(agent, name) for name in ("one", "two", "three"))

        import_rows(rows=[changed(one, name="TWO"), changed(two, name="three"), changed(three, name="one")])

        assert [stored(known).name_folded for known in (one, two, three)] == ["two", "three", "one"]

    @pytest.mark.parametrize("what", [{"status": "disabled"}, {"expires_at": LONG_AGO}, {"permissions": ["chat"]}])
    def test_are_forgotten_by_whoever_remembers_them(self, worker: Worker, agent: Agent, what: dict[str, Any]) -> None:
        known, other = imported(agent, "one"), imported(agent, "two")
        worker.renew()
        before = worker.engine.verify(known.secret)
        assert (before.code, worker.code(other.secret)) == (VALID, VALID)

        import_rows(rows=[changed(known, **what), changed(other, usage_count=9)])
        worker.renew()

        assert invalidated() == [known.key.id]
        assert worker.engine.verify_cached(VerificationRequest(known.secret)) is None
        assert worker.engine.verify(known.secret) != before
        assert worker.engine.verify_cached(VerificationRequest(other.secret)) is not None

    def test_that_are_the_same_are_no_change(self, agent: Agent) -> None:
        known = imported(agent, permissions=["chat"], expires_at=NOON)

        import_rows(rows=[changed(known)])

        assert (audited(), invalidated()) == ([], [])


class TestUses:
    @pytest.mark.parametrize(
        ("here_so_far", "there", "kept"),
        [
            ((5, LONG_AGO), (7, NOON), (7, NOON)),
            ((7, NOON), (5, LONG_AGO), (7, NOON)),
            ((7, LONG_AGO), (5, NOON), (7, NOON)),
            ((5, NOON), (7, LONG_AGO), (7, NOON)),
            ((0, None), (7, NOON), (7, NOON)),
            ((7, NOON), (0, None), (7, NOON)),
            ((0, None), (0, None), (0, None)),
        ],
    )
    def test_never_go_down(self, agent: Agent, here_so_far: Any, there: Any, kept: Any) -> None:
        known = imported(agent, usage_count=here_so_far[0], last_used_at=here_so_far[1])

        import_rows(rows=[changed(known, usage_count=there[0], last_used_at=there[1])])

        assert (stored(known).usage_count, stored(known).last_used_at) == kept

    def test_are_no_change(self, agent: Agent) -> None:
        known = imported(agent, usage_count=5)
        before = epoch.current()

        import_rows(rows=[changed(known, usage_count=7, last_used_at=NOON, updated_at=NOON)])

        assert (stored(known).usage_count, stored(known).updated_at) == (7, NOON)
        assert (audited(), invalidated(), epoch.current()) == ([], [], before)

    def test_that_are_counted_since_the_key_was_read_are_kept(self, agent: Agent) -> None:
        known = imported(agent, usage_count=5)
        row = changed(known, name="new", usage_count=6)
        with travel(NOON, tick=False):
            for _ in range(3):
                assert verification.verify(known.secret, use=True).code == VALID

        import_rows(rows=[row])

        key = stored(known)
        assert (key.name, key.usage_count, key.last_used_at) == ("new", 8, NOON)


class TestSecrets:
    def test_that_are_stored_are_not_stored_again(self, agent: Agent) -> None:
        known = imported(agent)

        import_rows(rows=[changed(known, description="changed")])

        assert len(secrets_of(known)) == 1

    def test_that_are_stored_under_an_older_secret_of_ours_are_not_stored_again(
        self, agent: Agent, settings: Any
    ) -> None:
        settings.KEY_PEPPERS = {1: OLD}
        known = imported(agent)
        settings.KEY_PEPPERS = {2: NEW, 1: OLD}

        import_rows(rows=[changed(known, description="changed")])

        assert [secret.pepper_id for secret in secrets_of(known)] == [1]
        assert code_of(known.secret) == VALID

    def test_that_were_rotated_out_here_stay_out(self, agent: Agent) -> None:
        known = imported(agent)
        key = stored(known)
        new = services.rotate_key(actor=OPERATOR, key=key).secret
        before = [(secret.pk, secret.digest, secret.expires_at) for secret in secrets_of(known)]

        import_rows(rows=[changed(known, description="changed")])

        assert [(secret.pk, secret.digest, secret.expires_at) for secret in secrets_of(known)] == before
        assert (code_of(known.secret), code_of(new)) == (EXPIRED, VALID)

    def test_of_a_key_are_known_by_it(self, agent: Agent, settings: Any) -> None:
        settings.KEY_PEPPERS = {1: OLD}
        known, other = imported(agent, "one"), imported(agent, "two")
        settings.KEY_PEPPERS = {2: NEW, 1: OLD}

        assert has_secret(known.key, known.secret)
        assert not has_secret(known.key, other.secret)
        assert not has_secret(known.key, old_secret(agent))
        settings.KEY_PEPPERS = {2: NEW}
        assert not has_secret(known.key, known.secret)


class TestForgettingTheUnknown:
    def test_a_key_that_was_asked_for_too_early_is_good_afterwards(self, worker: Worker, agent: Agent) -> None:
        known = unsaved(agent, "old")
        assert worker.code(known.secret) == UNKNOWN
        import_rows(new=[known])
        worker.renew()
        with queries(0):
            assert worker.code(known.secret) == UNKNOWN, "a worker may still hold it for that"

        forget_unknown()
        worker.renew()

        assert worker.code(known.secret) == VALID

    def test_all_else_is_looked_up_again_too(self, worker: Worker, data: Data) -> None:
        assert worker.code(data.secret) == VALID

        forget_unknown()
        worker.renew()

        assert worker.engine.verify_cached(VerificationRequest(data.secret)) is None
        assert worker.code(data.secret) == VALID

    def test_it_returns_when_no_worker_answers_from_before(self, propagation_waits: list[float]) -> None:
        forget_unknown()

        assert len(propagation_waits) == 1
        assert invalidated() == [epoch.EVERYTHING]

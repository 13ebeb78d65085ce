"""Results that tell of a change that somebody else made a moment ago: they wait as the change itself does.

The change is committed, and its own response still kept back until no worker answers from before it (core.epoch). Who
finds it made concludes from that what its response promises, so they may not be told sooner.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from agents import services as agents
from agents.models import Agent
from apikeys import services as keys
from apikeys.models import ApiKey
from apikeys.services import IssuedKey
from core import approvals, sealing
from operations import services as operations
from operations.models import Kind
from operations.tests.work import start, work_off
from tenants import members
from tenants import services as tenants
from tenants.models import Role
from tests.support.client import SurfaceClient
from tests.support.commands import run
from tests.support.operators import Operator, form_of, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

V2_KEYS = "/api/v2/api-keys"


class Waits:
    """The waits of this process, recorded without waiting."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds

    @contextmanager
    def after_one_wait(self) -> Iterator[None]:
        """Assert that what is done in the block waits once."""
        self.seconds.clear()
        yield
        assert len(self.seconds) == 1


@pytest.fixture
def waits(propagation_waits: list[float]) -> Waits:
    """The waits of this test."""
    return Waits(propagation_waits)


@pytest.fixture
def issued(agent: Agent) -> IssuedKey:
    """A key of the agent, and its secret."""
    return make_key(agent)


@pytest.fixture
def deleted_key(issued: IssuedKey) -> ApiKey:
    """The key after somebody has deleted it."""
    key = ApiKey.unscoped.get(pk=issued.key.pk)
    keys.delete_key(actor=OPERATOR, key=issued.key)
    return key


class TestGoneKey:
    def test_second_deletion(self, deleted_key: ApiKey, internal: SurfaceClient, waits: Waits) -> None:
        with waits.after_one_wait():
            assert internal.send("DELETE", f"{V2_KEYS}/{deleted_key.pk}").status_code == 404

    def test_second_deletion_despite_clocks_that_differ(
        self, issued: IssuedKey, internal: SurfaceClient, waits: Waits, time_machine: Any
    ) -> None:
        time_machine.move_to("2020-01-31T12:00:00Z")
        keys.delete_key(actor=OPERATOR, key=issued.key)
        time_machine.move_to("2030-01-31T12:00:00Z")

        with waits.after_one_wait():
            assert internal.send("DELETE", f"{V2_KEYS}/{issued.key.pk}").status_code == 404

    @pytest.mark.parametrize("page", ["delete", "change", "rotate"])
    def test_page_of_the_admin(self, page: str, deleted_key: ApiKey, olivia: Operator, waits: Waits) -> None:
        with waits.after_one_wait():
            olivia.client.post(url(deleted_key, page), {"post": "yes"})

    def test_action_of_the_admin(self, deleted_key: ApiKey, olivia: Operator, waits: Waits) -> None:
        with waits.after_one_wait():
            olivia.client.post(url(ApiKey), {"action": "disable", "index": "0", "_selected_action": [deleted_key.pk]})

    def test_command_on_a_deleted_key(self, deleted_key: ApiKey, waits: Waits) -> None:
        with waits.after_one_wait():
            assert run("keys", "delete", deleted_key.pk, "--yes").status == 3

    def test_rehearsal_tells_nothing(self, deleted_key: ApiKey, waits: Waits) -> None:
        waits.seconds.clear()
        assert run("keys", "delete", deleted_key.pk, "--yes", "--dry-run").status == 3
        assert waits.seconds == []

    def test_bulk_operation(self, issued: IssuedKey, waits: Waits) -> None:
        row = start(Kind.DELETE_KEYS, issued.key.pk)
        keys.delete_key(actor=OPERATOR, key=issued.key)

        with waits.after_one_wait():
            assert work_off(row).state == "done"

    def test_report_of_a_leak_by_a_bot(
        self, issued: IssuedKey, deleted_key: ApiKey, internal: SurfaceClient, waits: Waits
    ) -> None:
        with waits.after_one_wait():
            response = internal.send("POST", "/api/v2/auth/report-leaked-key", {"api_key": issued.secret})
        assert response.json()["error_code"] == "AUTH_005"

    def test_report_of_a_leak_by_a_person(self, issued: IssuedKey, charlie: Person, waits: Waits) -> None:
        """Also of a key that there is, so that the time does not tell whether there is one."""
        for _ in range(2):
            with waits.after_one_wait():
                charlie.client.send("POST", "/api/v1/api-keys/report-leaked", {"api_key": issued.secret})
            ApiKey.unscoped.filter(pk=issued.key.pk).delete()


class TestOtherState:
    """A response that refuses something because of what somebody else has changed."""

    def test_revision_that_is_no_longer_current(self, issued: IssuedKey, internal: SurfaceClient, waits: Waits) -> None:
        path = f"{V2_KEYS}/{issued.key.pk}"
        etag = internal.send("GET", path).headers["ETag"]
        assert internal.send("POST", f"{path}/disable", HTTP_IF_MATCH=etag).status_code == 200

        with waits.after_one_wait():
            assert internal.send("POST", f"{path}/disable", HTTP_IF_MATCH=etag).status_code == 412

    def test_archived_agent(self, agent: Agent, internal: SurfaceClient, waits: Waits) -> None:
        agents.update_agent(actor=OPERATOR, agent=agent, changes={"status": "archived"})

        with waits.after_one_wait():
            body = {"tenant_id": agent.tenant_id, "agent_id": agent.pk, "name": "new"}
            assert internal.send("POST", V2_KEYS, body).status_code == 409

    def test_suspended_tenant_of_a_person(self, issued: IssuedKey, alice: Person, waits: Waits) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"status": "suspended"})

        with waits.after_one_wait():
            assert alice.client.send("DELETE", f"/api/v1/api-keys/{issued.key.pk}").status_code == 409

    def test_suspended_tenant_of_a_heartbeat(self, agent: Agent, internal: SurfaceClient, waits: Waits) -> None:
        tenants.update_tenant(actor=OPERATOR, tenant=agent.tenant, changes={"status": "suspended"})

        with waits.after_one_wait():
            body = {"tenant_id": agent.tenant_id, "agent_id": agent.pk, "ttl_seconds": 60}
            assert internal.send("PUT", "/api/v2/agent-activity", body).status_code == 409

    def test_repeat_whose_stored_response_is_lost(
        self, issued: IssuedKey, internal: SurfaceClient, waits: Waits, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unseal(_text: str) -> str:
            raise sealing.Unsealable

        path = f"{V2_KEYS}/{issued.key.pk}/rotate"
        assert internal.send("POST", path, {}, HTTP_IDEMPOTENCY_KEY="once").status_code == 200
        monkeypatch.setattr(sealing, "unseal", unseal)

        with waits.after_one_wait():
            assert internal.send("POST", path, {}, HTTP_IDEMPOTENCY_KEY="once").status_code == 409

    def test_form_of_the_admin_that_was_overtaken(self, issued: IssuedKey, olivia: Operator, waits: Waits) -> None:
        fields = form_of(olivia.get(url(issued.key, "change")))
        keys.update_key(actor=OPERATOR, key=issued.key, changes={"permissions": ["a"], "status": "disabled"})

        with waits.after_one_wait():
            olivia.client.post(url(issued.key, "change"), {**fields, "permissions": "b"})

    def test_operation_that_was_cancelled(self, issued: IssuedKey, waits: Waits) -> None:
        row = start(Kind.DISABLE_KEYS, issued.key.pk)
        operations.cancel(actor=OPERATOR, operation=row)

        with waits.after_one_wait():
            assert run("operations", "cancel", row.pk).status == 1

    def test_file_that_cannot_be_applied(self, alice: Person, waits: Waits, tmp_path: Path) -> None:
        keys.disable_key(actor=OPERATOR, key=make_key(make_agent(alice.tenant, "bot")).key)
        file = tmp_path / "tenants.json"
        file.write_text(json.dumps({"tenants": [{"name": alice.tenant.tenant_name, "owner": "nobody"}]}))

        with waits.after_one_wait():
            assert run("apply", "-f", str(file), "--yes").status == 1
        assert run("apply", "-f", str(file), "--dry-run").status == 1
        assert len(waits.seconds) == 1, "a rehearsal does not wait"


class TestNothingLeftToDo:
    """A change that finds everything as it is to be."""

    def test_operation_on_keys_of_a_status(self, agent: Agent, issued: IssuedKey, waits: Waits) -> None:
        row = start(Kind.DISABLE_KEYS, agent_id=agent.pk, status="active")
        keys.disable_key(actor=OPERATOR, key=issued.key)

        with waits.after_one_wait():
            assert work_off(row).done == 0

    def test_apply(self, alice: Person, waits: Waits, tmp_path: Path) -> None:
        make_key(make_agent(alice.tenant, "bot"), "prod")
        bot = {"name": "bot", "keys": [{"name": "prod", "status": "disabled"}]}
        tenant = {"name": alice.tenant.tenant_name, "owner": alice.user.username, "agents": [bot]}
        file = tmp_path / "tenants.json"
        file.write_text(json.dumps({"tenants": [tenant]}))
        assert run("apply", "-f", str(file), "--yes").status == 0

        with waits.after_one_wait():
            assert "Done" not in run("apply", "-f", str(file), "--yes").out

    def test_owner_who_is_the_owner(self, alice: Person, charlie: Person, waits: Waits, settings: Any) -> None:
        settings.KEYS_OFF_WITH_OWNER = True
        owner = {"tenant": alice.tenant, "user_id": charlie.user.pk, "role": Role.OWNER}
        members.set_member(actor=OPERATOR, **owner)

        with waits.after_one_wait():
            members.set_member(actor=OPERATOR, **owner)


class TestOtherRequests:
    def test_reads_and_refusals_for_other_reasons_do_not_wait(
        self, deleted_key: ApiKey, internal: SurfaceClient, public: SurfaceClient, waits: Waits
    ) -> None:
        waits.seconds.clear()

        assert internal.send("GET", f"{V2_KEYS}/{deleted_key.pk}").status_code == 404
        assert internal.send("POST", V2_KEYS, {}).status_code == 400
        assert internal.send("POST", "/api/v2/nothing", {}).status_code == 404
        assert public.send("DELETE", f"/api/v1/api-keys/{deleted_key.pk}").status_code == 401
        assert waits.seconds == []

    def test_database_that_is_away_is_503(
        self, deleted_key: ApiKey, internal: SurfaceClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> None:
            raise OperationalError("away")

        monkeypatch.setattr(approvals, "wait_for_changes_of_others", away)

        assert internal.send("DELETE", f"{V2_KEYS}/{deleted_key.pk}").status_code == 503

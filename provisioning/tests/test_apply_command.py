"""`manage.py apply`: tenants, members, agents and keys as a file declares them (docs/apply.md)."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from errno import ENOSPC
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from agents import services as agents
from agents.models import Agent, ConfigVersion
from apikeys import services as apikeys
from apikeys import verification
from apikeys.models import ApiKey
from core.commands.exit_codes import ExitCode
from core.commands.output import Output
from core.models import AuditEntry, Epoch, FeedEntry
from provisioning import execution
from provisioning.tests.conftest import Apply
from tenants import members
from tenants import services as tenants
from tenants.models import Membership, Role, Tenant
from tests.support.commands import Terminal
from tests.support.people import OPERATOR, Person, make_agent, make_key, register
from tests.support.server import ROOT

EXAMPLE = (ROOT / "docs/examples/maim.yaml").read_text(encoding="utf-8")
ACME: dict[str, Any] = {
    "name": "ACME",
    "owner": "alice",
    "members": [{"user": "bob@acme.example", "role": "admin"}],
    "agents": [
        {
            "name": "support bot",
            "tags": ["shop"],
            "config": {"persona": "calm", "config_overrides": {"chat": {"talk_value": 0.5}}},
            "keys": [
                {"name": "production", "permissions": ["chat"], "quota": {"limit": 10, "period": "day"}},
                {"name": "old", "status": "disabled", "expires_at": "2099-01-31T12:00:00Z"},
            ],
        }
    ],
}
_WRITE = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|SELECT .* FOR UPDATE)", re.DOTALL)

pytestmark = pytest.mark.usefixtures("people")


def document(**changes: Any) -> dict[str, Any]:
    """Return the file with one tenant, some of whose fields are others."""
    return {"tenants": [{**deepcopy(ACME), **changes}]}


def with_agent(**changes: Any) -> dict[str, Any]:
    """Return the file with one tenant, some of whose agent's fields are others."""
    return document(agents=[{**deepcopy(ACME["agents"][0]), **changes}])


def acme() -> Tenant:
    return Tenant.objects.get(tenant_name="ACME")


def key(name: str) -> ApiKey:
    return ApiKey.unscoped.get(name=name)


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Check that the block sends no statement that writes or locks."""
    with CaptureQueriesContext(connection) as queries:
        yield
    written = [query["sql"] for query in queries if _WRITE.match(query["sql"])]
    assert written == []


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The path of the file for the secrets of new keys, which does not exist."""
    return tmp_path / "secrets"


@pytest.fixture
def applied(apply: Apply, secrets: Path) -> Tenant:
    """The tenant of the file, applied."""
    outcome = apply(document(), "--yes", "--secrets-file", str(secrets))
    assert outcome.status == 0, outcome.err
    secrets.unlink()
    return acme()


class TestFirstApply:
    def test_everything_is_made_as_the_file_has_it(self, apply: Apply, secrets: Path) -> None:
        outcome = apply(document(), "--yes", "--secrets-file", str(secrets))

        assert (outcome.status, outcome.err) == (0, "")
        tenant, agent = acme(), Agent.unscoped.get(name="support bot")
        assert tenant.owner is not None
        assert (tenant.owner.username, tenant.tenant_type) == ("alice", "enterprise")
        roles = dict(Membership.objects.filter(tenant=tenant).values_list("user__username", "role"))
        assert roles == {"alice": Role.OWNER, "bob": Role.ADMIN}
        assert (agent.tags, agent.config_version) == (["shop"], 1)
        assert agent.config == {"persona": "calm", "config_overrides": {"chat": {"talk_value": 0.5}}}
        assert key("production").quota == {"limit": 10, "period": "day"}
        assert (key("old").status, str(key("old").expires_at)) == ("disabled", "2099-01-31 12:00:00+00:00")

    def test_every_change_is_audited_as_that_of_the_command(self, apply: Apply, secrets: Path) -> None:
        apply(document(), "--yes", "--secrets-file", str(secrets))

        entries = AuditEntry.objects.filter(tenant_id=acme().id)
        assert set(entries.values_list("actor_kind", "actor_label")) == {("command", "manage.py apply")}
        actions = sorted(entries.values_list("action", flat=True))
        assert actions == ["agent.create", "key.create", "key.create", "key.update", "membership.set", "tenant.create"]

    def test_secrets_go_to_a_new_file_of_their_owner_alone(self, apply: Apply, secrets: Path) -> None:
        outcome = apply(document(), "--yes", "--json", "--secrets-file", str(secrets))

        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        first, _second = map(json.loads, secrets.read_text().splitlines())
        assert (first["tenant"], first["agent"], first["key"]) == ("ACME", "support bot", "production")
        assert verification.verify(first["api_key"]).is_valid
        assert "mmc_" not in outcome.out + outcome.err

    def test_secrets_go_to_a_commands_standard_input(self, apply: Apply, secrets: Path) -> None:
        script = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read()); print('mmc_shown')"

        outcome = apply(document(), "--yes", "--secrets-to", f'{sys.executable} -c "{script}" {secrets}')

        assert outcome.status == 0, outcome.err
        assert [json.loads(line)["key"] for line in secrets.read_text().splitlines()] == ["production", "old"]
        assert "mmc_" not in outcome.out + outcome.err

    @pytest.mark.parametrize(
        ("command", "reason"), [("false", "ended with status 1"), ("no-such-command", "could not be started")]
    )
    def test_command_that_fails_leaves_everything_as_it_was(self, apply: Apply, command: str, reason: str) -> None:
        outcome = apply(document(), "--yes", "--secrets-to", command)

        assert outcome.status == ExitCode.REFUSED
        assert reason in outcome.err
        assert not Tenant.objects.filter(tenant_name="ACME").exists()

    def test_file_of_secrets_that_exists_is_left_alone(self, apply: Apply, secrets: Path) -> None:
        secrets.write_text("others")

        outcome = apply(document(), "--yes", "--secrets-file", str(secrets))

        assert outcome.status == ExitCode.REFUSED
        assert "exists already" in outcome.err
        assert secrets.read_text() == "others"
        assert not Tenant.objects.filter(tenant_name="ACME").exists()

    def test_full_disk_leaves_everything_as_it_was(
        self, apply: Apply, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full = OSError(ENOSPC, os.strerror(ENOSPC))
        monkeypatch.setattr("core.commands.files.os.fsync", Mock(side_effect=full))

        outcome = apply(document(), "--yes", "--secrets-file", str(secrets))

        assert outcome.status == ExitCode.REFUSED
        assert "the secrets could not be written: No space left on device" in outcome.err
        assert not secrets.exists()
        assert not Tenant.objects.filter(tenant_name="ACME").exists()

    def test_secrets_survive_ctrl_c_after_the_commit(
        self, apply: Apply, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.approvals.wait_for_changes_of_others", lambda: None)
        monkeypatch.setattr("core.epoch.Wait.seconds_left", property(Mock(side_effect=KeyboardInterrupt)))

        with pytest.raises(KeyboardInterrupt):
            apply(document(), "--yes", "--secrets-file", str(secrets))

        issued = [json.loads(line) for line in secrets.read_text().splitlines()]
        assert {one["api_key_id"] for one in issued} == {key("production").pk, key("old").pk}

    def test_keys_are_not_issued_where_their_secrets_have_nowhere_to_go(self, apply: Apply) -> None:
        outcome = apply(document(), "--yes")

        assert outcome.status == 0
        assert "! key ACME / support bot / production (not issued, because its secret has nowhere to go" in outcome.out
        assert Agent.unscoped.filter(name="support bot").exists()
        assert not ApiKey.unscoped.exists()
        assert apply(None, "--check").status == ExitCode.NO


class TestSecondApply:
    def test_second_apply_writes_nothing(self, apply: Apply, applied: Tenant) -> None:
        with nothing_is_written():
            outcome = apply(document(), "--yes")

        assert (outcome.status, outcome.out) == (0, "Nothing to do: everything is as the file has it.\n")

    def test_check_writes_nothing(self, apply: Apply, applied: Tenant) -> None:
        changed = with_agent(config={"persona": "loud"}, keys=[{"name": "new"}], tags=[])

        with nothing_is_written():
            outcome = apply(changed, "--check", "--prune")

        assert outcome.status == ExitCode.NO

    def test_change_by_hand_is_drift_until_the_next_apply(self, apply: Apply, applied: Tenant) -> None:
        agent = Agent.unscoped.select_related("tenant").get(name="support bot")
        agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"persona": "rude"}})
        apikeys.update_key(actor=OPERATOR, key=key("production"), changes={"permissions": ["chat", "admin"]})

        drifted = apply(None, "--check")
        apply(None, "--yes")

        assert drifted.status == ExitCode.NO
        assert '~ agent ACME / support bot\n    config /persona: "calm"\n' in drifted.out
        assert '    permissions: ["chat", "admin"] → ["chat"]\n' in drifted.out
        assert apply(None, "--check").status == 0
        assert key("production").permissions == ["chat"]

    def test_what_the_file_does_not_name_stays(self, apply: Apply, applied: Tenant, charlie: Person) -> None:
        agent = make_agent(applied, "by hand")
        make_key(agent, "by hand")
        Agent.unscoped.filter(name="support bot").update(description="by hand")

        assert apply({"tenants": [{"name": "ACME", "owner": "alice"}]}, "--yes", "--prune").status == 0

        assert Agent.unscoped.get(name="support bot").description == "by hand"
        assert ApiKey.unscoped.filter(tenant=applied).count() == 3
        assert Membership.objects.filter(tenant=applied).count() == 2

    def test_null_empties_a_field(self, apply: Apply, applied: Tenant) -> None:
        outcome = apply(with_agent(keys=[{"name": "production", "quota": None}]), "--yes")

        assert '    quota: {"limit": 10, "period": "day"} → null' in outcome.out
        assert key("production").quota is None
        assert key("production").permissions == ["chat"]

    def test_config_replaces_the_stored_one_as_a_new_version(self, apply: Apply, applied: Tenant) -> None:
        apply(with_agent(config={"config_overrides": {"chat": {"talk_value": 0.25}}}), "--yes")

        agent = Agent.unscoped.get(name="support bot")
        assert (agent.config, agent.config_version) == ({"config_overrides": {"chat": {"talk_value": 0.25}}}, 2)
        assert ConfigVersion.unscoped.filter(agent=agent).count() == 2

    def test_owner_and_name_of_a_tenant_change_by_its_id(self, apply: Apply, applied: Tenant) -> None:
        outcome = apply({"tenants": [{"id": applied.id, "name": "Acme Ltd", "owner": "bob"}]}, "--yes")

        assert '    owner: "alice" → "bob"\n    tenant_name: "ACME" → "Acme Ltd"\n' in outcome.out
        applied.refresh_from_db()
        assert applied.owner is not None
        assert (applied.tenant_name, applied.owner.username) == ("Acme Ltd", "bob")

    @pytest.mark.parametrize("owner_of_other", ["alice", "bob"])
    def test_owner_and_name_change_beside_a_tenant_of_either_owner(
        self, apply: Apply, applied: Tenant, people: list[Person], owner_of_other: str
    ) -> None:
        """The former owner may have another tenant of the new name, or the new owner one of the former name."""
        alice, bob, _charlie = people
        name, owner = ("Other", alice) if owner_of_other == "alice" else ("ACME", bob)
        tenants.create_tenant(actor=OPERATOR, tenant_name=name, tenant_type="enterprise", owner_id=owner.user.pk)

        outcome = apply({"tenants": [{"id": applied.id, "name": "Other", "owner": "bob"}]}, "--yes")

        assert outcome.status == 0, outcome.err
        applied.refresh_from_db()
        assert (applied.tenant_name, applied.owner_id) == ("Other", bob.user.pk)

    def test_tenant_of_somebody_else_is_not_taken_over(self, apply: Apply, applied: Tenant) -> None:
        apply(document(owner="charlie", members=[], agents=[]), "--yes")

        assert Tenant.objects.filter(tenant_name="ACME").count() == 2
        applied.refresh_from_db()
        assert applied.owner is not None
        assert applied.owner.username == "alice"


class TestPruning:
    @pytest.fixture
    def by_hand(self, applied: Tenant, charlie: Person) -> Person:
        """An agent with two keys, a key and a member that the file does not name; and the same in another tenant."""
        agent = make_agent(applied, "by hand")
        make_key(agent, "one")
        make_key(agent, "two")
        make_key(Agent.unscoped.get(name="support bot"), "three")
        Membership.objects.create(tenant=applied, user=charlie.user, role=Role.VIEWER)
        make_key(make_agent(charlie.tenant, "of Charlie"), "of Charlie")
        return charlie

    def test_what_the_lists_do_not_name_is_removed(self, apply: Apply, by_hand: Person) -> None:
        outcome = apply(document(), "--yes", "--prune")

        removed = [line for line in outcome.out.splitlines() if line.startswith("-")]
        assert removed == [
            "- member ACME / charlie",
            "- agent ACME / by hand (with its 2 keys)",
            "- key ACME / support bot / three",
        ]
        assert set(ApiKey.unscoped.values_list("name", flat=True)) == {"production", "old", "of Charlie"}
        assert set(Agent.unscoped.values_list("name", flat=True)) == {"support bot", "of Charlie"}
        assert not Membership.objects.filter(tenant=acme(), user=by_hand.user).exists()
        assert by_hand.user.memberships.count() == 1

    def test_without_the_option_nothing_is_removed(self, apply: Apply, by_hand: Person) -> None:
        with nothing_is_written():
            assert apply(document(), "--yes").status == 0

    def test_name_that_a_removed_agent_frees_is_taken(self, apply: Apply, by_hand: Person, secrets: Path) -> None:
        taken = with_agent(keys=[{"name": "one"}])

        refused = apply(taken, "--yes", "--secrets-file", str(secrets))
        done = apply(taken, "--yes", "--prune", "--secrets-file", str(secrets))

        assert "the tenant has a key of this name already, of the agent by hand" in refused.err
        assert (done.status, done.err) == (0, "")
        assert key("one").agent.name == "support bot"


@pytest.mark.embedded
class TestAsking:
    def test_yes_at_the_terminal_applies(self, apply: Apply) -> None:
        assert apply(document(agents=[]), stdin=Terminal("y\n")).status == 0

        assert acme().tenant_name == "ACME"

    @pytest.mark.parametrize("answer", ["n\n", "\n", ""])
    def test_anything_else_changes_nothing(self, apply: Apply, answer: str) -> None:
        outcome = apply(document(agents=[]), stdin=Terminal(answer))

        assert (outcome.status, "Nothing has changed" in outcome.err) == (ExitCode.REFUSED, True)
        assert not Tenant.objects.filter(tenant_name="ACME").exists()

    def test_without_a_terminal_it_wants_yes(self, apply: Apply) -> None:
        outcome = apply(document(agents=[]))

        assert (outcome.status, "--yes" in outcome.err) == (ExitCode.REFUSED, True)

    def test_dry_run_tries_everything_and_leaves_nothing(self, apply: Apply, secrets: Path) -> None:
        before = AuditEntry.objects.count(), Epoch.objects.values_list("value").first(), FeedEntry.objects.count()

        outcome = apply(document(), "--dry-run", "--secrets-file", str(secrets))

        assert (outcome.status, "5 to add" in outcome.out) == (0, True)
        assert not secrets.exists()
        assert not Tenant.objects.filter(tenant_name="ACME").exists()
        after = AuditEntry.objects.count(), Epoch.objects.values_list("value").first(), FeedEntry.objects.count()
        assert after == before


@pytest.mark.embedded
class TestRefusals:
    def test_rule_that_only_the_service_knows_undoes_everything(self, apply: Apply, secrets: Path) -> None:
        full = document(limits={"members": 1})

        for option in ("--dry-run", "--yes"):
            outcome = apply(full, option, "--secrets-file", str(secrets))

            assert outcome.status == ExitCode.REFUSED
            assert re.search(r"maim.yaml:\d+: tenants\[0\].members\[0\]: The tenant has reached", outcome.err)
        assert not secrets.exists()
        assert not Tenant.objects.filter(tenant_name="ACME").exists()

    def test_new_keys_are_counted_together_for_the_tenants_limit(self, apply: Apply, secrets: Path) -> None:
        outcome = apply(document(limits={"keys": 1}), "--yes", "--secrets-file", str(secrets))

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert "The tenant has reached its limit of 1 keys" in outcome.err

    def test_change_since_the_plan_is_not_overwritten(
        self, apply: Apply, applied: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        carry_out = execution.carry_out

        def later(*args: Any, **options: Any) -> None:
            agent = Agent.unscoped.select_related("tenant").get(name="support bot")
            agents.update_agent(actor=OPERATOR, agent=agent, changes={"tags": ["by hand"]})
            carry_out(*args, **options)

        monkeypatch.setattr(execution, "carry_out", later)
        outcome = apply(with_agent(tags=["new"]), "--yes")

        assert outcome.status == ExitCode.REFUSED
        assert "changed since you read it" in outcome.err
        assert Agent.unscoped.get(name="support bot").tags == ["by hand"]

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"agents": [{"name": "new bot"}]}, id="agents alone"),
            pytest.param({"members": [{"user": "charlie", "role": "admin"}]}, id="members alone"),
            pytest.param({"description": "new"}, id="the tenant"),
        ],
    )
    def test_tenant_that_was_handed_over_since_the_plan_is_left_alone(
        self, apply: Apply, applied: Tenant, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
    ) -> None:
        bob = User.objects.get(username="bob")

        def hand_over(_output: Output, _question: str) -> None:
            members.set_member(actor=OPERATOR, tenant=applied, user_id=bob.pk, role=Role.OWNER)

        monkeypatch.setattr(Output, "confirm", hand_over)
        outcome = apply({"tenants": [{"name": "ACME", "owner": "alice", **changes}]})

        assert outcome.status == ExitCode.REFUSED
        assert "changed since you read it" in outcome.err
        tenant = acme()
        assert (tenant.description, Agent.unscoped.count(), tenant.memberships.count()) == (None, 1, 2)

    def test_later_hand_over_is_not_taken_back(
        self, apply: Apply, applied: Tenant, charlie: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def hand_over(_output: Output, _question: str) -> None:
            members.set_member(actor=OPERATOR, tenant=applied, user_id=charlie.user.pk, role=Role.OWNER)

        monkeypatch.setattr(Output, "confirm", hand_over)
        outcome = apply({"tenants": [{"id": applied.pk, "name": "ACME", "owner": "bob"}]})

        applied.refresh_from_db()
        assert (outcome.status, applied.owner_id) == (ExitCode.REFUSED, charlie.user.pk)

    def test_tenant_without_a_change_may_change_meanwhile(
        self, apply: Apply, applied: Tenant, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def describe(_output: Output, _question: str) -> None:
            tenants.update_tenant(actor=OPERATOR, tenant=applied, changes={"description": "by hand"})

        monkeypatch.setattr(Output, "confirm", describe)
        both = {"tenants": [ACME, {"name": "Other", "owner": "bob"}]}

        assert apply(both, "--secrets-file", str(secrets)).status == 0
        assert Tenant.objects.filter(tenant_name="Other").exists()

    def test_large_plan_is_a_transaction_for_each_tenant(
        self, apply: Apply, secrets: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(execution, "MAX_CHANGES", 5)
        other = {**deepcopy(ACME), "name": "Other", "limits": {"members": 1}}

        outcome = apply({"tenants": [ACME, other]}, "--yes", "--secrets-file", str(secrets))

        assert outcome.status == ExitCode.REFUSED
        assert "a transaction of its own" in outcome.err
        assert acme().agents(manager="unscoped").count() == 1
        assert not Tenant.objects.filter(tenant_name="Other").exists()
        assert len(secrets.read_text().splitlines()) == 2, "those of the tenant that stays"

    @pytest.mark.parametrize(
        ("changed", "line"),
        [
            ("[]", "must be a mapping with the list tenants"),
            (document(owner="nobody"), "tenants[0].owner: there is no user of this name"),
            (
                document(members=[{"user": "robert@acme.example", "role": "admin"}]),
                "tenants[0].members[0].user: nobody has confirmed this e-mail address",
            ),
            (
                document(members=[{"user": "alice", "role": "admin"}]),
                "tenants[0].members[0]: this is the tenant's owner",
            ),
            (document(id="tenant_000000000000"), "tenants[0].id: there is no tenant with this id"),
            (document(members=[{"user": "bob", "role": "owner"}]), "tenants[0].members[0].role: Must be one of"),
            (document(colour="red"), "tenants[0].colour: there is no such field; there are:"),
            (with_agent(tag=["x"]), "tenants[0].agents[0].tag: there is no such field; did you mean tags?"),
            (with_agent(name="a\u202eb"), "tenants[0].agents[0].name: May not contain U+202E"),
            (with_agent(config={"persona": 5}), "tenants[0].agents[0].config.persona: "),
            (
                with_agent(keys=[{"name": "x", "quota": {"limit": 0, "period": "day"}}]),
                "tenants[0].agents[0].keys[0].quota.limit: ",
            ),
            (with_agent(keys=[{"name": "x", "allowed_networks": ["10.0.0.1/8"]}]), "keys[0].allowed_networks: "),
            (with_agent(keys=[{"name": "x"}, {"name": "Ｘ"}]), "keys[1]: the file has this twice"),
            (with_agent(keys=[{"name": "x"}], status="archived"), "keys[0]: An archived agent gets no new keys"),
        ],
    )
    def test_broken_file_changes_nothing_and_names_the_line(
        self, apply: Apply, secrets: Path, changed: dict[str, Any], line: str
    ) -> None:
        with nothing_is_written():
            outcome = apply(changed, "--yes", "--secrets-file", str(secrets))

        assert (outcome.status, outcome.out) == (ExitCode.REFUSED, "")
        assert re.search(r"maim\.yaml:\d+: .*" + re.escape(line), outcome.err), outcome.err

    def test_all_errors_are_named_in_the_order_of_their_lines(self, apply: Apply) -> None:
        outcome = apply("tenants:\n- name: x\n  members: 5\n  agents:\n  - name: ''\n    keys: [{nam: x}]\n", "--yes")

        lines = [line.split(": ")[0].rpartition(":")[2] for line in outcome.err.splitlines()]
        assert lines == ["3", "5", "6", "6"]


@pytest.mark.embedded
class TestVariables:
    CONFIG = {
        "config_overrides": {
            "model": {
                "api_providers": [
                    {
                        "name": "mine",
                        "client_type": "openai",
                        "base_url": "https://${MAIM_TEST_HOST}/v1",
                        "api_key": "${MAIM_TEST_KEY}",
                    }
                ]
            }
        }
    }

    def test_value_is_set_and_shown_nowhere(self, apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIM_TEST_HOST", "inside.example")
        monkeypatch.setenv("MAIM_TEST_KEY", "sk-first")
        shown = apply(with_agent(config=self.CONFIG, keys=[]), "--yes")
        monkeypatch.setenv("MAIM_TEST_HOST", "elsewhere.example")
        monkeypatch.setenv("MAIM_TEST_KEY", "sk-second")

        again = apply(None, "--yes")
        as_json = apply(None, "--check", "--json")

        text = "".join(outcome.out + outcome.err for outcome in (shown, again, as_json))
        assert not [value for value in ("sk-first", "sk-second", "inside", "elsewhere") if value in text]
        assert '/api_providers/0/api_key: "********"' in again.out
        assert '/api_providers/0/base_url: "********"' in again.out
        assert as_json.document["changes"] == []

    def test_value_that_is_stored_in_another_form_or_place_is_hidden(
        self, apply: Apply, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MAIM_TEST_NUMBER", "0.4375")
        monkeypatch.setenv("MAIM_TEST_NAME", "inside-provider")
        # The text becomes a number, and `provider_name` becomes `api_provider`.
        model = {"name": "m", "model_identifier": "m", "provider_name": "${MAIM_TEST_NAME}"}
        overrides = {"chat": {"talk_value": "${MAIM_TEST_NUMBER}"}, "model": {"models": [model]}}

        outcome = apply(with_agent(config={"config_overrides": overrides}, keys=[]), "--yes", "--json")

        chat = Agent.unscoped.get(name="support bot").config["config_overrides"]["chat"]
        assert (outcome.status, chat) == (0, {"talk_value": 0.4375}), outcome.err
        assert not [value for value in ("0.4375", "inside-provider") if value in outcome.out]

    def test_variable_that_is_not_set_is_named(self, apply: Apply) -> None:
        outcome = apply(with_agent(config=self.CONFIG), "--yes")

        assert "base_url: the environment variable MAIM_TEST_HOST is not set" in outcome.err
        assert "api_key: the environment variable MAIM_TEST_KEY is not set" in outcome.err

    def test_variable_that_is_not_utf_8_is_named(self, apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIM_TEST_HOST", os.fsdecode(b"caf\xe9"))
        monkeypatch.setenv("MAIM_TEST_KEY", "x")

        outcome = apply(with_agent(config=self.CONFIG), "--yes")

        assert outcome.status == ExitCode.REFUSED
        assert "base_url: the environment variable MAIM_TEST_HOST is not UTF-8" in outcome.err

    def test_value_is_not_quoted_by_an_error(self, apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIM_TEST_HOST", "hidden host/of/mine")
        monkeypatch.setenv("MAIM_TEST_KEY", "x")

        model = {"name": "a", "model_identifier": "a", "api_provider": "${MAIM_TEST_HOST}"}
        config = {"config_overrides": {"model": {"models": [model]}}}
        outcome = apply(with_agent(config=config, keys=[]), "--dry-run")

        assert outcome.status == 0, outcome.err
        assert "hidden host" not in outcome.out + outcome.err

    def test_variables_are_for_configs_alone(self, apply: Apply, secrets: Path) -> None:
        keys = [{"name": "x", "metadata": {"config": "${HOME}"}}]
        apply(with_agent(description="${HOME} and more", keys=keys), "--yes", "--secrets-file", str(secrets))

        assert Agent.unscoped.get(name="support bot").description == "${HOME} and more"
        assert key("x").metadata == {"config": "${HOME}"}

    def test_two_dollars_are_one(self, apply: Apply) -> None:
        apply(with_agent(config={"persona": "costs $${5}"}, keys=[]), "--yes")

        assert Agent.unscoped.get(name="support bot").config == {"persona": "costs ${5}"}


def test_example_is_applied_twice(apply: Apply, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-of-the-environment")
    register("carol")

    first = apply(EXAMPLE, "--yes", "--secrets-file", str(secrets))
    with nothing_is_written():
        second = apply(None, "--yes")

    assert (first.status, first.err, second.status) == (0, "", 0), first.err
    assert "warning" not in first.out
    assert "sk-of" not in first.out
    assert second.out == "Nothing to do: everything is as the file has it.\n"
    assert {agent.name for agent in Agent.unscoped.all()} == {"support bot", "客服"}
    assert len(secrets.read_text().splitlines()) == 3

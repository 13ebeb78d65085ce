"""`manage.py rotate_secrets`, which reseals everything under the newest key without any visible change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection

from accounts.models import TotpFactor
from agent_config.document import SEALED
from agent_config.secrets import opened
from agents import effective_config, services
from agents.management.commands.rotate_secrets import EXIT_CODES
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from agents.services import config_versions, plugins, resealing, templates, transfer
from core.commands.exit_codes import ExitCode
from core.sealing import Unsealable
from core.tests.changes import at_once
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.commands import Outcome, run
from tests.support.configs import Config, model, provider
from tests.support.factors import answer, enrol, new_challenge
from tests.support.people import OPERATOR, Person, make_agent
from tests.support.tables import changed_tables, tables

AUDITED = 9  # changes that the fixture makes of agents, templates, tenants and plugin settings
OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
API_KEY, TOKEN = "sk-secret", "token-secret"
WITH_TOKEN = {"config_overrides": {"maim_message": {"auth_token": [TOKEN]}}}

Keys = Callable[..., None]


def with_api_key(api_key: str = API_KEY) -> Config:
    return model(api_providers=[provider(api_key=api_key)])


def rotate(*options: str) -> Outcome:
    return run("rotate_secrets", *options)


def counts(outcome: Outcome) -> dict[str, tuple[int, int, int]]:
    """Return the counts of each kind: all rows, resealed rows, and rows left under an older key."""
    kinds = json.loads(outcome.out)["kinds"]
    return {kind: (found["rows"], found["resealed"], found["left"]) for kind, found in kinds.items()}


def stored_configs() -> Iterator[Config]:
    """Yield every config that is stored anywhere."""
    for rows in (Agent.unscoped, ConfigVersion.unscoped, Template.unscoped):
        yield from rows.order_by("pk").values_list("config", flat=True)
    yield from PluginSetting.unscoped.order_by("pk").values_list("config", flat=True)
    for tenant in Tenant.objects.order_by("pk"):
        yield tenant.tenant_config or {}


def all_opened() -> list[Config]:
    """Return every stored config with its secrets decrypted."""
    return [opened(config) for config in stored_configs()]


@pytest.fixture
def use_keys(settings: Any) -> Keys:
    """A function that configures keys, newest first."""

    def use(*keys: str) -> None:
        settings.ENCRYPTION_KEYS = keys

    return use


@pytest.fixture
def agent(alice: Person, use_keys: Keys) -> Agent:
    """An agent with secrets in all tables, and rows without any, written before a new key was configured."""
    use_keys(OLD)
    agent = make_agent(alice.tenant, "bot", config=with_api_key())
    services.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"x": 1}})
    make_agent(alice.tenant, "plain", config={"x": 1})
    templates.create_template(actor=OPERATOR, tenant=None, name="base", config=WITH_TOKEN)
    templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="plain")
    config: Config = {"mine": {"auth_token": API_KEY, "plan": "gold"}, "agent_defaults": WITH_TOKEN}
    tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"tenant_config": config})
    settings: dict[str, Config] = {"weather": {"token": TOKEN}, "dice": {"sides": 6}}
    for name, config in settings.items():
        plugins.set_plugin(
            actor=OPERATOR, tenant=alice.tenant, agent=None, plugin_name=name, enabled=True, config=config
        )
    enrol(alice.user)
    use_keys(NEW, OLD)
    return Agent.unscoped.get(pk=agent.pk)


@pytest.mark.django_db
class TestRotation:
    def test_the_new_key_alone_opens_everything_afterwards(self, agent: Agent, use_keys: Keys) -> None:
        before = all_opened()

        outcome = rotate("--json")

        assert (outcome.status, outcome.err) == (0, "")
        assert counts(outcome) == {
            "agents": (2, 1, 0),
            "config_versions": (3, 2, 0),
            "templates": (2, 1, 0),
            "tenants": (1, 1, 0),
            "plugin_settings": (2, 1, 0),
            "deleted_objects": (0, 0, 0),
            "authenticator_apps": (1, 1, 0),
            "audit_log": (AUDITED, 0, 0),
        }
        use_keys(NEW)
        assert all_opened() == before
        use_keys(OLD)
        with pytest.raises(Unsealable):
            all_opened()

    def test_report_is_a_table(self, agent: Agent) -> None:
        assert rotate().rows == [
            ["agents", "2", "1", "0"],
            ["config_versions", "3", "2", "0"],
            ["templates", "2", "1", "0"],
            ["tenants", "1", "1", "0"],
            ["plugin_settings", "2", "1", "0"],
            ["deleted_objects", "0", "0", "0"],
            ["authenticator_apps", "1", "1", "0"],
            ["audit_log", str(AUDITED), "0", "0"],
        ]

    def test_a_second_run_writes_nothing(self, agent: Agent) -> None:
        rotate()
        before, statements = tables(), []

        def watch(execute: Any, sql: str, *rest: Any) -> Any:
            statements.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(watch):
            outcome = rotate("--json")

        assert outcome.status == 0
        assert [resealed for _rows, resealed, _left in counts(outcome).values()] == [0] * 8
        assert changed_tables(before, tables()) == set()
        assert {sql.split()[0] for sql in statements} == {"SELECT"}

    def test_responses_and_etags_stay_the_same(self, agent: Agent, alice: Person) -> None:
        path = f"/api/v1/agents/{agent.id}"

        def seen() -> list[Any]:
            answers = [alice.client.get(f"{path}{part}") for part in ("", "/config", "/config/effective")]
            etags = [answer.headers.get("ETag") for answer in answers]
            return [answer.json() for answer in answers] + etags + [effective_config.get_state(agent.id)]

        before, rows_before = seen(), tables()
        rotate()

        assert seen() == before
        assert config_versions.diff(agent, 1, 2) == [{"op": "add", "path": "/x", "value": 1}]
        # Not the feed of changes, nor the audit log, nor an epoch.
        written = {model._meta.label for model in (Agent, ConfigVersion, Template, Tenant, PluginSetting, TotpFactor)}
        assert changed_tables(rows_before, tables()) == written

    def test_authenticator_app_goes_on_working(self, alice: Person, use_keys: Keys) -> None:
        use_keys(OLD)
        app = enrol(alice.user)
        use_keys(NEW, OLD)
        rotate()
        use_keys(NEW)

        assert answer(new_challenge(alice.user), app.code()).status_code == 200

    def test_authenticator_app_under_a_lost_key_is_named(self, alice: Person, use_keys: Keys) -> None:
        use_keys(OLD)
        enrol(alice.user)
        use_keys(NEW)

        outcome = rotate()

        assert outcome.status == ExitCode.REFUSED
        assert f"no configured key opens authenticator_apps {alice.user.pk}: secret" in outcome.err

    def test_secret_stored_in_clear_is_sealed(self, agent: Agent) -> None:
        Agent.unscoped.filter(pk=agent.pk).update(config=with_api_key("sk-in-clear"))

        rotate()

        config = Agent.unscoped.get(pk=agent.pk).config
        assert opened(config) == with_api_key("sk-in-clear")
        assert "sk-in-clear" not in json.dumps(config)

    def test_newly_configured_secret_name_seals_configs_and_masks_records(
        self, agent: Agent, alice: Person, settings: Any
    ) -> None:
        own = {"own": {"license_number": "12-345", "max_tokens": 5}}
        templates.create_template(actor=OPERATOR, tenant=None, name="own", config=own)
        services.update_agent(actor=OPERATOR, agent=agent, changes={"config": own})
        tenants.update_tenant(actor=OPERATOR, tenant=alice.tenant, changes={"tenant_config": own})
        plugins.set_plugin(
            actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="own", enabled=True, config=own
        )
        assert len([table for table, rows in tables().items() if "12-345" in str(rows)]) == 6
        settings.SECRET_NAMES = ("license*",)

        outcome = rotate("--json")

        assert outcome.status == 0
        assert not any("12-345" in str(rows) for rows in tables().values())
        assert opened(Agent.unscoped.get(pk=agent.pk).config)["own"] == own["own"]
        assert rotate("--check").status == 0

    def test_more_rows_than_fit_a_batch(self, agent: Agent, use_keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        use_keys(OLD)
        for _ in range(5):
            transfer.duplicate_agent(actor=OPERATOR, agent=agent)
        use_keys(NEW, OLD)
        monkeypatch.setattr(resealing, "BATCH", 2)

        assert counts(rotate("--json"))["agents"] == (7, 6, 0)


@pytest.mark.embedded
@pytest.mark.django_db
class TestChecking:
    def test_check_counts_rows_left_and_changes_nothing(self, agent: Agent) -> None:
        before = tables()

        outcome = rotate("--check", "--json")

        assert (outcome.status, outcome.err) == (ExitCode.NO, "")
        assert counts(outcome) == {
            "agents": (2, 0, 1),
            "config_versions": (3, 0, 2),
            "templates": (2, 0, 1),
            "tenants": (1, 0, 1),
            "plugin_settings": (2, 0, 1),
            "deleted_objects": (0, 0, 0),
            "authenticator_apps": (1, 0, 1),
            "audit_log": (AUDITED, 0, 0),
        }
        assert changed_tables(before, tables()) == set()

    def test_check_succeeds_after_rotation(self, agent: Agent) -> None:
        rotate()

        assert rotate("--check").status == 0

    def test_an_empty_database_needs_nothing(self, db: None) -> None:
        assert counts(rotate("--check", "--json")) == dict.fromkeys(
            (
                *("agents", "config_versions", "templates", "tenants", "plugin_settings", "deleted_objects"),
                *("authenticator_apps", "audit_log"),
            ),
            (0, 0, 0),
        )


@pytest.mark.embedded
@pytest.mark.django_db
class TestLostKeys:
    @pytest.fixture
    def lost(self, agent: Agent, use_keys: Keys) -> Agent:
        """An agent with a second provider, whose secret is sealed under a key that is gone."""
        use_keys(OTHER, OLD)
        providers = [provider(), provider("lost", api_key="sk-lost")]
        services.update_agent(
            actor=OPERATOR, agent=agent, changes={"config": model(api_providers=providers), "name": "half lost"}
        )
        use_keys(NEW, OLD)
        return agent

    PATH = "config_overrides.model.api_providers[1].api_key"

    @pytest.mark.parametrize("options", [(), ("--check",)])
    def test_lost_secret_is_listed(self, lost: Agent, options: tuple[str, ...]) -> None:
        outcome = rotate(*options)

        assert outcome.status == ExitCode.REFUSED
        assert outcome.err.splitlines() == [
            f"no configured key opens agents {lost.id}: {self.PATH}",
            f"no configured key opens config_versions {lost.id}/3: {self.PATH}",
        ]

    def test_lost_secret_is_in_the_json_output(self, lost: Agent) -> None:
        assert json.loads(rotate("--json").out)["lost"] == [
            {"kind": "agents", "row": lost.id, "path": self.PATH},
            {"kind": "config_versions", "row": f"{lost.id}/3", "path": self.PATH},
        ]

    def test_neither_secrets_nor_tokens_are_printed(self, lost: Agent) -> None:
        outcome = rotate()

        assert not any(text in outcome.out + outcome.err for text in (API_KEY, TOKEN, "sk-lost", "gAAAA", SEALED))

    def test_other_secrets_of_the_same_row_are_resealed(self, lost: Agent, use_keys: Keys) -> None:
        rotate()

        use_keys(NEW, OTHER)
        providers = opened(Agent.unscoped.get(pk=lost.pk).config)["config_overrides"]["model"]["api_providers"]
        assert [each["api_key"] for each in providers] == [API_KEY, "sk-lost"]
        assert rotate("--check", "--json").status == ExitCode.NO, "the other key opens what was lost"


@pytest.mark.django_db
class TestConcurrentWrites:
    @pytest.fixture
    def before_first(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
        """A function that runs another between the inspection and the first write."""

        def prepare(act: Callable[[], Any]) -> None:
            rewrite = resealing._rewrite
            acts = [act]

            def first_act(*arguments: Any) -> bool:
                if acts:
                    acts.pop()()
                return rewrite(*arguments)

            monkeypatch.setattr(resealing, "_rewrite", first_act)

        return prepare

    def test_row_changed_meanwhile_is_resealed_with_its_change(
        self, agent: Agent, use_keys: Keys, before_first: Callable[[Callable[[], Any]], None]
    ) -> None:
        before_first(lambda: services.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"x": 2, "y": 3}}))

        outcome = rotate("--json")

        use_keys(NEW)
        assert outcome.status == 0
        assert opened(Agent.unscoped.get(pk=agent.pk).config) == {**with_api_key(), "x": 2, "y": 3}

    def test_copy_made_meanwhile_is_resealed(
        self, agent: Agent, use_keys: Keys, before_first: Callable[[Callable[[], Any]], None]
    ) -> None:
        before_first(lambda: transfer.duplicate_agent(actor=OPERATOR, agent=agent))

        outcome = rotate("--json")

        use_keys(NEW)
        assert outcome.status == 0
        assert counts(outcome)["agents"] == (3, 2, 0)
        assert len(all_opened()) == 3 + 4 + 2 + 2 + 1

    def test_row_deleted_meanwhile_is_skipped(
        self, agent: Agent, before_first: Callable[[Callable[[], Any]], None]
    ) -> None:
        before_first(lambda: services.delete_agent(actor=OPERATOR, agent=agent))

        outcome = rotate("--json")

        assert outcome.status == 0
        assert counts(outcome)["agents"] == (1, 0, 0)

    def test_interrupted_run_can_be_repeated(
        self, agent: Agent, use_keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rewrite = resealing._rewrite
        done: list[Any] = []

        def interrupted(*arguments: Any) -> bool:
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(arguments)
            return rewrite(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(resealing, "_rewrite", interrupted)
            with pytest.raises(KeyboardInterrupt):
                rotate()
        outcome = rotate("--json")

        assert outcome.status == 0
        assert sum(resealed for _rows, resealed, _left in counts(outcome).values()) == 7 - 2
        use_keys(NEW)
        assert all_opened()


@pytest.mark.django_db(transaction=True)
def test_a_change_waits_until_the_row_is_sealed(agent: Agent, use_keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    resealed = resealing._resealed
    changes: list[Future[Any]] = []

    def change() -> None:
        services.update_agent(actor=OPERATOR, agent=agent, changes={"config": {"x": 2}})

    def while_others_change(*arguments: Any) -> Any:
        """Start a change after the row was read, and before it is written."""
        if connection.in_atomic_block and not changes:
            changes.append(at_once(threads, change))
            wait(changes, timeout=1)  # which is all of it: the change cannot be made before the row is let go
        return resealed(*arguments)

    with ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(resealing, "_resealed", while_others_change)
        outcome = rotate()
        (changing,) = changes
        changing.result()

    use_keys(NEW)
    row = Agent.unscoped.get(pk=agent.pk)
    assert outcome.status == 0
    assert opened(row.config) == {**with_api_key(), "x": 2}
    assert row.config_version == 3
    assert opened(row.config_versions(manager="unscoped").get(number=3).config) == opened(row.config)


def test_help_lists_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("rotate_secrets", "--help")

    assert " ".join(EXIT_CODES.split()) in " ".join(capsys.readouterr().out.split())

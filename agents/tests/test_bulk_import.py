"""Agents of another system, with their config, plugin settings and heartbeats, taken over as they are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import QuerySet

from agent_config.secrets import masked, opened
from agents import services
from agents.bulk_import import (
    IMPORTED_ACTIVITY_FIELDS,
    IMPORTED_FIELDS,
    IMPORTED_PLUGIN_FIELDS,
    import_activity,
    import_agents,
    import_plugins,
    remove_plugins,
)
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from agents.services import plugins
from agents.tests.api import shown
from core.db import RowUpdate
from core.models import AuditEntry, FeedEntry, Invalidation
from tenants.models import Tenant
from tests.support.configs import MASK, Config, model, provider
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def with_secret(api_key: str = "sk-old", **others: Any) -> Config:
    return {**model(api_providers=[provider(api_key=api_key)]), **others}


def unsaved(tenant: Tenant, name: str, **fields: Any) -> Agent:
    """Return an unsaved agent to import."""
    agent = Agent(**{"tenant_id": tenant.id, "created_at": LONG_AGO, "updated_at": LONG_AGO, **fields})
    agent.set_name(name)
    return agent


def import_rows(*, new: Sequence[Agent] = (), rows: Sequence[RowUpdate[Agent]] = ()) -> None:
    import_agents(actor=OPERATOR, new=new, changed=rows)


def clear_records() -> None:
    for told in (AuditEntry, FeedEntry, Invalidation):
        QuerySet(told).delete()


def imported(tenant: Tenant, name: str, **fields: Any) -> Agent:
    """Import an agent, and clear the audit log, feed and invalidations."""
    agent = unsaved(tenant, name, **fields)
    import_rows(new=[agent])
    clear_records()
    return stored(agent)


def changed(agent: Agent, **wanted: Any) -> RowUpdate[Agent]:
    """Return a stored agent with its target, whose secrets are in clear."""
    row = stored(agent)
    same = {field: getattr(row, field) for field in IMPORTED_FIELDS if not field.startswith("name")}
    name, config = wanted.pop("name", row.name), wanted.pop("config", opened(row.config))
    return RowUpdate(row, unsaved(row.tenant, name, id=row.id, config=config, **{**same, **wanted}))


def stored(agent: Agent) -> Agent:
    return Agent.unscoped.get(pk=agent.pk)


def versions(agent: Agent) -> list[ConfigVersion]:
    return list(ConfigVersion.unscoped.filter(agent=agent).order_by("number"))


def feed() -> list[tuple[str, str, str | None]]:
    return list(FeedEntry.objects.order_by("pk").values_list("kind", "subject", "tenant_id"))


def invalidated() -> set[str]:
    return set(Invalidation.objects.values_list("subject", flat=True)) - {""}


def audited() -> list[tuple[str, str, Any, Any]]:
    rows = AuditEntry.objects.order_by("pk")
    assert {row.actor_kind for row in rows} <= {"command"}
    return [(row.action, row.object_id, row.before, row.after) for row in rows]


class TestNewAgents:
    def test_new_rows_are_stored_unchanged(self, alice: Person) -> None:
        fields = {
            "description": "Helps",
            "template_id": "of the old system",
            "status": "archived",
            "updated_at": LONG_AGO + A_MINUTE,
        }

        import_rows(new=[unsaved(alice.tenant, "Bot", id="a-1", config={"a": 1}, **fields)])

        agent = Agent.unscoped.get(pk="a-1")
        assert (agent.tenant_id, agent.name, agent.name_folded) == (alice.tenant.id, "Bot", "bot")
        assert {field: getattr(agent, field) for field in fields} == fields
        assert (agent.created_at, agent.config, agent.tags) == (LONG_AGO, {"a": 1}, [])

    def test_new_agents_get_version_1_of_their_config(self, alice: Person) -> None:
        bot, empty = unsaved(alice.tenant, "bot", config=with_secret(a=1)), unsaved(alice.tenant, "empty")

        import_rows(new=[bot, empty])

        (version,) = versions(bot)
        assert (version.number, stored(bot).config_version) == (1, 1)
        assert (version.tenant_id, version.author_kind, version.author) == (alice.tenant.id, "command", OPERATOR.label)
        assert version.config == stored(bot).config
        assert [(each["op"], each["path"]) for each in version.patch] == [("add", "/config_overrides"), ("add", "/a")]
        assert [(each.number, each.config, each.patch) for each in versions(empty)] == [(1, {}, [])]

    def test_secrets_of_new_rows_are_sealed_and_not_audited(self, alice: Person) -> None:
        bot = unsaved(alice.tenant, "bot", config=with_secret("sk-old"))

        import_rows(new=[bot])

        (version,) = versions(bot)
        assert opened(stored(bot).config) == opened(version.config) == with_secret("sk-old")
        for kept in (stored(bot).config, version.config, version.patch, audited()):
            assert "sk-old" not in json.dumps(kept)
        assert MASK in json.dumps(version.patch)

    def test_new_agents_are_read_back_as_exported(self, alice: Person) -> None:
        bot = unsaved(alice.tenant, "bot", config=with_secret(persona="kind"))

        import_rows(new=[bot])

        agent = alice.client.get(f"/api/v1/agents/{bot.id}").json()
        assert agent["config"] == shown(with_secret(persona="kind"))

    def test_new_agents_are_published_in_the_change_feed(self, alice: Person, charlie: Person) -> None:
        hers, his = unsaved(alice.tenant, "bot"), unsaved(charlie.tenant, "bot")

        import_rows(new=[hers, his])

        assert sorted(feed()) == sorted([("agent", bot.id, bot.tenant_id) for bot in (hers, his)])
        assert invalidated() == set(), "there is nothing to remember of them yet"

    def test_each_new_row_is_audited(self, alice: Person) -> None:
        bot = unsaved(alice.tenant, "bot", status="inactive")

        import_rows(new=[bot, unsaved(alice.tenant, "other")])

        rows = [row for row in AuditEntry.objects.order_by("pk") if row.action == "agent.import"]
        assert [(row.object_type, row.tenant_id, row.before) for row in rows] == [("agent", alice.tenant.id, None)] * 2
        assert (rows[0].object_id, rows[0].after) == (
            bot.id,
            {
                "name": "bot",
                "description": None,
                "template_id": None,
                "config_version": 1,
                "status": "inactive",
                "config_schema": None,
                "tags": [],
                "rate_limit": None,
                "quota": None,
            },
        )

    def test_new_row_with_a_taken_name_is_refused(self, alice: Person) -> None:
        imported(alice.tenant, "bot")

        with pytest.raises(IntegrityError):
            import_rows(new=[unsaved(alice.tenant, "BOT")])


class TestChangedAgents:
    def test_changed_rows_are_updated(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", description="Helps", config={"a": 1})
        fields = {
            "description": None,
            "template_id": "another",
            "status": "inactive",
            "created_at": LONG_AGO - A_MINUTE,
            "updated_at": LONG_AGO + A_MINUTE,
        }

        import_rows(rows=[changed(bot, name="Robot", config={"b": 2}, **fields)])

        row = stored(bot)
        assert (row.name, row.name_folded, row.config) == ("Robot", "robot", {"b": 2})
        assert {field: getattr(row, field) for field in fields} == fields

    def test_fields_that_are_not_imported_are_kept(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot")
        services.update_agent(
            actor=OPERATOR, agent=bot, changes={"tags": ["mine"], "quota": {"limit": 1, "period": "day"}}
        )

        import_rows(rows=[changed(bot, description="Helps")])

        row = stored(bot)
        assert (row.tags, row.quota, row.description) == (["mine"], {"limit": 1, "period": "day"}, "Helps")

    def test_audit_row_has_only_the_changed_fields(self, alice: Person) -> None:
        bot, other = imported(alice.tenant, "bot", config={"a": 1}), imported(alice.tenant, "other")

        import_rows(rows=[changed(bot, config={"a": 2}, status="inactive"), changed(other, name="Another")])

        assert audited() == [
            (
                "agent.import",
                bot.id,
                {"config_version": 1, "status": "active"},
                {"config_version": 2, "status": "inactive"},
            ),
            ("agent.import", other.id, {"name": "other"}, {"name": "Another"}),
        ]

    def test_changed_rows_may_swap_their_names(self, alice: Person) -> None:
        one, two, three = (imported(alice.tenant, name) for name in ("one", "two", "three"))

        import_rows(
            rows=[changed(one, name="TWO"), changed(two, name="three"), changed(three, name="one", config={"a": 1})]
        )

        assert [stored(agent).name_folded for agent in (one, two, three)] == ["two", "three", "one"]

    @pytest.mark.parametrize(
        ("what", "is_told"),
        [({"status": "inactive"}, True), ({"template_id": "x"}, True), ({"description": "x"}, False), ({}, False)],
    )
    def test_change_is_published_only_if_bots_notice_it(
        self, alice: Person, what: dict[str, Any], is_told: bool
    ) -> None:
        bot = imported(alice.tenant, "bot")

        import_rows(rows=[changed(bot, **what)])

        assert feed() == ([("agent", bot.id, alice.tenant.id)] if is_told else [])
        assert invalidated() == {bot.id}

    def test_keys_of_a_deactivated_agent_are_refused(self, alice: Person, internal: Any) -> None:
        bot = imported(alice.tenant, "bot")
        secret = make_key(bot).secret

        import_rows(rows=[changed(bot, status="inactive")])

        answer = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
        assert answer["error_code"] == "AUTH_007"


class TestChangedConfigs:
    def test_changed_config_becomes_version_2_without_secrets_in_the_patch(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config=with_secret("sk-old", a=1))

        import_rows(rows=[changed(bot, config=with_secret("sk-new", a=1, b=2))])

        first, second = versions(bot)
        assert (first.number, second.number, stored(bot).config_version) == (1, 2, 2)
        assert opened(first.config) == with_secret("sk-old", a=1)
        assert opened(second.config) == opened(stored(bot).config) == with_secret("sk-new", a=1, b=2)
        key = "/config_overrides/model/api_providers/0/api_key"
        assert sorted(second.patch, key=lambda each: each["path"]) == [
            {"op": "add", "path": "/b", "value": 2},
            {"op": "replace", "path": key, "value": MASK},
        ]
        for kept in (second.config, second.patch, audited()):
            assert "sk-" not in json.dumps(kept)
        assert (second.author_kind, second.author) == ("command", OPERATOR.label)

    def test_changed_config_is_published_once(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config={"a": 1})

        import_rows(rows=[changed(bot, config={"a": 2}, status="inactive")])

        assert feed() == [("agent", bot.id, alice.tenant.id)]
        assert invalidated() == {bot.id}

    def test_unchanged_secrets_stay_sealed_as_they_are(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config=with_secret(a=1))
        before = stored(bot).config["config_overrides"]

        import_rows(rows=[changed(bot, config=with_secret(a=2))])

        assert stored(bot).config == {"config_overrides": before, "a": 2}
        assert versions(bot)[1].patch == [{"op": "replace", "path": "/a", "value": 2}]

    def test_unchanged_config_creates_no_version(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config=with_secret(a=1))
        before = stored(bot).config

        import_rows(rows=[changed(bot, name="Robot", config=with_secret(a=1))])

        row = stored(bot)
        assert (row.name, row.config, row.config_version) == ("Robot", before, 1)
        assert [version.number for version in versions(bot)] == [1]
        assert feed() == []

    def test_value_of_another_type_creates_a_version(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config={"a": 1})

        import_rows(rows=[changed(bot, config={"a": True})])

        assert json.dumps([version.config for version in versions(bot)]) == '[{"a": 1}, {"a": true}]'

    def test_new_version_follows_the_latest_one_here(self, alice: Person) -> None:
        bot = imported(alice.tenant, "bot", config={"a": 1})
        services.update_agent(actor=OPERATOR, agent=bot, changes={"config": {"b": 2}})

        import_rows(rows=[changed(bot, config={"a": 3})])

        assert [version.config for version in versions(bot)] == [{"a": 1}, {"a": 1, "b": 2}, {"a": 3}]
        assert stored(bot).config_version == 3

    def test_each_changed_agent_gets_its_own_version(self, alice: Person) -> None:
        one, two = imported(alice.tenant, "one", config={"a": 1}), imported(alice.tenant, "two", config={"b": 1})

        import_rows(rows=[changed(one, config={"a": 2}), changed(two, config={"b": 2})])

        assert [versions(one)[-1].patch, versions(two)[-1].patch] == [
            [{"op": "replace", "path": "/a", "value": 2}],
            [{"op": "replace", "path": "/b", "value": 2}],
        ]


def setting(tenant: Tenant, agent: Agent | None, name: str = "news", **fields: Any) -> PluginSetting:
    """Return an unsaved plugin setting to import."""
    return PluginSetting(
        tenant_id=tenant.id,
        agent_id=agent.id if agent else None,
        agent_scope=agent.id if agent else "",
        plugin_name=name,
        **{"created_at": LONG_AGO, "updated_at": LONG_AGO, **fields},
    )


def imported_setting(tenant: Tenant, agent: Agent | None, name: str = "news", **fields: Any) -> PluginSetting:
    """Import a plugin setting."""
    row = setting(tenant, agent, name, **fields)
    import_plugins(actor=OPERATOR, new=[row], changed=[])
    clear_records()
    return PluginSetting.unscoped.get(pk=row.pk)


def settings_of(tenant: Tenant) -> dict[tuple[str | None, str], tuple[bool, Any]]:
    rows = PluginSetting.objects.in_tenants([tenant.id])
    return {(row.agent_id, row.plugin_name): (row.enabled, row.config) for row in rows}


class TestPlugins:
    def test_new_settings_are_stored_unchanged(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)

        import_plugins(
            actor=OPERATOR,
            new=[setting(alice.tenant, None, config={"a": 1}), setting(alice.tenant, bot, enabled=False)],
            changed=[],
        )

        assert settings_of(alice.tenant) == {(None, "news"): (True, {"a": 1}), (bot.id, "news"): (False, {})}
        (merged,) = plugins.merged_plugins(tenant=alice.tenant, agent=bot)
        assert (merged.enabled, merged.created_at, merged.updated_at) == (False, LONG_AGO, LONG_AGO)

    def test_secrets_are_sealed_and_unchanged_ones_keep_their_seal(self, alice: Person) -> None:
        row = imported_setting(alice.tenant, None, config={"apiKey": "sk-old", "city": "上海"})
        before = row.config
        assert (masked(before)["apiKey"], opened(before)["apiKey"]) == (MASK, "sk-old")

        wanted = setting(alice.tenant, None, config={"apiKey": "sk-old", "city": "北京"})
        import_plugins(actor=OPERATOR, new=[], changed=[RowUpdate(row, wanted)])

        assert PluginSetting.unscoped.get().config == {**before, "city": "北京"}
        assert "sk-old" not in str(audited())

    def test_each_new_setting_is_audited_under_its_agent_or_tenant(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        clear_records()

        import_plugins(
            actor=OPERATOR, new=[setting(alice.tenant, None, config={"a": 1}), setting(alice.tenant, bot)], changed=[]
        )

        told = {"plugin_name": "news", "enabled": True}
        assert audited() == [
            ("plugin.import", alice.tenant.id, None, {**told, "agent_id": None, "config": {"a": 1}}),
            ("plugin.import", bot.id, None, {**told, "agent_id": bot.id, "config": {}}),
        ]
        assert {row.tenant_id for row in AuditEntry.objects.all()} == {alice.tenant.id}

    def test_changed_settings_are_updated(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        tenants, bots = imported_setting(alice.tenant, None, config={"a": 1}), imported_setting(alice.tenant, bot)
        later = LONG_AGO + A_MINUTE

        import_plugins(
            actor=OPERATOR,
            new=[],
            changed=[
                RowUpdate(tenants, setting(alice.tenant, None, config={"a": 2}, updated_at=later)),
                RowUpdate(bots, setting(alice.tenant, bot, enabled=False)),
            ],
        )

        assert settings_of(alice.tenant) == {(None, "news"): (True, {"a": 2}), (bot.id, "news"): (False, {})}
        assert PluginSetting.unscoped.get(pk=tenants.pk).updated_at == later
        assert audited() == [
            (
                "plugin.import",
                alice.tenant.id,
                {"agent_id": None, "plugin_name": "news", "config": {"a": 1}},
                {"agent_id": None, "plugin_name": "news", "config": {"a": 2}},
            ),
            (
                "plugin.import",
                bot.id,
                {"agent_id": bot.id, "plugin_name": "news", "enabled": True},
                {"agent_id": bot.id, "plugin_name": "news", "enabled": False},
            ),
        ]

    def test_setting_is_removed_by_its_agent_or_tenant(self, alice: Person, charlie: Person) -> None:
        bot, other = make_agent(alice.tenant), make_agent(alice.tenant)
        for agent in (None, bot, other):
            imported_setting(alice.tenant, agent)
        imported_setting(alice.tenant, bot, "weather", config={"a": 1})
        imported_setting(charlie.tenant, None)

        remove_plugins(actor=OPERATOR, settings=[(bot.id, "weather"), (alice.tenant.id, "news")])

        assert set(settings_of(alice.tenant)) == {(bot.id, "news"), (other.id, "news")}
        assert set(settings_of(charlie.tenant)) == {(None, "news")}
        assert audited() == [
            (
                "plugin.remove",
                bot.id,
                {"agent_id": bot.id, "plugin_name": "weather", "enabled": True, "config": {"a": 1}},
                None,
            ),
            (
                "plugin.remove",
                alice.tenant.id,
                {"agent_id": None, "plugin_name": "news", "enabled": True, "config": {}},
                None,
            ),
        ]

    def test_removing_a_missing_setting_does_nothing(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        imported_setting(alice.tenant, None)

        remove_plugins(actor=OPERATOR, settings=[(bot.id, "news"), (alice.tenant.id, "weather"), ("x", "y")])

        assert (audited(), len(settings_of(alice.tenant))) == ([], 1)

    def test_every_field_but_the_owner_is_updated(self) -> None:
        fields = {field.attname for field in PluginSetting._meta.concrete_fields}

        kept = {"id", "tenant_id", "agent_id", "agent_scope", "plugin_name"}
        assert fields - set(IMPORTED_PLUGIN_FIELDS) == kept | {"revision"}  # which every change raises


def heartbeat(agent: Agent, at: datetime, ttl_seconds: int = 60) -> AgentActivity:
    return AgentActivity(
        agent_id=agent.id,
        tenant_id=agent.tenant_id,
        last_seen_at=at,
        ttl_seconds=ttl_seconds,
        expires_at=at + timedelta(seconds=ttl_seconds),
    )


class TestHeartbeats:
    def test_heartbeats_are_stored_without_an_audit_row(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        clear_records()

        import_activity(new=[heartbeat(bot, LONG_AGO)], changed=[])

        row = AgentActivity.unscoped.get()
        assert (row.agent_id, row.tenant_id, row.last_seen_at) == (bot.id, alice.tenant.id, LONG_AGO)
        assert (row.ttl_seconds, row.expires_at) == (60, LONG_AGO + A_MINUTE)
        assert audited() == []

    @pytest.mark.parametrize(("difference", "counts"), [(A_MINUTE, True), (timedelta(0), False), (-A_MINUTE, False)])
    def test_the_later_of_two_heartbeats_is_kept(self, alice: Person, difference: timedelta, counts: bool) -> None:
        bot = make_agent(alice.tenant)
        import_activity(new=[heartbeat(bot, LONG_AGO)], changed=[])

        import_activity(
            new=[], changed=[RowUpdate(AgentActivity.unscoped.get(), heartbeat(bot, LONG_AGO + difference, 5))]
        )

        expected = heartbeat(bot, LONG_AGO + difference, 5) if counts else heartbeat(bot, LONG_AGO)
        found = AgentActivity.unscoped.get()
        assert {field: getattr(found, field) for field in IMPORTED_ACTIVITY_FIELDS} == {
            field: getattr(expected, field) for field in IMPORTED_ACTIVITY_FIELDS
        }
        assert "import" not in " ".join(row[0] for row in audited())

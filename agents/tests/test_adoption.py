"""Agents of another system, with their config, plugin settings and heartbeats, taken over as they are there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from agent_config.secrets import masked, opened
from agents import services
from agents.bulk_import import (
    ACTIVITY_FIELDS,
    FIELDS,
    PLUGIN_FIELDS,
    adopt_activity,
    adopt_agents,
    adopt_plugins,
    remove_plugins,
)
from agents.models import Agent, AgentActivity, ConfigVersion, PluginSetting
from agents.services import plugins
from agents.tests.api import shown
from core.db import Wanted
from core.models import AuditEntry, Change, Invalidation
from tenants.models import Tenant
from tests.support.configs import MASK, Config, model, provider
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2024, 2, 29, 8, 30, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def with_secret(api_key: str = "sk-old", **others: Any) -> Config:
    return {**model(api_providers=[provider(api_key=api_key)]), **others}


def from_there(tenant: Tenant, name: str, **fields: Any) -> Agent:
    """An agent as it is to be here, not stored."""
    agent = Agent(**{"tenant_id": tenant.id, "created_at": LONG_AGO, "updated_at": LONG_AGO, **fields})
    agent.set_name(name)
    return agent


def adopt(*, new: Sequence[Agent] = (), rows: Sequence[Wanted[Agent]] = ()) -> None:
    adopt_agents(actor=OPERATOR, new=new, changed=rows)


def forget_what_was_told() -> None:
    for told in (AuditEntry, Change, Invalidation):
        told.objects.all().delete()


def here(tenant: Tenant, name: str, **fields: Any) -> Agent:
    """An agent that was taken over before, of which nothing is told any more."""
    agent = from_there(tenant, name, **fields)
    adopt(new=[agent])
    forget_what_was_told()
    return stored(agent)


def changed(agent: Agent, **wanted: Any) -> Wanted[Agent]:
    """A stored agent, and what it is to become: there, secrets are in clear."""
    row = stored(agent)
    same = {field: getattr(row, field) for field in FIELDS if not field.startswith("name")}
    name, config = wanted.pop("name", row.name), wanted.pop("config", opened(row.config))
    return Wanted(row, from_there(row.tenant, name, id=row.id, config=config, **{**same, **wanted}))


def stored(agent: Agent) -> Agent:
    return Agent.unscoped.get(pk=agent.pk)


def versions(agent: Agent) -> list[ConfigVersion]:
    return list(ConfigVersion.unscoped.filter(agent=agent).order_by("number"))


def feed() -> list[tuple[str, str, str | None]]:
    return list(Change.objects.order_by("pk").values_list("kind", "subject", "tenant_id"))


def invalidated() -> set[str]:
    return set(Invalidation.objects.values_list("subject", flat=True)) - {""}


def audited() -> list[tuple[str, str, Any, Any]]:
    rows = AuditEntry.objects.order_by("pk")
    assert {row.actor_kind for row in rows} <= {"command"}
    return [(row.action, row.object_id, row.before, row.after) for row in rows]


class TestNewAgents:
    def test_are_stored_as_they_are(self, alice: Person) -> None:
        fields = {
            "description": "Helps",
            "template_id": "of the old system",
            "status": "archived",
            "updated_at": LONG_AGO + A_MINUTE,
        }

        adopt(new=[from_there(alice.tenant, "Bot", id="a-1", config={"a": 1}, **fields)])

        agent = Agent.unscoped.get(pk="a-1")
        assert (agent.tenant_id, agent.name, agent.name_folded) == (alice.tenant.id, "Bot", "bot")
        assert {field: getattr(agent, field) for field in fields} == fields
        assert (agent.created_at, agent.config, agent.tags) == (LONG_AGO, {"a": 1}, [])

    def test_have_the_first_version_of_their_config(self, alice: Person) -> None:
        bot, empty = from_there(alice.tenant, "bot", config=with_secret(a=1)), from_there(alice.tenant, "empty")

        adopt(new=[bot, empty])

        (version,) = versions(bot)
        assert (version.number, stored(bot).config_version) == (1, 1)
        assert (version.tenant_id, version.author_kind, version.author) == (alice.tenant.id, "command", OPERATOR.label)
        assert version.config == stored(bot).config
        assert [(each["op"], each["path"]) for each in version.patch] == [("add", "/config_overrides"), ("add", "/a")]
        assert [(each.number, each.config, each.patch) for each in versions(empty)] == [(1, {}, [])]

    def test_have_their_secrets_sealed_and_tell_none(self, alice: Person) -> None:
        bot = from_there(alice.tenant, "bot", config=with_secret("sk-old"))

        adopt(new=[bot])

        (version,) = versions(bot)
        assert opened(stored(bot).config) == opened(version.config) == with_secret("sk-old")
        for kept in (stored(bot).config, version.config, version.patch, audited()):
            assert "sk-old" not in json.dumps(kept)
        assert MASK in json.dumps(version.patch)

    def test_read_back_as_they_were_there(self, alice: Person) -> None:
        bot = from_there(alice.tenant, "bot", config=with_secret(persona="kind"))

        adopt(new=[bot])

        agent = alice.client.get(f"/api/v1/agents/{bot.id}").json()
        assert agent["config"] == shown(with_secret(persona="kind"))

    def test_are_told_to_those_who_follow(self, alice: Person, charlie: Person) -> None:
        hers, his = from_there(alice.tenant, "bot"), from_there(charlie.tenant, "bot")

        adopt(new=[hers, his])

        assert sorted(feed()) == sorted([("agent", bot.id, bot.tenant_id) for bot in (hers, his)])
        assert invalidated() == set(), "there is nothing to remember of them yet"

    def test_leave_an_audit_row_each(self, alice: Person) -> None:
        bot = from_there(alice.tenant, "bot", status="inactive")

        adopt(new=[bot, from_there(alice.tenant, "other")])

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
                "tags": [],
                "rate_limit": None,
                "quota": None,
            },
        )

    def test_of_a_name_that_the_tenant_has_already_are_refused(self, alice: Person) -> None:
        here(alice.tenant, "bot")

        with pytest.raises(IntegrityError):
            adopt(new=[from_there(alice.tenant, "BOT")])


class TestChangedAgents:
    def test_become_what_they_are_to_be(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", description="Helps", config={"a": 1})
        fields = {
            "description": None,
            "template_id": "another",
            "status": "inactive",
            "created_at": LONG_AGO - A_MINUTE,
            "updated_at": LONG_AGO + A_MINUTE,
        }

        adopt(rows=[changed(bot, name="Robot", config={"b": 2}, **fields)])

        row = stored(bot)
        assert (row.name, row.name_folded, row.config) == ("Robot", "robot", {"b": 2})
        assert {field: getattr(row, field) for field in fields} == fields

    def test_keep_what_they_were_given_here(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot")
        services.update_agent(
            actor=OPERATOR, agent=bot, changes={"tags": ["mine"], "quota": {"limit": 1, "period": "day"}}
        )

        adopt(rows=[changed(bot, description="Helps")])

        row = stored(bot)
        assert (row.tags, row.quota, row.description) == (["mine"], {"limit": 1, "period": "day"}, "Helps")

    def test_leave_an_audit_row_of_what_changed_alone(self, alice: Person) -> None:
        bot, other = here(alice.tenant, "bot", config={"a": 1}), here(alice.tenant, "other")

        adopt(rows=[changed(bot, config={"a": 2}, status="inactive"), changed(other, name="Another")])

        assert audited() == [
            (
                "agent.import",
                bot.id,
                {"config_version": 1, "status": "active"},
                {"config_version": 2, "status": "inactive"},
            ),
            ("agent.import", other.id, {"name": "other"}, {"name": "Another"}),
        ]

    def test_may_swap_their_names(self, alice: Person) -> None:
        one, two, three = (here(alice.tenant, name) for name in ("one", "two", "three"))

        adopt(rows=[changed(one, name="TWO"), changed(two, name="three"), changed(three, name="one", config={"a": 1})])

        assert [stored(agent).name_folded for agent in (one, two, three)] == ["two", "three", "one"]

    @pytest.mark.parametrize(
        ("what", "is_told"),
        [({"status": "inactive"}, True), ({"template_id": "x"}, True), ({"description": "x"}, False), ({}, False)],
    )
    def test_are_told_of_where_bots_would_notice(self, alice: Person, what: dict[str, Any], is_told: bool) -> None:
        bot = here(alice.tenant, "bot")

        adopt(rows=[changed(bot, **what)])

        assert feed() == ([("agent", bot.id, alice.tenant.id)] if is_told else [])
        assert invalidated() == {bot.id}

    def test_that_are_inactive_let_none_of_their_keys_in(self, alice: Person, internal: Any) -> None:
        bot = here(alice.tenant, "bot")
        secret = make_key(bot).secret

        adopt(rows=[changed(bot, status="inactive")])

        answer = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
        assert answer["error_code"] == "AUTH_007"


class TestChangedConfigs:
    def test_are_a_second_version_that_shows_no_secret(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config=with_secret("sk-old", a=1))

        adopt(rows=[changed(bot, config=with_secret("sk-new", a=1, b=2))])

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

    def test_are_told_to_those_who_follow_once(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config={"a": 1})

        adopt(rows=[changed(bot, config={"a": 2}, status="inactive")])

        assert feed() == [("agent", bot.id, alice.tenant.id)]
        assert invalidated() == {bot.id}

    def test_keep_the_secrets_that_did_not_change_as_they_are_sealed(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config=with_secret(a=1))
        before = stored(bot).config["config_overrides"]

        adopt(rows=[changed(bot, config=with_secret(a=2))])

        assert stored(bot).config == {"config_overrides": before, "a": 2}
        assert versions(bot)[1].patch == [{"op": "replace", "path": "/a", "value": 2}]

    def test_that_are_the_same_are_no_version(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config=with_secret(a=1))
        before = stored(bot).config

        adopt(rows=[changed(bot, name="Robot", config=with_secret(a=1))])

        row = stored(bot)
        assert (row.name, row.config, row.config_version) == ("Robot", before, 1)
        assert [version.number for version in versions(bot)] == [1]
        assert feed() == []

    def test_of_another_type_are_one(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config={"a": 1})

        adopt(rows=[changed(bot, config={"a": True})])

        assert json.dumps([version.config for version in versions(bot)]) == '[{"a": 1}, {"a": true}]'

    def test_go_on_from_the_version_that_was_made_here(self, alice: Person) -> None:
        bot = here(alice.tenant, "bot", config={"a": 1})
        services.update_agent(actor=OPERATOR, agent=bot, changes={"config": {"b": 2}})

        adopt(rows=[changed(bot, config={"a": 3})])

        assert [version.config for version in versions(bot)] == [{"a": 1}, {"a": 1, "b": 2}, {"a": 3}]
        assert stored(bot).config_version == 3

    def test_of_several_are_each_their_own(self, alice: Person) -> None:
        one, two = here(alice.tenant, "one", config={"a": 1}), here(alice.tenant, "two", config={"b": 1})

        adopt(rows=[changed(one, config={"a": 2}), changed(two, config={"b": 2})])

        assert [versions(one)[-1].patch, versions(two)[-1].patch] == [
            [{"op": "replace", "path": "/a", "value": 2}],
            [{"op": "replace", "path": "/b", "value": 2}],
        ]


def setting(tenant: Tenant, agent: Agent | None, name: str = "news", **fields: Any) -> PluginSetting:
    """A plugin's setting as it is to be here, not stored."""
    return PluginSetting(
        tenant_id=tenant.id,
        agent_id=agent.id if agent else None,
        agent_scope=agent.id if agent else "",
        plugin_name=name,
        **{"created_at": LONG_AGO, "updated_at": LONG_AGO, **fields},
    )


def set_here(tenant: Tenant, agent: Agent | None, name: str = "news", **fields: Any) -> PluginSetting:
    """A setting that was taken over before."""
    row = setting(tenant, agent, name, **fields)
    adopt_plugins(actor=OPERATOR, new=[row], changed=[])
    forget_what_was_told()
    return PluginSetting.unscoped.get(pk=row.pk)


def settings_of(tenant: Tenant) -> dict[tuple[str | None, str], tuple[bool, Any]]:
    rows = PluginSetting.objects.in_tenants([tenant.id])
    return {(row.agent_id, row.plugin_name): (row.enabled, row.config) for row in rows}


class TestPlugins:
    def test_new_settings_are_stored_as_they_are(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)

        adopt_plugins(
            actor=OPERATOR,
            new=[setting(alice.tenant, None, config={"a": 1}), setting(alice.tenant, bot, enabled=False)],
            changed=[],
        )

        assert settings_of(alice.tenant) == {(None, "news"): (True, {"a": 1}), (bot.id, "news"): (False, {})}
        (merged,) = plugins.merged_plugins(tenant=alice.tenant, agent=bot)
        assert (merged.enabled, merged.created_at, merged.updated_at) == (False, LONG_AGO, LONG_AGO)

    def test_their_secrets_are_sealed_and_what_stays_the_same_stays_sealed_as_it_was(self, alice: Person) -> None:
        row = set_here(alice.tenant, None, config={"apiKey": "sk-old", "city": "上海"})
        before = row.config
        assert (masked(before)["apiKey"], opened(before)["apiKey"]) == (MASK, "sk-old")

        wanted = setting(alice.tenant, None, config={"apiKey": "sk-old", "city": "北京"})
        adopt_plugins(actor=OPERATOR, new=[], changed=[Wanted(row, wanted)])

        assert PluginSetting.unscoped.get().config == {**before, "city": "北京"}
        assert "sk-old" not in str(audited())

    def test_new_settings_leave_an_audit_row_each_about_whose_they_are(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        forget_what_was_told()

        adopt_plugins(
            actor=OPERATOR, new=[setting(alice.tenant, None, config={"a": 1}), setting(alice.tenant, bot)], changed=[]
        )

        told = {"plugin_name": "news", "enabled": True}
        assert audited() == [
            ("plugin.import", alice.tenant.id, None, {**told, "agent_id": None, "config": {"a": 1}}),
            ("plugin.import", bot.id, None, {**told, "agent_id": bot.id, "config": {}}),
        ]
        assert {row.tenant_id for row in AuditEntry.objects.all()} == {alice.tenant.id}

    def test_changed_settings_become_what_they_are_to_be(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        tenants, bots = set_here(alice.tenant, None, config={"a": 1}), set_here(alice.tenant, bot)
        later = LONG_AGO + A_MINUTE

        adopt_plugins(
            actor=OPERATOR,
            new=[],
            changed=[
                Wanted(tenants, setting(alice.tenant, None, config={"a": 2}, updated_at=later)),
                Wanted(bots, setting(alice.tenant, bot, enabled=False)),
            ],
        )

        assert settings_of(alice.tenant) == {(None, "news"): (True, {"a": 2}), (bot.id, "news"): (False, {})}
        assert PluginSetting.unscoped.get(pk=tenants.pk).updated_at == later
        assert audited() == [
            ("plugin.import", alice.tenant.id, {"config": {"a": 1}}, {"config": {"a": 2}}),
            ("plugin.import", bot.id, {"enabled": True}, {"enabled": False}),
        ]

    def test_what_is_removed_is_named_by_whose_it_is(self, alice: Person, charlie: Person) -> None:
        bot, other = make_agent(alice.tenant), make_agent(alice.tenant)
        for agent in (None, bot, other):
            set_here(alice.tenant, agent)
        set_here(alice.tenant, bot, "weather", config={"a": 1})
        set_here(charlie.tenant, None)

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

    def test_what_is_not_there_any_more_is_not_removed_again(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        set_here(alice.tenant, None)

        remove_plugins(actor=OPERATOR, settings=[(bot.id, "news"), (alice.tenant.id, "weather"), ("x", "y")])

        assert (audited(), len(settings_of(alice.tenant))) == ([], 1)

    def test_the_fields_that_change_are_all_but_whose_it_is(self) -> None:
        fields = {field.attname for field in PluginSetting._meta.concrete_fields}

        kept = {"id", "tenant_id", "agent_id", "agent_scope", "plugin_name"}
        assert fields - set(PLUGIN_FIELDS) == kept | {"revision"}  # which every change raises


def heartbeat(agent: Agent, at: datetime, ttl_seconds: int = 60) -> AgentActivity:
    return AgentActivity(
        agent_id=agent.id,
        tenant_id=agent.tenant_id,
        last_seen_at=at,
        ttl_seconds=ttl_seconds,
        expires_at=at + timedelta(seconds=ttl_seconds),
    )


class TestHeartbeats:
    def test_are_stored_and_leave_no_audit_row(self, alice: Person) -> None:
        bot = make_agent(alice.tenant)
        forget_what_was_told()

        adopt_activity(new=[heartbeat(bot, LONG_AGO)], changed=[])

        row = AgentActivity.unscoped.get()
        assert (row.agent_id, row.tenant_id, row.last_seen_at) == (bot.id, alice.tenant.id, LONG_AGO)
        assert (row.ttl_seconds, row.expires_at) == (60, LONG_AGO + A_MINUTE)
        assert audited() == []

    @pytest.mark.parametrize(("difference", "counts"), [(A_MINUTE, True), (timedelta(0), False), (-A_MINUTE, False)])
    def test_of_two_the_later_counts(self, alice: Person, difference: timedelta, counts: bool) -> None:
        bot = make_agent(alice.tenant)
        adopt_activity(new=[heartbeat(bot, LONG_AGO)], changed=[])

        adopt_activity(new=[], changed=[Wanted(AgentActivity.unscoped.get(), heartbeat(bot, LONG_AGO + difference, 5))])

        expected = heartbeat(bot, LONG_AGO + difference, 5) if counts else heartbeat(bot, LONG_AGO)
        found = AgentActivity.unscoped.get()
        assert {field: getattr(found, field) for field in ACTIVITY_FIELDS} == {
            field: getattr(expected, field) for field in ACTIVITY_FIELDS
        }
        assert "import" not in " ".join(row[0] for row in audited())

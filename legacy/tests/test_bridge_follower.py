"""A running bridge: what it writes between comparisons, and its figures in /metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone
from time_machine import travel

from agents import services as agents
from agents.models import Agent
from agents.services import plugins, templates
from apikeys import services as apikeys
from apikeys.models import ApiKey
from core import change_feed
from core.models import AuditEntry
from legacy.bridge import follower as module
from legacy.bridge.database import LegacyDatabase, open_database
from legacy.bridge.follower import Follower
from legacy.bridge.metrics import bridge_statuses
from legacy.models import Bridge
from legacy.sources import Source
from legacy.tests.bridge_command import chat, refuse_agent
from legacy.tests.old_databases import OldDatabase
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.old_bot import OldBot
from tests.support.people import OPERATOR, make_agent, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything but a comparison due at each step."""
    monkeypatch.setattr(module, "FEED_SECONDS", 0)
    for name in ("_AUDIT_SECONDS", "_HEARTBEAT_SECONDS", "_COUNTS_SECONDS", "_SAVE_SECONDS"):
        monkeypatch.setattr(module, name, 0)


@pytest.fixture
def database(shared: OldDatabase) -> Iterator[LegacyDatabase]:
    with open_database(Source(shared.url)) as opened:
        yield opened


@pytest.fixture
def start_follower(shared: OldDatabase, database: LegacyDatabase) -> Callable[[], Follower]:
    """A function that starts to follow changes, like a bridge that was started."""
    return lambda: Follower(Source(shared.url), database, with_secrets=False)


def catch_up(follower: Follower) -> None:
    while follower.step():
        pass


def talk_value(shared: OldDatabase, agent: Agent) -> Any:
    config = OldBot(shared.url).config(agent.id)
    return config and config["config_overrides"].get("chat", {}).get("talk_value")


def test_every_kind_of_change_is_written_without_a_comparison(
    shared: OldDatabase, start_follower: Callable[[], Follower], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = templates.create_template(actor=OPERATOR, tenant=None, name="calm", config=chat(talk_value=0.1))
    agent = make_agent(tenant, template_id=template.id)
    key = make_key(agent).key
    follower = start_follower()
    catch_up(follower)
    monkeypatch.setattr(follower, "_step_comparison", lambda: False)

    templates.update_template(actor=OPERATOR, template=template, changes={"config": chat(talk_value=0.25)})
    catch_up(follower)
    assert talk_value(shared, agent) == 0.25

    agents.update_agent(actor=OPERATOR, agent=agent, changes={"name": "renamed"})
    catch_up(follower)
    assert shared.value("agents", agent.id, "name") == "renamed"

    defaults = {"agent_defaults": chat(talk_value=0.5)}
    tenants.update_tenant(actor=OPERATOR, tenant=tenant, changes={"tenant_config": defaults, "tenant_name": "Renamed"})
    apikeys.update_key(actor=OPERATOR, key=key, changes={"status": "disabled"})
    catch_up(follower)
    assert talk_value(shared, agent) == 0.5
    assert shared.value("tenants", tenant.id, "tenant_name") == "Renamed"
    assert shared.value("api_keys", key.id, "status") == "disabled"

    plugins.set_plugin(
        actor=OPERATOR, tenant=tenant, agent=agent, plugin_name="weather", enabled=True, config={"city": "上海"}
    )
    ApiKey.unscoped.filter(pk=key.id).update(usage_count=3, last_used_at=timezone.now())
    catch_up(follower)
    assert OldBot(shared.url).number_of_rows(agent.id)["plugin_settings"] == 1
    assert shared.value("api_keys", key.id, "usage_count") == 3

    apikeys.delete_key(actor=OPERATOR, key=key)
    catch_up(follower)
    assert "api_keys" not in OldBot(shared.url).number_of_rows(agent.id)

    tenants.delete_tenant(actor=OPERATOR, tenant=tenant)
    catch_up(follower)
    assert OldBot(shared.url).number_of_rows(agent.id) == {}


def test_refused_object_is_tried_again_without_a_comparison(
    shared: OldDatabase, start_follower: Callable[[], Follower], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = start_follower()
    catch_up(follower)
    monkeypatch.setattr(follower, "_step_comparison", lambda: False)
    refuse_agent(shared, "no")
    agent = make_agent(tenant, name="no")
    catch_up(follower)
    assert bridge_statuses()[0].refused == 1

    shared.execute("DROP TRIGGER refusing")
    catch_up(follower)

    assert bridge_statuses()[0].refused == 0
    assert shared.value("agents", agent.id, "name") == "no"


def sweep_all_changes() -> None:
    with travel(timezone.now() + timedelta(days=8), tick=False):
        change_feed.sweep()
    QuerySet(AuditEntry).delete()


def test_swept_cursor_causes_a_full_comparison(
    shared: OldDatabase, start_follower: Callable[[], Follower], tenant: Tenant
) -> None:
    agent = make_agent(tenant, config=chat(talk_value=0.1))
    follower = start_follower()
    catch_up(follower)
    agents.update_agent(actor=OPERATOR, agent=agent, changes={"config": chat(talk_value=0.25)})
    sweep_all_changes()

    catch_up(follower)

    assert talk_value(shared, agent) == 0.25


def test_killed_comparison_does_not_count_as_complete(
    shared: OldDatabase, start_follower: Callable[[], Follower], tenant: Tenant
) -> None:
    make_agent(tenant)
    catch_up(start_follower())
    sweep_all_changes()
    Bridge.objects.update(cursor="0")
    before = Bridge.objects.get()

    start_follower().step()  # finds that the cursor was swept, and is killed
    start_follower().step()

    between = Bridge.objects.get()
    assert between.compared_at is None
    assert between.current_at == before.current_at
    catch_up(start_follower())
    assert Bridge.objects.get().compared_at is not None


def test_lag_is_the_age_of_the_oldest_pending_change(
    shared: OldDatabase, start_follower: Callable[[], Follower], tenant: Tenant
) -> None:
    agent = make_agent(tenant)
    follower = start_follower()
    catch_up(follower)
    without_changes = bridge_statuses()[0].lag_seconds
    now = timezone.now()
    for seconds in (10, 20):
        with travel(now + timedelta(seconds=seconds), tick=False):
            agents.update_agent(actor=OPERATOR, agent=agent, changes={"name": f"after {seconds}"})

    with travel(now + timedelta(seconds=40), tick=False):
        pending = bridge_statuses()[0]
        catch_up(follower)
        synchronized = bridge_statuses()[0]

    assert (without_changes, pending.lag_seconds, synchronized.lag_seconds) == (0, 30, 0)
    assert synchronized.current_at == now + timedelta(seconds=40)

"""The change feed: its entries, pages and cursors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from time_machine import travel

from agents.change_feed import Cursor
from agents.models import Agent
from agents.services import templates
from core import change_feed, epoch
from core.models import Epoch, FeedEntry
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, Person, make_agent

pytestmark = pytest.mark.django_db
PATH = "/api/v2/config-changes"


class Follower:
    """A reader of the feed from its current end."""

    def __init__(self, internal: SurfaceClient) -> None:
        self._internal = internal
        self.cursor: str = self.get()["cursor"]

    def get(self, **query: Any) -> dict[str, Any]:
        """Return one page of the feed."""
        response = self._internal.get(PATH, query)
        assert response.status_code == 200, response.content
        data: dict[str, Any] = response.json()["data"]
        return data

    def news(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return all entries since the last call, read in pages of `limit`."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(after=self.cursor, limit=limit)
            assert len(page["items"]) <= limit
            found += page["items"]
            self.cursor = page["cursor"]
            if not page["has_more"]:
                return found


@pytest.fixture
def follower(internal: SurfaceClient) -> Follower:
    return Follower(internal)


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["agent_id"] for entry in entries]


class TestEntries:
    def test_new_reader_gets_no_entries(self, follower: Follower) -> None:
        assert follower.news() == []

    def test_new_agent_is_an_entry(self, alice: Person, follower: Follower) -> None:
        agent = make_agent(alice.tenant)

        assert follower.news() == [
            {
                "agent_id": agent.id,
                "tenant_id": alice.tenant.id,
                "deleted": False,
                "status": "active",
                "config_version": 1,
            }
        ]
        assert follower.news() == []

    @pytest.mark.parametrize(
        "sent",
        [{"config": {"a": 1}}, {"status": "inactive"}, {"template_id": "none"}],
        ids=lambda sent: next(iter(sent)),
    )
    def test_change_of_config_status_or_template_is_an_entry(
        self, alice: Person, internal: SurfaceClient, sent: dict[str, Any]
    ) -> None:
        agent = make_agent(alice.tenant)
        follower = Follower(internal)

        alice.client.send("PUT", f"/api/v1/agents/{agent.id}", sent)

        assert ids(follower.news()) == [agent.id]

    @pytest.mark.parametrize("sent", [{"config": {}}, {"name": "another"}, {"status": "active"}])
    def test_write_that_changes_nothing_is_no_entry(
        self, alice: Person, internal: SurfaceClient, sent: dict[str, Any]
    ) -> None:
        agent = make_agent(alice.tenant)
        follower = Follower(internal)

        alice.client.send("PUT", f"/api/v1/agents/{agent.id}", sent)

        assert follower.news() == []

    def test_refused_change_is_no_entry(self, alice: Person, internal: SurfaceClient) -> None:
        agent = make_agent(alice.tenant)
        follower = Follower(internal)

        response = alice.client.send("PUT", f"/api/v1/agents/{agent.id}", {"config": {"persona": 5}})

        assert response.status_code == 400
        assert follower.news() == []

    def test_deleted_agent_is_an_entry(self, alice: Person, internal: SurfaceClient) -> None:
        agent = make_agent(alice.tenant)
        follower = Follower(internal)

        alice.client.delete(f"/api/v1/agents/{agent.id}")

        (entry,) = follower.news()
        assert (entry["agent_id"], entry["deleted"], entry["config_version"]) == (agent.id, True, None)

    def test_deleted_tenant_is_an_entry_for_each_agent(self, alice: Person, internal: SurfaceClient) -> None:
        agents = {make_agent(alice.tenant, f"bot {number}").id for number in range(3)}
        follower = Follower(internal)

        internal.delete(f"/api/v2/tenants/{alice.tenant.id}")

        entries = follower.news()
        assert set(ids(entries)) == agents
        assert all(entry["deleted"] for entry in entries)

    @pytest.mark.parametrize(
        "sent", [{"tenant_config": {"agent_defaults": {"persona": "calm"}}}, {"status": "suspended"}], ids=str
    )
    def test_change_of_tenant_defaults_or_status_is_an_entry_for_each_agent(
        self, alice: Person, charlie: Person, internal: SurfaceClient, sent: dict[str, Any]
    ) -> None:
        agents = {make_agent(alice.tenant, f"bot {number}").id for number in range(3)}
        make_agent(charlie.tenant)
        follower = Follower(internal)

        internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", sent)

        assert set(ids(follower.news())) == agents

    def test_rename_of_a_tenant_is_no_entry(self, alice: Person, internal: SurfaceClient) -> None:
        make_agent(alice.tenant)
        follower = Follower(internal)

        internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"tenant_name": "Another"})

        assert follower.news() == []

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_change_of_a_template_is_an_entry_for_each_agent_in_any_tenant(
        self, alice: Person, charlie: Person, internal: SurfaceClient, method: str
    ) -> None:
        internal.send("POST", "/api/v2/templates", {"name": "polite", "template_id": "polite"})
        agents = {make_agent(person.tenant, template_id="polite").id for person in (alice, charlie)}
        make_agent(alice.tenant, "other")
        follower = Follower(internal)

        internal.send(method, "/api/v2/templates/polite", {"config": {"persona": "polite"}})

        assert set(ids(follower.news())) == agents

    def test_new_template_is_an_entry_for_agents_that_named_it(self, alice: Person, internal: SurfaceClient) -> None:
        agent = make_agent(alice.tenant, template_id="later")
        follower = Follower(internal)

        internal.send("POST", "/api/v2/templates", {"name": "late", "template_id": "later"})

        assert ids(follower.news()) == [agent.id]


class TestPages:
    def test_entries_come_in_the_order_of_the_changes(self, alice: Person, internal: SurfaceClient) -> None:
        agents = [make_agent(alice.tenant, f"bot {number}") for number in range(5)]
        follower = Follower(internal)

        for agent in reversed(agents):
            alice.client.send("PUT", f"/api/v1/agents/{agent.id}", {"config": {"a": 1}})

        assert ids(follower.news(limit=2)) == [agent.id for agent in reversed(agents)]

    def test_layer_with_many_agents_spans_pages(self, alice: Person, internal: SurfaceClient) -> None:
        internal.send("POST", "/api/v2/templates", {"name": "polite", "template_id": "polite"})
        agents = sorted(make_agent(alice.tenant, f"bot {number}", template_id="polite").id for number in range(7))
        follower = Follower(internal)
        internal.send("PUT", "/api/v2/templates/polite", {"config": {"a": 1}})
        last = make_agent(alice.tenant, "last")

        assert ids(follower.news(limit=3)) == [*agents, last.id]
        assert follower.news() == []

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_layers_without_agents_end_no_page_early(self, alice: Person, internal: SurfaceClient, limit: int) -> None:
        follower = Follower(internal)
        for number in range(5):
            internal.send("POST", "/api/v2/templates", {"name": f"t {number}"})
        agent = make_agent(alice.tenant)

        assert ids(follower.news(limit=limit)) == [agent.id]

    def test_an_agent_that_changed_twice_is_in_a_page_once(self, alice: Person, internal: SurfaceClient) -> None:
        agent, other = make_agent(alice.tenant), make_agent(alice.tenant, "other")
        follower = Follower(internal)

        for changed, value in ((agent, 1), (other, 1), (agent, 2)):
            alice.client.send("PUT", f"/api/v1/agents/{changed.id}", {"config": {"a": value}})

        assert [(entry["agent_id"], entry["config_version"]) for entry in follower.news()] == [
            (other.id, 2),
            (agent.id, 3),
        ]

    def test_nothing_new_takes_one_query(
        self, alice: Person, follower: Follower, django_assert_num_queries: Any
    ) -> None:
        make_agent(alice.tenant)
        follower.news()

        with django_assert_num_queries(1):
            assert follower.news() == []


class TestCursors:
    def test_cursor_at_an_imported_agent_of_any_id_is_taken(self, follower: Follower, alice: Person) -> None:
        template = templates.create_template(actor=OPERATOR, tenant=None, name="shared")
        names = ["-abc", "my bot", "zzz"]
        for name in names:
            Agent.unscoped.create(
                id=name, tenant=alice.tenant, name=name, name_folded=name, template=template, config_version=1
            )
        follower.news()
        templates.update_template(actor=OPERATOR, template=template, changes={"config": {"x": 1}})

        assert sorted(ids(follower.news(limit=1))) == sorted(names)

    @pytest.mark.parametrize("cursor", ["", "x", "1-", "-1", "1-2-", "9" * 19, "1;2", "１"])
    def test_malformed_cursor_is_refused(self, internal: SurfaceClient, cursor: str) -> None:
        response = internal.get(PATH, {"after": cursor})

        assert response.status_code == 400
        assert list(response.json()["data"]["errors"]) == ["after"]

    @pytest.mark.parametrize("limit", ["0", "1001", "x"])
    def test_a_page_has_1_to_1000_entries(self, internal: SurfaceClient, limit: str) -> None:
        assert internal.get(PATH, {"after": "0", "limit": limit}).status_code == 400

    def test_cursor_before_deleted_entries_is_gone(self, alice: Person, internal: SurfaceClient) -> None:
        old = Follower(internal)
        make_agent(alice.tenant)
        up_to_date = Follower(internal)
        with travel(timezone.now() + change_feed.KEPT_FOR + timedelta(minutes=1), tick=False):
            assert change_feed.sweep() == 1
            assert change_feed.sweep() == 0

        assert internal.get(PATH, {"after": old.cursor}).status_code == 410
        assert up_to_date.news() == []
        agent = make_agent(alice.tenant, "new")
        assert ids(up_to_date.news()) == [agent.id]

    def test_cursor_at_the_end_stays_valid(self, alice: Person, internal: SurfaceClient) -> None:
        beginning = Follower(internal)
        make_agent(alice.tenant)
        fresh, reader = Follower(internal), beginning
        reader.news()
        with travel(timezone.now() + change_feed.KEPT_FOR + timedelta(minutes=1), tick=False):
            change_feed.sweep()
        later = Follower(internal)

        for follower in (fresh, reader, later):
            assert follower.news() == []
        agent = make_agent(alice.tenant, "new")
        for follower in (fresh, reader, later):
            assert ids(follower.news()) == [agent.id]

    def test_cursor_amid_deleted_entries_is_gone(self, alice: Person, internal: SurfaceClient) -> None:
        internal.send("POST", "/api/v2/templates", {"name": "polite", "template_id": "polite"})
        for number in range(3):
            make_agent(alice.tenant, f"bot {number}", template_id="polite")
        follower = Follower(internal)
        internal.send("PUT", "/api/v2/templates/polite", {"config": {"a": 1}})
        middle = follower.get(after=follower.cursor, limit=1)["cursor"]
        with travel(timezone.now() + change_feed.KEPT_FOR + timedelta(minutes=1), tick=False):
            change_feed.sweep()

        assert internal.get(PATH, {"after": middle}).status_code == 410

    @pytest.mark.parametrize("has_happened_since", [False, True])
    def test_cursor_ahead_of_the_feed_is_gone(
        self, alice: Person, internal: SurfaceClient, has_happened_since: bool
    ) -> None:
        """Simulate a restored backup, which lacks the newest entries."""
        for number in range(3):
            make_agent(alice.tenant, f"kept {number}")
        kept = Follower(internal)
        backup = list(FeedEntry.objects.values_list("pk", flat=True))
        agent = make_agent(alice.tenant, "lost")
        internal.send("POST", "/api/v2/templates", {"name": "polite", "template_id": "polite"})
        ahead = Follower(internal).cursor
        FeedEntry.objects.exclude(pk__in=backup).delete()
        Epoch.objects.update(value=F("value") - 2)
        if has_happened_since:
            alice.client.send("PUT", f"/api/v1/agents/{agent.id}", {"config": {"a": 1}})

        # With an entry, and as the version before gave it out.
        for cursor in (ahead, *([] if has_happened_since else [ahead.partition("-")[0]]), "999999999"):
            gone = internal.get(PATH, {"after": cursor})
            assert (gone.status_code, gone.json()["error_code"]) == (410, "GONE"), cursor
            assert "重新" in gone.json()["error"]
        assert ids(kept.news()) == ([agent.id] if has_happened_since else [])

    def test_cursor_of_the_earlier_version_is_valid(self, alice: Person, internal: SurfaceClient) -> None:
        make_agent(alice.tenant)
        follower = Follower(internal)
        follower.cursor = str(epoch.current())

        assert follower.news() == []
        agent = make_agent(alice.tenant, "new")
        assert ids(follower.news()) == [agent.id]

    def test_sweep_keeps_newer_entries(self, alice: Person, internal: SurfaceClient) -> None:
        make_agent(alice.tenant)
        follower = Follower(internal)
        young = make_agent(alice.tenant, "young")
        FeedEntry.objects.exclude(subject=young.id).update(
            at=timezone.now() - change_feed.KEPT_FOR - timedelta(minutes=1)
        )

        change_feed.sweep()

        assert ids(follower.news()) == [young.id]

    def test_cursor_text_has_its_position(self) -> None:
        for cursor in (Cursor(5), Cursor(5, 7), Cursor(5, 7, "agent_a-b")):
            assert Cursor.parse(str(cursor)) == cursor

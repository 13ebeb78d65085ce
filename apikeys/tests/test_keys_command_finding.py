"""`manage.py keys`: which keys are meant, and how they are shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from agents.models import Agent
from apikeys import keyformat, services, verification
from apikeys.models import ApiKey, KeySecret
from apikeys.services import IssuedKey
from apikeys.tests.api import V2_FIELDS
from apikeys.tests.commands import keys, secrets_in
from core.commands.exit_codes import ExitCode
from core.commands.formatting import width
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.commands import Outcome
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.embedded

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestNaming:
    """Objects are named by id or name; an ambiguous name is an error."""

    @pytest.fixture
    def bots(self, alice: Person, charlie: Person) -> tuple[Agent, Agent]:
        """Two agents of one name, Alice's and Charlie's."""
        return make_agent(alice.tenant, "bot"), make_agent(charlie.tenant, "bot")

    def issue(self, agent: str) -> Outcome:
        return keys("issue", agent, "--name", "a key", "--json")

    def test_agent_is_found_by_its_id(self, bots: tuple[Agent, Agent]) -> None:
        assert self.issue(bots[1].id).document["agent_id"] == bots[1].id

    def test_agent_is_found_by_a_unique_name(self, alice: Person) -> None:
        agent = make_agent(alice.tenant, "Straße 🤖")

        assert self.issue("STRASSE 🤖").document["agent_id"] == agent.id

    def test_tenant_makes_an_agents_name_unambiguous(self, bots: tuple[Agent, Agent], charlie: Person) -> None:
        by_name = self.issue("charlie's personal tenant/BOT").document
        ApiKey.objects.in_tenants([charlie.tenant.id]).all().delete()
        by_id = self.issue(f"{charlie.tenant.id}/bot").document

        assert by_name["agent_id"] == by_id["agent_id"] == bots[1].id

    def test_names_may_have_slashes(self, alice: Person, charlie: Person) -> None:
        team = {"tenant_name": "R/D", "tenant_type": "enterprise"}
        tenant_id = alice.client.send("POST", "/api/v1/tenants", team).json()["data"]["id"]
        agent = make_agent(Tenant.objects.get(pk=tenant_id), "a/b")
        make_agent(charlie.tenant, "a/b")

        for name in ("r/d/a/b", f"{tenant_id}/a/b"):
            assert keys("list", "--agent", name, "--json").document["items"] == []
        assert keys("list", "--agent", "a/b").status == ExitCode.NOT_FOUND
        assert self.issue("R/D/A/B").document["agent_id"] == agent.id

    def test_an_ambiguous_agent_is_refused_with_its_candidates(self, bots: tuple[Agent, Agent]) -> None:
        outcome = self.issue("bot")

        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert all(bot.id in outcome.err and bot.tenant_id in outcome.err for bot in bots)
        assert not ApiKey.objects.in_tenants([bot.tenant_id for bot in bots]).exists()

    def test_an_ambiguous_key_is_refused_with_its_candidates(self, bots: tuple[Agent, Agent]) -> None:
        both = [make_key(bot, "production").key for bot in bots]

        outcome = keys("disable", "production")

        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert all(key.id in outcome.err for key in both)
        assert set(ApiKey.objects.in_tenants([bot.tenant_id for bot in bots]).values_list("status", flat=True)) == {
            "active"
        }

    def test_an_ambiguous_tenant_is_refused_with_its_candidates(self, alice: Person, charlie: Person) -> None:
        twins = [
            person.client.send("POST", "/api/v1/tenants", {"tenant_name": "ACME", "tenant_type": "enterprise"})
            for person in (alice, charlie)
        ]

        outcome = keys("list", "--tenant", "acme")

        assert outcome.status == ExitCode.NOT_FOUND
        assert all(twin.json()["data"]["id"] in outcome.err for twin in twins)

    @pytest.mark.parametrize("by", ["tenant", "agent", "both", "id"])
    def test_tenant_or_agent_makes_a_keys_name_unambiguous(self, bots: tuple[Agent, Agent], by: str) -> None:
        make_key(bots[0], "production")
        meant = make_key(bots[1], "production").key
        arguments = {
            "tenant": ["production", "--tenant", "Charlie's Personal Tenant"],
            "agent": ["production", "--agent", bots[1].id],
            "both": ["production", "--tenant", meant.tenant_id, "--agent", "bot"],
            "id": [meant.id],
        }[by]

        assert keys("show", *arguments, "--json").document["api_key_id"] == meant.id

    def test_id_wins_over_the_name_of_another_key(self, agent: Agent, charlie: Person) -> None:
        meant = make_key(agent).key
        make_key(make_agent(charlie.tenant), meant.id)

        assert keys("show", meant.id, "--json").document["api_key_id"] == meant.id

    def test_key_is_found_by_the_ends_of_its_masked_secret(self, issued: IssuedKey) -> None:
        hint = keyformat.parse(issued.secret).hint

        for text in (keyformat.masked(hint), f"...{hint}"):
            assert keys("show", text, "--json").document["api_key_id"] == issued.key.id

    def test_key_outside_the_given_tenant_is_not_found(self, issued: IssuedKey, charlie: Person) -> None:
        assert keys("show", issued.key.id, "--tenant", charlie.tenant.id).status == ExitCode.NOT_FOUND

    @pytest.mark.parametrize(
        "arguments",
        [
            ["issue", "nobody", "--name", "x"],
            ["list", "--tenant", "nobody"],
            ["list", "--agent", "nobody"],
            ["show", "nobody"],
            ["rotate", "nobody"],
            ["disable", "nobody"],
            ["enable", "nobody"],
            ["delete", "nobody", "--yes"],
        ],
    )
    def test_missing_object_is_named_as_not_found(self, issued: IssuedKey, arguments: list[str]) -> None:
        outcome = keys(*arguments)

        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert "'nobody'" in outcome.err

    def test_secret_in_place_of_a_name_is_not_repeated(self, issued: IssuedKey) -> None:
        outcome = keys("show", issued.secret)

        assert outcome.status == ExitCode.NOT_FOUND
        assert secrets_in(outcome.err) == []


class TestListing:
    @pytest.fixture
    def several(self, agent: Agent, charlie: Person) -> dict[str, ApiKey]:
        """Keys that differ in what can be asked for, as of NOON."""
        with travel(NOON - timedelta(days=100), tick=False):
            made = {
                "old": make_key(agent, "old").key,
                "used": make_key(agent, "used").key,
                "over": make_key(agent, "over", expires_at=NOON).key,
                "soon": make_key(agent, "soon", expires_at=NOON + timedelta(days=3)).key,
            }
        with travel(NOON - timedelta(hours=1), tick=False):
            made["off"] = make_key(make_agent(agent.tenant), "off").key
            services.disable_key(actor=OPERATOR, key=made["off"])
            made["charlie's"] = make_key(make_agent(charlie.tenant), "charlie's").key
        rows = ApiKey.objects.in_tenants([agent.tenant_id])
        rows.filter(pk=made["used"].pk).update(last_used_at=NOON - timedelta(days=2), usage_count=7)
        return made

    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ([], {"old", "used", "over", "soon", "off", "charlie's"}),
            (["--tenant", "alice's personal tenant"], {"old", "used", "over", "soon", "off"}),
            (["--agent", "{agent}"], {"old", "used", "over", "soon"}),
            (["--status", "active"], {"old", "used", "soon", "charlie's"}),
            (["--status", "expired"], {"over"}),
            (["--status", "disabled"], {"off"}),
            (["--q", "O"], {"old", "over", "soon", "off"}),
            (["--expires-within-days", "3"], {"soon"}),
            (["--expires-within-days", "2"], set()),
            (["--never-used", "--agent", "{agent}"], {"old", "over", "soon"}),
            (["--unused-since", "2026-01-30T00:00:00Z"], {"old", "used", "over", "soon"}),
            (["--unused-since", "2026-01-29T00:00:00Z"], {"old", "over", "soon"}),
            (["--never-used", "--status", "active", "--tenant", "alice's personal tenant"], {"old", "soon"}),
        ],
    )
    def test_list_is_filtered_by(
        self, several: dict[str, ApiKey], agent: Agent, arguments: list[str], names: set[str]
    ) -> None:
        with travel(NOON, tick=False):
            listed = keys("list", *(argument.format(agent=agent.id) for argument in arguments), "--json").document

        assert {key["name"] for key in listed["items"]} == names
        assert listed["next"] is None

    def test_json_output_equals_the_apis_response(
        self, several: dict[str, ApiKey], agent: Agent, internal: SurfaceClient
    ) -> None:
        answer = internal.get(f"/api/v2/api-keys?tenant_id={agent.tenant_id}").json()["data"]["items"]

        listed = keys("list", "--tenant", agent.tenant_id, "--json").document

        assert list(listed) == ["items", "next"]
        assert listed["items"] == answer
        assert list(listed["items"][0])[: len(V2_FIELDS)] == V2_FIELDS
        assert [keys("show", key["name"], "--json").document for key in answer] == answer

    def test_text_output_has_a_line_for_each_key(self, several: dict[str, ApiKey], agent: Agent) -> None:
        with travel(NOON, tick=False):
            outcome = keys("list", "--agent", agent.id, "--status", "active")

        soon, used, old = sorted(outcome.rows, key=lambda row: ["soon", "used", "old"].index(row[1]))
        tenant = "alice's Personal Tenant"
        mask = f"mmc_…{KeySecret.objects.get(key=several['used']).hint}"
        assert used == [
            *(several["used"].id, "used", agent.name, tenant, "active", mask),
            *("7", "2026-01-29T12:00:00Z", "-"),
        ]
        assert soon[-3:] == ["0", "-", "2026-02-03T12:00:00Z"]
        assert old[0] == several["old"].id
        assert outcome.err == ""

    @pytest.mark.parametrize("owner", [[], ["--tenant", "alice's personal tenant"], ["--status", "active"]])
    def test_pages_have_every_key_once(self, several: dict[str, ApiKey], owner: list[str]) -> None:
        whole = [key["name"] for key in keys("list", *owner, "--json").document["items"]]
        found, position = list[str](), list[str]()
        while page := keys("list", *owner, "--limit", "2", *position, "--json").document:
            found += [key["name"] for key in page["items"]]
            if page["next"] is None or len(found) > len(whole):
                break
            position = ["--after", page["next"]]

        assert found == whole
        assert keys("list", *owner, "--limit", "2").err.startswith("There are more: --after ")

    @pytest.mark.parametrize("position", ["", "x", "WzFd", "W10", "bnVsbA", "é", "W1tdLHt9LDBd"])  # the last: [[],{},0]
    def test_a_position_that_is_none_is_a_usage_error(self, several: dict[str, ApiKey], position: str) -> None:
        outcome = keys("list", "--after", position)

        assert (outcome.status, outcome.out, "--after" in outcome.err) == (ExitCode.USAGE, "", True)

    def test_columns_are_aligned_for_wide_characters(self, agent: Agent) -> None:
        for name in ("ascii", "中文密钥", "e\N{COMBINING ACUTE ACCENT}te\N{COMBINING ACUTE ACCENT}"):
            make_key(agent, name)

        lines = keys("list").out.splitlines()

        places = {width(re.split("STATUS|active", line)[0]) for line in lines}
        assert len(places) == 1
        assert (width("中文密钥"), width("e\N{COMBINING ACUTE ACCENT}te\N{COMBINING ACUTE ACCENT}")) == (8, 3)

    def test_a_name_cannot_write_to_the_terminal(self, agent: Agent) -> None:
        key = make_key(agent).key
        ApiKey.unscoped.filter(pk=key.pk).update(name="\x1b[2J\x9b31m\u202eevil\nline")  # as names were once

        for arguments in (["list"], ["show", key.id], ["disable", key.id]):
            out = keys(*arguments).out
            assert r"\x1b[2J\x9b31m\u202eevil\nline" in out
            assert all(line.isprintable() for line in out.splitlines())
        assert keys("list", "--json").out.isascii()


class TestShowing:
    def test_old_and_leaked_secrets_are_shown(self, issued: IssuedKey, internal: SurfaceClient) -> None:
        with travel(NOON, tick=False):
            current = services.rotate_key(actor=OPERATOR, key=issued.key, grace_seconds=3600).secret
            verification.verify(issued.secret, use=True)
            report = {"api_key": current, "where": "https://example.com/paste"}
            assert internal.send("POST", "/api/v2/auth/report-leaked-key", report).json()["success"]
            out = keys("show", "production").out

        old = f"mmc_…{keyformat.parse(issued.secret).hint}"
        assert re.search(
            f"^old secret +{old} good until 2026-01-31T13:00:00Z, last used 2026-01-31T12:00:00Z$", out, re.MULTILINE
        )
        leak = f"mmc_…{keyformat.parse(current).hint} reported 2026-01-31T12:00:00Z, seen at: https://example.com/paste"
        assert re.search(f"^leaked +{leak}$", out, re.MULTILINE)

    def test_old_secret_is_not_shown_after_its_grace_period(self, issued: IssuedKey) -> None:
        services.rotate_key(actor=OPERATOR, key=issued.key)

        assert "old secret" not in keys("show", "production").out

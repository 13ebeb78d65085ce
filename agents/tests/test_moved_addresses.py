"""A changed address needs its secrets again, so that a member cannot have the owner's key sent to another host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent_config.document import agent_defaults
from agent_config.secrets import opened
from agents.models import Template
from agents.tests.api import AgentApi
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.configs import MASK, Config, model, provider, secret_provider
from tests.support.people import Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

EVIL = "https://evil.example"
API_KEY = "config_overrides.model.api_providers[0].api_key"
OWNERS = model(api_providers=[secret_provider()])
TOKEN = "config_overrides.maim_message.auth_token"


def server(**fields: Any) -> Config:
    return {"config_overrides": {"maim_message": fields}}


class Place:
    """One of the stored configs, with functions that write and read it."""

    def __init__(self, write: Callable[[Config], Any], stored: Callable[[], Config], prefix: str = "") -> None:
        self.write, self.stored, self.prefix = write, stored, prefix

    def refused(self, config: Config, *paths: str) -> None:
        """Check for 400 AGENT_004 with exactly these paths, and that nothing is written."""
        before = self.stored()
        response = self.write(config)
        assert response.status_code == 400, response.content
        body = response.json()
        code, errors = (
            (body["code"], body["errors"]) if "code" in body else (body["error_code"], body["data"]["errors"])
        )
        assert (code, set(errors)) == ("AGENT_004", {f"{self.prefix}{path}" for path in paths})
        assert self.stored() == before


@pytest.fixture
def owner(alice: Person) -> AgentApi:
    """The API for Alice, who owns the tenant."""
    return AgentApi("v1", alice)


@pytest.fixture
def member(owner: AgentApi, bob: Person) -> AgentApi:
    """The API for Bob, a member, with an agent whose provider has Alice's key."""
    owner.create(OWNERS)
    api = owner.for_person(bob)
    api.tenant_id = owner.tenant_id
    return api


@pytest.fixture(params=["config", "PUT agent", "PATCH agent", "template", "tenant defaults"])
def place(request: pytest.FixtureRequest, owner: AgentApi, member: AgentApi) -> Place:
    """Each kind of stored config in turn, with Alice's key."""
    if request.param == "config":
        return Place(member.try_put, member.stored)
    if request.param.endswith("agent"):
        method, path = request.param.split()[0], f"/agents/{member.agent_id}"
        return Place(lambda config: member.send(method, path, {"config": config}), member.stored)
    if request.param == "template":
        template = owner.make_template(OWNERS)
        return Place(
            lambda config: member.send("PUT", f"/templates/{template}", {"config": config}),
            lambda: opened(Template.unscoped.get(pk=template).config),
        )
    owner.set_defaults(OWNERS)
    return Place(
        owner.try_set_defaults,
        lambda: opened(agent_defaults(Tenant.objects.get(pk=owner.tenant_id).tenant_config)),
        "tenant_config.agent_defaults.",
    )


class TestProviders:
    def test_another_address_with_the_masked_key_is_refused(self, place: Place) -> None:
        place.refused(model(api_providers=[provider(base_url=EVIL, api_key=MASK)]), API_KEY)

    @pytest.mark.parametrize("address", ["https://mine.example/", "HTTPS://mine.example", " https://mine.example"])
    def test_other_spelling_of_the_address_is_refused(self, place: Place, address: str) -> None:
        place.refused(model(api_providers=[provider(base_url=address, api_key=MASK)]), API_KEY)

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_removed_address_with_the_masked_key_is_refused(self, place: Place, nothing: str | None) -> None:
        place.refused(model(api_providers=[provider(base_url=nothing, api_key=MASK)]), API_KEY)

    def test_other_address_with_the_key_in_clear_is_accepted(self, place: Place) -> None:
        moved = model(api_providers=[provider(base_url=EVIL, api_key="sk-new")])

        assert place.write(moved).status_code == 200
        assert place.stored() == moved

    def test_other_address_without_a_key_is_accepted(self, place: Place) -> None:
        assert place.write(model(api_providers=[provider(base_url=EVIL, api_key=None)])).status_code == 200
        assert place.stored() == model(api_providers=[provider(base_url=EVIL)])

    def test_other_key_for_the_masked_address_is_accepted(self, place: Place) -> None:
        assert place.write(model(api_providers=[provider(base_url=MASK, api_key="sk-new")])).status_code == 200
        assert place.stored() == model(api_providers=[provider(base_url="https://mine.example", api_key="sk-new")])

    def test_the_same_address_in_clear_keeps_the_key(self, place: Place) -> None:
        same = model(api_providers=[provider(base_url="https://mine.example", api_key=MASK, timeout=5)])

        assert place.write(same).status_code == 200
        assert place.stored() == model(api_providers=[secret_provider() | {"timeout": 5}])

    @pytest.mark.parametrize("name", ["other", "Mine", "MINE", "mine "])
    def test_under_another_name_nothing_is_kept(self, place: Place, name: str) -> None:
        masked = provider(name, base_url=MASK, api_key=MASK)
        base_url = API_KEY.replace("api_key", "base_url")
        place.refused(model(api_providers=[masked]), base_url, API_KEY)
        place.refused(model(api_providers=[provider(name, base_url=EVIL, api_key=MASK)]), API_KEY)


class TestKeysThatAreNotSent:
    """A merge keeps the keys that it does not send."""

    def test_another_address_alone_is_refused(self, member: AgentApi) -> None:
        before = member.state()

        member.assert_error(member.try_put(model(api_providers=[provider(base_url=EVIL)])), 400, "AGENT_004", API_KEY)
        assert member.state() == before

    def test_a_first_address_for_a_stored_key_is_refused(self, owner: AgentApi) -> None:
        owner.create(model(api_providers=[provider(api_key="sk-mine")]))

        owner.assert_error(owner.try_put(model(api_providers=[provider(base_url=EVIL)])), 400, "AGENT_004", API_KEY)

    def test_error_has_the_path_in_the_stored_config(self, owner: AgentApi) -> None:
        owner.create(model(api_providers=[secret_provider("a"), secret_provider("b")]))

        response = owner.try_put(model(api_providers=[provider("c"), provider("a"), provider("b", base_url=EVIL)]))

        owner.assert_error(response, 400, "AGENT_004", "config_overrides.model.api_providers[2].api_key")

    def test_config_sent_back_as_read_is_accepted(self, member: AgentApi) -> None:
        before = member.state()

        member.put(member.get())

        assert member.state() == before

    def test_error_says_what_to_do(self, member: AgentApi) -> None:
        response = member.try_put(model(api_providers=[provider(base_url=EVIL)]))

        (sentence,) = response.json()["errors"][API_KEY]
        assert "send this secret anew" in sentence


class TestOperators:
    def test_the_internal_surface_may_move_a_key(self, member: AgentApi, internal: SurfaceClient) -> None:
        path = f"/api/v2/agents/{member.agent_id}/config"

        answer = internal.send("PUT", path, model(api_providers=[provider(base_url="https://new.example")]))

        assert answer.status_code == 200
        assert member.stored() == model(api_providers=[provider(base_url="https://new.example", api_key="sk-mine")])


class TestVersions:
    def test_a_version_comes_back_with_its_own_key(self, owner: AgentApi, bob: Person) -> None:
        mine = model(api_providers=[provider(base_url=EVIL, api_key="fake")])
        owner.create(mine)
        owner.put(OWNERS)
        member = owner.for_person(bob)

        member.data(member.restore(1))
        assert member.stored() == mine
        member.put(model(api_providers=[provider(base_url=MASK, api_key=MASK)]))
        assert member.stored() == mine

        member.data(member.restore(2))
        assert member.stored() == OWNERS
        member.assert_error(
            member.try_put(model(api_providers=[provider(base_url=EVIL, api_key=MASK)])), 400, "AGENT_004", API_KEY
        )


class TestOtherAddresses:
    @pytest.mark.parametrize("key", ["host", "ws_server_host", "url"])
    def test_a_servers_other_address_needs_its_tokens_anew(self, owner: AgentApi, key: str) -> None:
        owner.create(server(auth_token=["tok"], **{key: "10.0.0.1"}))

        owner.assert_error(owner.try_put(server(auth_token=MASK, **{key: "10.6.6.6"})), 400, "AGENT_004", TOKEN)
        owner.assert_error(owner.try_put(server(**{key: "10.6.6.6"})), 400, "AGENT_004", TOKEN)
        owner.put(server(auth_token=MASK, port=9, **{key: "10.0.0.1"}))
        owner.put(server(auth_token=["new"], **{key: "10.6.6.6"}))
        assert owner.stored() == server(auth_token=["new"], port=9, **{key: "10.6.6.6"})

    def test_tokens_of_other_servers_are_kept(self, owner: AgentApi) -> None:
        owner.create({**server(auth_token=["tok"], host="10.0.0.1"), "own": {"url": "https://a.example"}})

        assert owner.put({"own": {"url": "https://b.example"}})["own"] == {"url": "https://b.example"}

    @pytest.mark.parametrize(
        ("stored", "moved"),
        [
            ({"url": "https://a.example", "headers": {"X-Own": "t"}}, {"url": EVIL, "headers": {"X-Own": MASK}}),
            ({"command": "serve", "env": {"OWN": "t"}}, {"command": "curl", "env": {"OWN": MASK}}),
            ({"command": "serve", "args": ["-v"], "env": {"OWN": "t"}}, {"command": "serve", "env": {"OWN": MASK}}),
        ],
    )
    def test_a_tool_servers_other_address_needs_its_secrets_anew(
        self, owner: AgentApi, stored: Config, moved: Config
    ) -> None:
        config, sent = ({"config_overrides": {"mcp": {"servers": [{"name": "s", **each}]}}} for each in (stored, moved))
        owner.create(config)

        response = owner.try_put(sent)

        assert (response.status_code, response.json()["code"]) == (400, "AGENT_004")
        assert owner.stored() == config

"""Concurrent writes of one agent's config by several processes, which lose nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.server import ON_MARIADB, MaimServer, cluster
from tests.test_concurrency import PASSWORD, SendRequest, create_agent, create_tenant, send_at_once, statuses

WRITERS = 50
SUCCESS_OR_RETRY = {200, 503}  # 503 has a Retry-After
_numbers = itertools.count(1)


class SharedAgent:
    """One agent on both surfaces of one or two servers with one database."""

    def __init__(self, servers: Sequence[MaimServer], stack: ExitStack) -> None:
        self.v2 = [stack.enter_context(maim.client("internal")) for maim in servers]
        self.v1 = [stack.enter_context(maim.client()) for maim in servers]
        person = {"username": f"writer {next(_numbers)}", "password": PASSWORD}
        self.v1[0].post("/api/v1/auth/register", json=person)
        token = self.v1[0].post("/api/v1/auth/login", json=person).json()["access_token"]
        for client in self.v1:
            client.headers["Authorization"] = f"Bearer {token}"
        successful = self.v1[0].post("/api/v1/agents", json={"name": "bot"}).json()
        self.agent_id, self.tenant_id = successful["id"], successful["tenant_id"]

    def targets(self, path: str) -> Iterator[tuple[httpx.Client, str]]:
        """Yield each client in turn with the URL of a path of the agent."""
        v1, v2 = f"/api/v1/agents/{self.agent_id}{path}", f"/api/v2/agents/{self.agent_id}{path}"
        return itertools.cycle([(self.v1[0], v1), (self.v2[0], v2), (self.v2[-1], v2), (self.v1[-1], v1)])

    def puts(self, configs: Sequence[Any], **headers: str) -> list[SendRequest]:
        """Return a write of each config, each through the next client."""
        targets = self.targets("/config")
        return [_put(*next(targets), config, headers) for config in configs]

    def get(self, path: str) -> Any:
        response = self.v2[0].get(f"/api/v2/agents/{self.agent_id}/config{path}")
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def versions(self) -> list[dict[str, Any]]:
        """Return all versions with their configs, oldest first."""
        pages = [self.get(f"/versions?size=100&page={page}")["items"] for page in (1, 2)]
        numbers = [row["version"] for row in itertools.chain(*pages)]
        return [self.get(f"/versions/{number}") for number in reversed(numbers)]


def _put(client: httpx.Client, url: str, config: Any, headers: dict[str, str]) -> SendRequest:
    return lambda: client.put(url, json=config, headers=headers)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MaimServer]]:
    # Two machines; an embedded database is served by one alone.
    with cluster(tmp_path_factory.mktemp("writers"), "maim_writers", 2 if ON_MARIADB else 1) as servers:
        yield servers


@pytest.fixture
def shared_agent(servers: list[MaimServer]) -> Iterator[SharedAgent]:
    with ExitStack() as stack:
        yield SharedAgent(servers, stack)


def successful(responses: Sequence[httpx.Response], *others: int) -> list[httpx.Response]:
    """Return the successful responses. All others must have one of the other statuses, or a Retry-After."""
    assert set(statuses(responses)) <= SUCCESS_OR_RETRY | set(others), statuses(responses)
    assert all("Retry-After" in response.headers for response in responses if response.status_code == 503)
    return [response for response in responses if response.status_code == 200]


def test_each_of_50_writers_adds_its_key_and_one_version(shared_agent: SharedAgent) -> None:
    configs = [{f"key {number}": number} for number in range(WRITERS)]

    responses = send_at_once(shared_agent.puts(configs))

    done = successful(responses)
    stored = [config for config, response in zip(configs, responses, strict=True) if response.status_code == 200]
    assert len(done) > WRITERS / 2
    assert shared_agent.get("") == {key: value for config in stored for key, value in config.items()}
    versions = shared_agent.versions()
    assert [row["version"] for row in versions] == list(range(1, len(done) + 2))
    assert sorted(int(response.headers["ETag"].strip('"')) for response in done) == list(range(2, len(done) + 2))
    for before, after in itertools.pairwise(versions):
        (change,) = after["changes"]
        assert after["config"] == {**before["config"], change["path"][1:]: change["value"]}


def test_one_of_50_writes_with_the_same_version_succeeds(shared_agent: SharedAgent) -> None:
    configs = [{f"key {number}": number} for number in range(WRITERS)]

    responses = send_at_once(shared_agent.puts(configs, **{"If-Match": '"1"'}))

    (winner,) = successful(responses, 412)
    assert statuses(responses)[412] > WRITERS / 2
    assert shared_agent.get("") == configs[responses.index(winner)]
    assert [row["version"] for row in shared_agent.versions()] == [1, 2]


@pytest.mark.parametrize("kind", ["tenants", "agents", "api-keys", "templates"])
def test_one_of_20_writes_with_the_same_revision_succeeds(shared_agent: SharedAgent, kind: str) -> None:
    body = {"tenant_id": shared_agent.tenant_id, "name": "contested"}
    key = shared_agent.v2[0].post("/api/v2/api-keys", json={**body, "agent_id": shared_agent.agent_id}).json()["data"]
    template = shared_agent.v2[0].post("/api/v2/templates", json=body).json()["data"]
    ids = {"tenants": shared_agent.tenant_id, "agents": shared_agent.agent_id, "api-keys": key["api_key_id"]}
    url = f"/api/v2/{kind}/{ids.get(kind, template['id'])}"
    before = shared_agent.v2[0].get(url)
    precondition = {"If-Match": before.headers["ETag"]}

    clients = itertools.cycle(shared_agent.v2)
    responses = send_at_once(
        [_put(next(clients), url, {"description": f"writer {n}"}, precondition) for n in range(20)]
    )

    (winner,) = successful(responses, 412)
    after = shared_agent.v2[0].get(url).json()["data"]
    assert after["description"] == f"writer {responses.index(winner)}"
    assert after["revision"] == before.json()["data"]["revision"] + 1


def test_writers_that_read_again_after_412_lose_nothing(shared_agent: SharedAgent) -> None:
    """Ten writers increment one number, each three times."""

    def count_up(client: httpx.Client, url: str) -> Callable[[], httpx.Response]:
        def increment() -> httpx.Response:
            response = client.get(url)
            for _ in range(3):
                while True:
                    response = client.get(url)
                    config = response.json().get("data") if "v2" in url else response.json()
                    headers = {"If-Match": response.headers["ETag"]}
                    response = client.put(url, json={"n": config.get("n", 0) + 1}, headers=headers)
                    if response.status_code == 200:
                        break
                    assert response.status_code in (412, 503), response.text
            return response

        return increment

    send_at_once([count_up(*target) for target in itertools.islice(shared_agent.targets("/config"), 10)])

    assert shared_agent.get("") == {"n": 30}
    assert [row["config"].get("n", 0) for row in shared_agent.versions()] == list(range(31))


def test_equal_writes_make_one_version(shared_agent: SharedAgent) -> None:
    responses = send_at_once(shared_agent.puts([{"a": 1}] * WRITERS))

    assert {response.headers["ETag"] for response in successful(responses)} == {'"2"'}
    assert [row["version"] for row in shared_agent.versions()] == [1, 2]


def test_concurrent_writes_restores_and_changes_of_layers_are_consistent(shared_agent: SharedAgent) -> None:
    v2 = shared_agent.v2
    body = {"name": "theirs", "tenant_id": shared_agent.tenant_id, "config": {"layer": 0}}
    template = v2[0].post("/api/v2/templates", json=body).json()["data"]["id"]
    send_at_once(shared_agent.puts([{"template": 1}]))
    agent, tenant = f"/api/v2/agents/{shared_agent.agent_id}", f"/api/v2/tenants/{shared_agent.tenant_id}"
    requests = shared_agent.puts([{f"key {number}": number} for number in range(15)])
    for number in range(8):
        client, other = v2[number % len(v2)], v2[(number + 1) % len(v2)]
        defaults = {"tenant_config": {"agent_defaults": {"tenant": number}}}
        requests += [
            partial(client.post, f"{agent}/config/restore", json={"version": 1}),
            partial(other.put, f"/api/v2/templates/{template}", json={"config": {"layer": number}}),
            partial(client.put, tenant, json=defaults),
            partial(other.put, agent, json={"template_id": template if number % 2 else None}),
        ]
    random.Random(4).shuffle(requests)

    responses = send_at_once(requests)

    assert len(successful(responses)) > len(requests) / 2
    versions = shared_agent.versions()
    assert [row["version"] for row in versions] == list(range(1, len(versions) + 1))
    assert shared_agent.get("") == versions[-1]["config"]
    effective = shared_agent.get("/effective")
    assert effective["version"] == len(versions)
    assert effective["config"] == {**effective["config"], **versions[-1]["config"]}


def test_agent_deleted_during_writes_leaves_no_version(servers: list[MaimServer]) -> None:
    deleted = [_delete_during_writes(servers, position) for position in (0, 3, 6, 9)]

    count = f"from agents.models import *; print(ConfigVersion.unscoped.filter(agent_id__in={deleted}).count())"
    assert servers[0].manage("shell", "--no-imports", "-c", count).strip() == "0"


def _delete_during_writes(servers: Sequence[MaimServer], position: int) -> str:
    """Delete an agent at a position among ten writes of its config, and return its id."""
    with servers[0].client("internal") as v2, servers[-1].client("internal") as other:
        agent_id = create_agent(v2, create_tenant(v2, f"deleted {next(_numbers)}"))
        url = f"/api/v2/agents/{agent_id}"
        requests: list[SendRequest] = [
            _put(client, f"{url}/config", {"a": n}, {}) for n, client in enumerate([v2, other] * 5)
        ]
        requests.insert(position, lambda: v2.delete(url))

        responses = send_at_once(requests)

        successful(responses, 404)
        assert responses[position].status_code == 200
        assert v2.get(f"{url}/config").status_code == 404
    return agent_id

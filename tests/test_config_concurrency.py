"""Concurrent writes of one agent's config, over real sockets and through several processes, lose nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.support.server import MaimServer, cluster
from tests.test_concurrency import PASSWORD, Send, at_once, create_agent, create_tenant, statuses

WRITERS = 50
MAY_WAIT = {200, 503}  # 503 says when to try again
_numbers = itertools.count(1)


class Api:
    """One agent, behind both surfaces of two servers on one database."""

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

    def all(self, path: str) -> Iterator[tuple[httpx.Client, str]]:
        """Yield the surfaces in turn, each with the URL of the agent on it."""
        v1, v2 = f"/api/v1/agents/{self.agent_id}{path}", f"/api/v2/agents/{self.agent_id}{path}"
        return itertools.cycle([(self.v1[0], v1), (self.v2[0], v2), (self.v2[1], v2), (self.v1[1], v1)])

    def puts(self, configs: Sequence[Any], **headers: str) -> list[Send]:
        """Write each config, each through the next surface."""
        api = self.all("/config")
        return [_put(*next(api), config, headers) for config in configs]

    def get(self, path: str) -> Any:
        answer = self.v2[0].get(f"/api/v2/agents/{self.agent_id}/config{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def versions(self) -> list[dict[str, Any]]:
        """Oldest first, each with its config."""
        pages = [self.get(f"/versions?size=100&page={page}")["items"] for page in (1, 2)]
        numbers = [row["version"] for row in itertools.chain(*pages)]
        return [self.get(f"/versions/{number}") for number in reversed(numbers)]


def _put(client: httpx.Client, url: str, config: Any, headers: dict[str, str]) -> Send:
    return lambda: client.put(url, json=config, headers=headers)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MaimServer]]:
    with cluster(tmp_path_factory.mktemp("writers"), "maim_writers", 2) as both:
        yield both


@pytest.fixture
def api(servers: list[MaimServer]) -> Iterator[Api]:
    with ExitStack() as stack:
        yield Api(servers, stack)


def successful(answers: Sequence[httpx.Response], *others: int) -> list[httpx.Response]:
    """Return the successful responses. All others must have one of the other statuses, or a Retry-After."""
    assert set(statuses(answers)) <= MAY_WAIT | set(others), statuses(answers)
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    return [answer for answer in answers if answer.status_code == 200]


def test_each_of_50_writers_leaves_its_key_and_one_version(api: Api) -> None:
    configs = [{f"key {number}": number} for number in range(WRITERS)]

    answers = at_once(api.puts(configs))

    done = successful(answers)
    kept = [config for config, answer in zip(configs, answers, strict=True) if answer.status_code == 200]
    assert len(done) > WRITERS / 2
    assert api.get("") == {key: value for config in kept for key, value in config.items()}
    versions = api.versions()
    assert [row["version"] for row in versions] == list(range(1, len(done) + 2))
    assert sorted(int(answer.headers["ETag"].strip('"')) for answer in done) == list(range(2, len(done) + 2))
    for before, after in itertools.pairwise(versions):
        (change,) = after["changes"]
        assert after["config"] == {**before["config"], change["path"][1:]: change["value"]}


def test_one_of_50_writers_with_the_same_version_succeeds(api: Api) -> None:
    configs = [{f"key {number}": number} for number in range(WRITERS)]

    answers = at_once(api.puts(configs, **{"If-Match": '"1"'}))

    (winner,) = successful(answers, 412)
    assert statuses(answers)[412] > WRITERS / 2
    assert api.get("") == configs[answers.index(winner)]
    assert [row["version"] for row in api.versions()] == [1, 2]


@pytest.mark.parametrize("kind", ["tenants", "agents", "api-keys", "templates"])
def test_one_of_20_writers_with_the_same_revision_succeeds(api: Api, kind: str) -> None:
    of_tenant = {"tenant_id": api.tenant_id, "name": "contested"}
    key = api.v2[0].post("/api/v2/api-keys", json={**of_tenant, "agent_id": api.agent_id}).json()["data"]
    template = api.v2[0].post("/api/v2/templates", json=of_tenant).json()["data"]
    ids = {"tenants": api.tenant_id, "agents": api.agent_id, "api-keys": key["api_key_id"]}
    url = f"/api/v2/{kind}/{ids.get(kind, template['id'])}"
    before = api.v2[0].get(url)
    seen = {"If-Match": before.headers["ETag"]}

    clients = itertools.cycle(api.v2)
    answers = at_once([_put(next(clients), url, {"description": f"writer {n}"}, seen) for n in range(20)])

    (winner,) = successful(answers, 412)
    after = api.v2[0].get(url).json()["data"]
    assert after["description"] == f"writer {answers.index(winner)}"
    assert after["revision"] == before.json()["data"]["revision"] + 1


def test_writers_that_retry_after_412_lose_nothing(api: Api) -> None:
    """Ten count up one number, each five times."""

    def count_up(client: httpx.Client, url: str) -> Callable[[], httpx.Response]:
        def five_times() -> httpx.Response:
            answer = client.get(url)
            for _ in range(5):
                while True:
                    answer = client.get(url)
                    config = answer.json().get("data") if "v2" in url else answer.json()
                    headers = {"If-Match": answer.headers["ETag"]}
                    answer = client.put(url, json={"n": config.get("n", 0) + 1}, headers=headers)
                    if answer.status_code == 200:
                        break
                    assert answer.status_code in (412, 503), answer.text
            return answer

        return five_times

    at_once([count_up(*door) for door in itertools.islice(api.all("/config"), 10)])

    assert api.get("") == {"n": 50}
    assert [row["config"].get("n", 0) for row in api.versions()] == list(range(51))


def test_equal_writes_make_one_version(api: Api) -> None:
    answers = at_once(api.puts([{"a": 1}] * WRITERS))

    assert {answer.headers["ETag"] for answer in successful(answers)} == {'"2"'}
    assert [row["version"] for row in api.versions()] == [1, 2]


def test_concurrent_writes_restores_and_layer_changes_all_succeed(api: Api) -> None:
    v2 = api.v2
    body = {"name": "theirs", "tenant_id": api.tenant_id, "config": {"layer": 0}}
    template = v2[0].post("/api/v2/templates", json=body).json()["data"]["id"]
    at_once(api.puts([{"template": 1}]))
    agent, tenant = f"/api/v2/agents/{api.agent_id}", f"/api/v2/tenants/{api.tenant_id}"
    sends = api.puts([{f"key {number}": number} for number in range(15)])
    for number in range(8):
        client, other = v2[number % 2], v2[(number + 1) % 2]
        defaults = {"tenant_config": {"agent_defaults": {"tenant": number}}}
        sends += [
            lambda c=client: c.post(f"{agent}/config/restore", json={"version": 1}),  # type: ignore[misc]
            lambda c=other, n=number: c.put(f"/api/v2/templates/{template}", json={"config": {"layer": n}}),  # type: ignore[misc]
            lambda c=client, d=defaults: c.put(tenant, json=d),  # type: ignore[misc]
            lambda c=other, n=number: c.put(agent, json={"template_id": template if n % 2 else None}),  # type: ignore[misc]
        ]
    random.Random(4).shuffle(sends)

    answers = at_once(sends)

    assert len(successful(answers)) > len(sends) / 2
    versions = api.versions()
    assert [row["version"] for row in versions] == list(range(1, len(versions) + 1))
    assert api.get("") == versions[-1]["config"]
    effective = api.get("/effective")
    assert effective["version"] == len(versions)
    assert effective["config"] == {**effective["config"], **versions[-1]["config"]}


@pytest.mark.parametrize("number", range(4))
def test_agent_deleted_meanwhile_leaves_no_version(servers: list[MaimServer], number: int) -> None:
    with servers[0].client("internal") as v2, servers[1].client("internal") as other:
        tenant_id = create_tenant(v2, f"deleted {next(_numbers)}")
        url = f"/api/v2/agents/{create_agent(v2, tenant_id)}"
        sends: list[Send] = [_put(client, f"{url}/config", {"a": n}, {}) for n, client in enumerate([v2, other] * 5)]
        sends.insert(number * 3, lambda: v2.delete(url))

        answers = at_once(sends)

        successful(answers, 404)
        assert answers[number * 3].status_code == 200
        assert v2.get(f"{url}/config").status_code == 404
        agent_id = url.rpartition("/")[2]
        count = f"from agents.models import *; print(ConfigVersion.unscoped.filter(agent_id='{agent_id}').count())"
        assert servers[0].manage("shell", "--no-imports", "-c", count).strip() == "0"

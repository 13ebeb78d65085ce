"""The worst case of each endpoint, which takes at most a second of processor time (docs/threat-model.md).

Each case is the worst that was found for an endpoint at the documented sizes. The tests measure the processor time
of the responding thread, so that a busy machine does not matter. Most cases take a tenth of the bound.
"""

from __future__ import annotations

import gc
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psutil
import pytest

from agent_config import secrets
from agent_config.validators import MAX_BYTES, MAX_LEAVES
from agents.config_warnings import MAX_LISTED_VALUES
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from core.http.surfaces import INTERNAL, PUBLIC
from maim.server.worker import GC_THRESHOLD
from tenants.models import Tenant
from tests.support.client import SurfaceClient
from tests.support.instances import WAIT
from tests.support.people import Person, make_agent, make_key
from tests.support.server import MaimServer

pytestmark = [pytest.mark.heavy, pytest.mark.embedded]

MAX_SECONDS = 1.0
# What adding a million numbers takes a machine of usual speed.
USUAL_SECONDS_OF_A_SUM = 0.011
# Parsing a mebibyte of tiny values takes a quarter of a second, and twice that on a busy machine.
MAX_SECONDS_OF_BODIES = 2.0
# A page of a hundred of the largest configs, 25 MB of JSON, takes 0.3 to 0.9 seconds, and over twice that on a busy
# machine. A quarter of such a page shows the same.
PAGE = 25
MAX_SECONDS_OF_PAGES = 2.0 * PAGE / 100
Config = dict[str, Any]
MOST_WARNINGS = "most warnings"
TASKS = ("replyer", "planner", "tool_use", "utils", "utils_small", "vlm", "voice", "embedding", "lpmm_qa")


# ---- configs of the largest size, each with another difficulty


def model(**section: Any) -> Config:
    return {"config_overrides": {"model": section}}


def named_models(prefix: str = "m") -> Config:
    return model(models=[{"name": f"{prefix}{number}é{'x' * 20}"} for number in range(4900)])


def providers() -> Config:
    secret = "sk-0123456789abcdef"  # invented
    return model(
        api_providers=[
            {"name": f"p{number}", "api_key": secret, "base_url": f"https://{number}.example.com"}
            for number in range(1600)
        ]
    )


def many_keys(value: int = 1) -> Config:
    return {f"key {number} ~/é": value for number in range(4990)}


def shuffled(seed: int = 1) -> Config:
    texts = [f"text {number}" for number in range(4990)]
    random.Random(seed).shuffle(texts)  # the same in every run
    return {"texts": texts}


def shuffled_objects(seed: int = 1) -> Config:
    return {"objects": [{"text": text} for text in shuffled(seed)["texts"]]}


def long_keys(value: int = 1) -> Config:
    """Return 26 levels of long keys: each of 4,900 pointers to a leaf is nearly as long as the config."""
    config: Config = {f"k{number}": value for number in range(4900)}
    for number in range(26):
        config = {chr(ord("a") + number) * 7000: config}
    return config


def deep(value: int = 1) -> Config:
    config: Config = {}
    for number in range(180):
        member: Any = value
        for _level in range(13):
            member = {"k": [member]}
        config[f"branch {number}"] = member
    return config


def many_secrets() -> Config:
    """Return a config with the highest number of values, all of them secrets in one object."""
    return {"tokens": {f"k{number}": "s" for number in range(MAX_LEAVES - 100)}}


def scattered_secrets() -> Config:
    """Return a config with half secrets, and half addresses, each of which belongs to all secrets."""
    services = {f"service {number}": {"token": "s"} for number in range(1600)}
    return {"own": {**services, **{f"connection {number}": {"url": "u"} for number in range(1600)}}}


def deep_addresses(value: str = "u") -> Config:
    """Return a config with as many secrets as fit, and addresses in each of 24 objects around them."""
    config: Config = {f"key {number}": {"api_key": "s"} for number in range(800)}
    for number in range(24):
        config = {"abc"[number % 3] * 100: config, **{f"url{each}": value for each in range(100)}}
    return config


def wrong_values() -> Config:
    wrong = {"ban_words": [1] * 4990}
    return {"config_overrides": {"message_receive": wrong, "experimental": {"chat_prompts": ["x"] * 4990}}}


def odd_values(value: int = 1) -> Config:
    return {"config_overrides": {"message_receive": {"ban_words": [value] * 4990}}}


def most_warnings() -> Config:
    """Return a config with as many odd values as the listing of warnings examines."""
    return {"config_overrides": {"message_receive": {"ban_words": [1] * MAX_LISTED_VALUES}}}


def unknown_models() -> Config:
    return model(model_task_config={task: {"model_list": [f"x{number}" for number in range(550)]} for task in TASKS})


def regexes() -> Config:
    patterns = ["(?i)" + f"[一-龥]{{2}}[^a{number}]?" * 28 for number in range(20)]
    return {"config_overrides": {"message_receive": {"ban_msgs_regex": patterns}}}


CONFIGS: dict[str, tuple[Callable[[], Config], Callable[[], Config]]] = {
    "named models": (named_models, lambda: named_models("n")),
    "secrets": (providers, providers),
    "many keys": (many_keys, lambda: many_keys(2)),
    "a shuffled list": (shuffled, lambda: shuffled(2)),
    "shuffled objects": (shuffled_objects, lambda: shuffled_objects(2)),
    "long keys": (long_keys, lambda: long_keys(2)),
    "deep nesting": (deep, lambda: deep(2)),
    "wrong values": (dict, wrong_values),
    "odd values": (odd_values, lambda: odd_values(2)),
    "unknown models": (dict, unknown_models),
    "regexes": (dict, regexes),
    "many secrets": (many_secrets, many_secrets),
    "scattered secrets": (scattered_secrets, scattered_secrets),
    "deep addresses": (deep_addresses, lambda: deep_addresses("v")),
}


# ---- data


class Data(NamedTuple):
    """Alice and her agent."""

    alice: Person
    agent: Agent

    def store(self, config: Config) -> int:
        """Store a config of the agent without validation, and return its version."""
        Agent.unscoped.filter(pk=self.agent.pk).update(config=secrets.sealed(config, {}))
        return 1

    def versions(self, *configs: Config) -> None:
        """Store configs as the versions from 101."""
        for number, config in enumerate(configs, 101):
            sealed = secrets.sealed(config, {})
            version = {"agent": self.agent, "tenant": self.alice.tenant, "author_kind": "user", "author": "alice"}
            ConfigVersion.unscoped.create(number=number, config=sealed, patch=[], **version)


@pytest.fixture
def data(alice: Person) -> Data:
    return Data(alice, make_agent(alice.tenant))


@pytest.fixture(scope="module", autouse=True)
def _collected_as_in_a_worker() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # so that a collection looks through what the tests made, and no more
    gc.set_threshold(GC_THRESHOLD)
    yield
    gc.set_threshold(*before)


@pytest.fixture(autouse=True)
def _nothing_is_left_to_collect_of_the_test_before() -> None:
    gc.collect()


def cpu_seconds(client: SurfaceClient, method: str, path: str, body: Any = None, **extra: Any) -> float:
    """Send a request, and return the processor time of its response, which must not be a server error.

    The seconds are those of a machine of usual speed.
    """
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    )
    kind = extra.pop("content_type", "application/json")
    began = time.thread_time()
    response = client.generic(method, path, content, kind, **extra)
    taken = time.thread_time() - began
    assert response.status_code < 500, response.content[:300]
    return taken / slowness()


def slowness() -> float:
    """Return how many times slower this machine is now than one of usual speed; 1 if it is not."""
    began = time.thread_time()
    sum(range(1_000_000))
    return max(1.0, (time.thread_time() - began) / USUAL_SECONDS_OF_A_SUM)


CONFIG_REQUESTS: dict[str, Callable[[Data, Config], tuple[SurfaceClient, str, str, Any]]] = {
    "explain": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}/config/effective?explain=1", None),
    "reveal": lambda d, _: (
        SurfaceClient(INTERNAL),
        "GET",
        f"/api/v2/agents/{d.agent.id}/config/effective?explain=1&reveal_secrets=1",
        None,
    ),
    "effective": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}/config/effective", None),
    "read": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}/config", None),
    "agent": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}", None),
    "replace": lambda d, new: (d.alice.client, "PUT", f"/api/v1/agents/{d.agent.id}/config?replace=1", new),
    "merge": lambda d, new: (d.alice.client, "PUT", f"/api/v1/agents/{d.agent.id}/config", new),
    "diff": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}/config/diff?from=101&to=102", None),
    "restore": lambda d, _: (d.alice.client, "POST", f"/api/v1/agents/{d.agent.id}/config/restore", {"version": 102}),
    "export": lambda d, _: (d.alice.client, "GET", f"/api/v1/agents/{d.agent.id}/export?format=toml", None),
    "duplicate": lambda d, _: (d.alice.client, "POST", f"/api/v1/agents/{d.agent.id}/duplicate", {}),
    "import": lambda d, new: (
        d.alice.client,
        "POST",
        "/api/v1/agents/import",
        {"maim_export": 1, "name": "twin", "config": new},
    ),
    "template": lambda d, new: (d.alice.client, "POST", "/api/v1/templates", {"name": "template", "config": new}),
    "tenant defaults": lambda d, new: (
        d.alice.client,
        "PUT",
        f"/api/v1/tenants/{d.alice.tenant.id}",
        {"tenant_config": {"agent_defaults": new}},
    ),
}


class TestConfigs:
    @pytest.mark.parametrize("title", CONFIGS)
    def test_config_has_an_accepted_size(self, title: str) -> None:
        for make in CONFIGS[title]:
            assert len(json.dumps(make(), ensure_ascii=False).encode()) < MAX_BYTES

    @pytest.mark.parametrize("title", CONFIGS)
    def test_no_request_takes_long(self, title: str, data: Data) -> None:
        before, after = (make() for make in CONFIGS[title])
        data.versions(before, after)
        data.store(before)
        stored = Agent.unscoped.filter(pk=data.agent.pk)
        sealed, taken = stored.get().config, {}
        for name, request in CONFIG_REQUESTS.items():
            stored.update(config=sealed)
            taken[name] = cpu_seconds(*request(data, after))

        assert {name: each for name, each in taken.items() if each > MAX_SECONDS} == {}

    def test_names_in_agent_and_template_take_no_longer(self, data: Data) -> None:
        template = Template.unscoped.create(
            tenant=data.alice.tenant,
            tenant_scope=data.alice.tenant.id,
            name="template",
            name_folded="template",
            config=named_models("t"),
        )
        Agent.unscoped.filter(pk=data.agent.pk).update(template=template)
        data.versions(named_models())
        for new in (named_models("n"), named_models("t")):
            for name in ("explain", "reveal", "effective", "replace", "merge"):
                data.store(named_models())
                assert cpu_seconds(*CONFIG_REQUESTS[name](data, new)) < MAX_SECONDS, name

    @pytest.mark.parametrize("make", [scattered_secrets, deep_addresses])
    def test_secrets_in_every_layer_take_no_longer(self, make: Callable[[], Config], data: Data) -> None:
        template = Template.unscoped.create(
            tenant=data.alice.tenant,
            tenant_scope=data.alice.tenant.id,
            name="template",
            name_folded="template",
            config=make(),
        )
        Agent.unscoped.filter(pk=data.agent.pk).update(template=template)
        Tenant.objects.filter(pk=data.alice.tenant.pk).update(
            tenant_config={"agent_defaults": secrets.sealed(make(), {})}
        )
        data.store(make())
        for name in ("explain", "reveal", "effective", "merge"):
            assert cpu_seconds(*CONFIG_REQUESTS[name](data, {"own": {"speed": 1}})) < MAX_SECONDS, name

    def test_patch_of_long_keys_is_no_larger_than_the_configs(self, data: Data) -> None:
        data.versions(long_keys(1), long_keys(2))
        response = data.alice.client.get(f"/api/v1/agents/{data.agent.id}/config/diff?from=101&to=102")

        assert len(response.content) < 2 * MAX_BYTES

    def test_sources_of_long_keys_are_small(self, data: Data) -> None:
        data.store(long_keys())
        response = data.alice.client.get(f"/api/v1/agents/{data.agent.id}/config/effective?explain=1")

        assert len(response.content) < 4 * MAX_BYTES


# ---- bodies of one mebibyte, which are refused


def repeat_to_one_mebibyte(prefix: str, unit: str, suffix: str) -> bytes:
    """Repeat the unit until the body has one mebibyte."""
    number = (1024 * 1024 - len(prefix) - len(suffix)) // len(unit)
    return (prefix + (unit * number).rstrip(",") + suffix).encode()


BODIES: dict[str, tuple[str, str, str, str, str]] = {
    "keys to validate": ("internal", "POST", "/api/v2/auth/validate-api-keys", '{"items":[', "]}"),
    "keys to disable": ("public", "POST", "/api/v1/api-keys/disable", '{"api_key_ids":[', "]}"),
    "tags": ("public", "POST", "/api/v1/agents", '{"name":"x","tags":[', "]}"),
    "plugins": ("public", "POST", "/api/v1/agents/import", '{"maim_export":1,"name":"x","plugins":[', "]}"),
    "permissions": ("public", "PUT", "/api/v1/api-keys/{key}", '{"permissions":[', "]}"),
    "networks": ("public", "PUT", "/api/v1/api-keys/{key}", '{"allowed_networks":[', "]}"),
    "metadata": ("public", "PUT", "/api/v1/api-keys/{key}", '{"metadata":{"a":[', "]}}"),
    "config": ("public", "PUT", "/api/v1/agents/{agent}/config", '{"a":[', "]}"),
    "models": (
        "public",
        "PUT",
        "/api/v1/agents/{agent}/config",
        '{"config_overrides":{"model":{"models":[',
        "]}}}",
    ),
    "plugin": (
        "public",
        "POST",
        "/api/v1/plugins/settings?agent_id={agent}",
        '{"plugin_name":"x","enabled":true,"config":{"a":[',
        "]}}",
    ),
    "tenant": ("public", "PUT", "/api/v1/tenants/{tenant}", '{"tenant_config":{"a":[', "]}}"),
    "usage log": ("internal", "POST", "/api/v1/usage/log", '{"action":"x","details":{"a":[', "]}}"),
}
UNITS = {"objects": "{},", "numbers": "1,", "texts": '"",', "names": '{"name":"a"},', "nesting": "[[[[[[[[]]]]]]]],"}
# The parts of a bot's file whose repetition takes the parser or the import longest.
TOML_UNITS = {
    "numbers": ("a = [", "%d,", "]"),
    "tables": ("", "[a.b.c.d.k%d]\n", ""),
    "dotted keys": ("[b.b.b.b.b.b.b]\n", ".".join("a" * 15) + ".k%d = 1\n", ""),
    "tasks": ("", '[model.t%d]\nname = "a"\ntemp = 1\n', ""),
    "repairs": ("", '[[models]]\nname = "m%d"\nprice_in = "1"\n', ""),
    "regexes": ("[message_receive]\nban_msgs_regex = [", '"(a+)+%d",', "]"),
    "a long word": ("a", "%d", " = 1"),
}


class TestBodies:
    @pytest.mark.parametrize("title", BODIES)
    def test_no_body_of_one_mebibyte_takes_long(self, title: str, data: Data) -> None:
        surface, method, path, prefix, suffix = BODIES[title]
        client = data.alice.client if surface == "public" else SurfaceClient(INTERNAL)
        key = make_key(data.agent).key
        url = path.format(agent=data.agent.id, key=key.id, tenant=data.alice.tenant.id)
        taken = {
            name: cpu_seconds(client, method, url, repeat_to_one_mebibyte(prefix, unit, suffix))
            for name, unit in UNITS.items()
        }

        assert {name: each for name, each in taken.items() if each > MAX_SECONDS_OF_BODIES} == {}

    @pytest.mark.parametrize("unit", TOML_UNITS)
    def test_no_file_of_a_bot_takes_long(self, unit: str, data: Data) -> None:
        head, item, tail = TOML_UNITS[unit]
        number = (128 * 1024 - len(head) - len(tail)) // len(item % 10_000)
        text = head + "".join(item % each for each in range(10_000, 10_000 + number)) + tail
        document = {"format": "maibot", "name": "twin", "bot": text, "model": text}

        assert cpu_seconds(data.alice.client, "POST", "/api/v1/agents/import?dry_run=1", document) < MAX_SECONDS

    def test_import_of_a_thousand_plugins_does_not_take_long(self, data: Data) -> None:
        plugins = [
            {"plugin_name": f"plugin {number}", "enabled": True, "config": {str(each): each for each in range(90)}}
            for number in range(950)
        ]
        document = {"maim_export": 1, "name": "twin", "plugins": plugins}

        assert cpu_seconds(data.alice.client, "POST", "/api/v1/agents/import", document) < MAX_SECONDS
        assert PluginSetting.unscoped.count() == 950

    def test_no_document_of_secrets_takes_long(self, data: Data) -> None:
        """Each of them is sealed, and opened for each service that reads a tenant."""
        config = {"token": {f"{number:x}": "x" for number in range(80_000)}}
        plugin = {"plugin_name": "plugin", "enabled": True, "config": config}
        tenant = {"tenant_name": "another", "tenant_type": "enterprise", "tenant_config": config}
        requests = [
            ("PUT", f"/api/v1/tenants/{data.alice.tenant.id}", {"tenant_config": config}),
            ("POST", "/api/v1/tenants", tenant),
            ("POST", "/api/v1/plugins/settings", plugin),
            ("POST", "/api/v1/agents/import", {"maim_export": 1, "name": "twin", "plugins": [plugin]}),
        ]
        taken = {
            f"{method} {path}": cpu_seconds(
                data.alice.client, method, path, json.dumps(body, separators=(",", ":")).encode()
            )
            for method, path, body in requests
        }

        assert {name: each for name, each in taken.items() if each > MAX_SECONDS} == {}

    @pytest.mark.parametrize("body", [b"x=1&" * 260_000, b"username=" + b"%C3%A9" * 170_000], ids=["fields", "text"])
    def test_no_form_at_login_takes_long(self, body: bytes, db: None) -> None:
        form = "application/x-www-form-urlencoded"

        assert cpu_seconds(SurfaceClient(PUBLIC), "POST", "/api/v1/auth/login", body, content_type=form) < MAX_SECONDS

    @pytest.mark.parametrize("name", ["ﷺ" * 300_000, "a" + "\u0301\u0323" * 240_000, "a" + "\u0301\u0323" * 49])
    def test_name_that_folds_slowly_does_not_take_long(self, name: str, data: Data) -> None:
        assert cpu_seconds(data.alice.client, "POST", "/api/v1/agents", {"name": name}) < MAX_SECONDS


# ---- pages, headers, queries


class TestPages:
    @pytest.mark.parametrize("title", ["named models", "deep nesting", "scattered secrets", MOST_WARNINGS])
    def test_no_page_of_the_largest_configs_takes_long(self, title: str, data: Data) -> None:
        config, tenant = most_warnings() if title == MOST_WARNINGS else CONFIGS[title][0](), data.alice.tenant
        agents = [Agent(tenant=tenant, config=config) for _number in range(PAGE - 1)]
        templates = [Template(tenant=tenant, tenant_scope=tenant.id, config=config) for _number in range(PAGE)]
        rows: list[Agent | Template] = [*agents, *templates]
        for number, row in enumerate(rows):
            row.set_name(f"row {number}")
        Agent.unscoped.bulk_create(agents)
        Template.unscoped.bulk_create(templates)
        internal = SurfaceClient(INTERNAL)

        assert cpu_seconds(data.alice.client, "GET", "/api/v1/agents?q=row") < MAX_SECONDS_OF_PAGES
        assert cpu_seconds(internal, "GET", f"/api/v2/agents?tenant_id={tenant.id}&size={PAGE}") < MAX_SECONDS_OF_PAGES
        assert cpu_seconds(data.alice.client, "GET", "/api/v1/templates") < MAX_SECONDS_OF_PAGES
        assert cpu_seconds(internal, "GET", f"/api/v2/templates?size={PAGE}") < MAX_SECONDS_OF_PAGES

    def test_no_page_of_the_largest_patches_takes_long(self, data: Data) -> None:
        patch = [{"op": "replace", "path": f"/key{number}", "value": number} for number in range(MAX_LEAVES)]
        ConfigVersion.unscoped.bulk_create(
            ConfigVersion(
                agent=data.agent, tenant=data.alice.tenant, number=number, config={}, patch=patch, author_kind="user"
            )
            for number in range(101, 201)
        )
        path = f"agents/{data.agent.id}/config/versions"

        assert cpu_seconds(data.alice.client, "GET", f"/api/v1/{path}") < MAX_SECONDS
        assert cpu_seconds(SurfaceClient(INTERNAL), "GET", f"/api/v2/{path}?size=100") < MAX_SECONDS


HEADERS = {
    "X-Forwarded-For": "127.0.0.1," * 6000,
    "If-None-Match": '"a",' * 16_000,
    "If-Match": "," * 60_000,
    "Cookie": "a=1; " * 12_000,
    "Accept-Language": "a-b;q=0.5," * 6000,
    "Authorization": "Bearer " + "a." * 30_000,
    "Host": "a" * 60_000 + ":",
    "Origin": "http://" + "[" * 60_000,
    "X-Request-ID": "a" * 60_000,
}


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_takes_long(name: str, data: Data) -> None:
    variable = f"HTTP_{name.upper().replace('-', '_')}"
    path = f"/api/v1/agents/{data.agent.id}/config"

    assert cpu_seconds(data.alice.client, "PUT", path, {"a": 1}, **{variable: HEADERS[name]}) < MAX_SECONDS
    assert cpu_seconds(data.alice.client, "GET", path, **{variable: HEADERS[name]}) < MAX_SECONDS


@pytest.mark.parametrize("media_type", ['a="b";' * 10_000, "a*=utf-8''%41;" * 4000], ids=["quoted", "extended"])
def test_no_media_type_takes_long(media_type: str, data: Data) -> None:
    content_type = f"application/json; {media_type}"
    path = f"/api/v1/agents/{data.agent.id}"

    assert cpu_seconds(data.alice.client, "PUT", path, {}, content_type=content_type) < MAX_SECONDS


@pytest.mark.parametrize("query", ["a&" * 30_000, "q=" + "%25" * 20_000, "q=a" + "%CC%81%CC%A3" * 49])
def test_no_query_takes_long(query: str, data: Data) -> None:
    assert cpu_seconds(data.alice.client, "GET", f"/api/v1/agents?{query}") < MAX_SECONDS


@pytest.mark.parametrize("expression", ["(" * 8 + "a or " * 90 + "b" + ")" * 8, "(" * 1_000_000])
def test_no_permission_expression_takes_long(expression: str, data: Data) -> None:
    body = {"api_key": make_key(data.agent).secret, "required_permission": expression}

    assert cpu_seconds(SurfaceClient(INTERNAL), "POST", "/api/v2/auth/validate-api-key", body) < MAX_SECONDS


@pytest.mark.parametrize("surface", ["public", "internal"])
def test_body_in_chunks_of_one_byte_is_refused_before_it_takes_long(server: MaimServer, surface: str) -> None:
    """The body could have a million chunks. The server answers others meanwhile."""
    port = server.public_port if surface == "public" else server.internal_port
    path = {"public": "/api/v1/auth/login", "internal": "/api/v1/usage/log"}[surface]
    headers = ("Host: localhost", "Content-Type: application/json", "Transfer-Encoding: chunked", "", "")
    head = "\r\n".join((f"POST {path} HTTP/1.1", *headers))
    worker = psutil.Process(server.workers(surface)[-1])
    before = sum(worker.cpu_times()[:2])
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as connection:
        connection.sendall(head.encode() + b"1\r\n \r\n" * 150_000)
        response = connection.recv(100)
    with server.client(surface) as client:
        assert client.get("/health").status_code == 200

    assert response.startswith(b"HTTP/1.1 413")
    assert (sum(worker.cpu_times()[:2]) - before) / slowness() < MAX_SECONDS

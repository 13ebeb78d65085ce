"""A search for secrets in the responses, logs, tables and files of a real server.

A key's secret may be in the responses that issue it only. The secrets of a config (a provider's key and address, a
message server's tokens) may be in the responses to requests that reveal them only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from apikeys import keyformat
from tests.support.config_leaks import read_as_others, system_files, use_configs
from tests.support.interfaces import make_operator, signed_in
from tests.support.leaks import SECRET, Site
from tests.support.people import PASSWORD
from tests.support.server import ON_MARIADB, MaimServer

pytestmark = pytest.mark.embedded

DUMP = """
from django.db import connection
cursor = connection.cursor()
for table in connection.introspection.table_names():
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
    print("table", table)
    for row in cursor.fetchall():
        print(*row, sep=" | ")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("leaks")
    options = {"MAIM_LOG_FORMAT": "json", **system_files(directory)}
    with MaimServer(directory, "maim_leaks", **options) as maim, ExitStack() as stack:
        make_operator(maim)
        v1, v2 = stack.enter_context(maim.client()), stack.enter_context(maim.client("internal"))
        site = Site(maim, v1, v2, stack.enter_context(signed_in(maim)))
        for client in (site.v1, site.v2, site.admin):
            site.watch(client)
        use_through_v1(site)
        use_through_v2(site)
        use_through_admin(site)
        use_through_commands(site)
        for secret in (site.issued[0], site.issued[-1]):
            provoke(site, secret)
        use_configs(site)
        read_as_others(site)
        crawl_admin(site)
        for path in ("/", "/health", "/ready", "/info", "/metrics", "/openapi.json"):
            assert site.v2.get(path).status_code == 200
        assert site.v1.get("/api/v1/openapi.json").status_code == 200
        yield site


# ---- the life of keys


def use_through_v1(site: Site) -> None:
    v1 = site.v1
    alice = {"username": "alice", "password": PASSWORD}
    v1.post("/api/v1/auth/register", json=alice)
    v1.headers["Authorization"] = f"Bearer {v1.post('/api/v1/auth/login', json=alice).json()['access_token']}"
    agent_id = v1.post("/api/v1/agents", json={"name": "v1"}).json()["id"]
    keys = f"/api/v1/agents/{agent_id}/api_keys"
    once = {"Idempotency-Key": "v1 issues"}
    key = site.issue(lambda: v1.post(keys, json={"name": "v1"}, headers=once))
    repeated = site.issue(lambda: v1.post(keys, json={"name": "v1"}, headers=once))
    assert repeated == key
    assert v1.post(keys, json={"name": "other"}, headers=once).status_code == 409
    rotated = site.issue(lambda: v1.post(f"{keys}/{key['id']}/rotate", json={"grace_seconds": 3600}))
    for secret in (key["api_key"], rotated["api_key"]):
        assert v1.post("/api/v1/api-keys/search", json={"api_key": secret}).status_code == 200
    for method, path in (("GET", keys), ("GET", f"{keys}/{key['id']}"), ("PATCH", f"{keys}/{key['id']}")):
        assert v1.request(method, path, json={"description": "seen"} if method == "PATCH" else None).status_code == 200
    site.issue(
        lambda: v1.post(
            "/api/v1/api-keys", json={"name": "v1 enveloped", "agent_id": agent_id, "tenant_id": key["tenant_id"]}
        )
    )


def use_through_v2(site: Site) -> None:
    v2 = site.v2
    tenant_id = v2.post("/api/v2/tenants", json={"tenant_name": "v2", "tenant_type": "enterprise"}).json()["data"]["id"]
    agent_id = v2.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": "v2"}).json()["data"]["id"]
    owner = {"tenant_id": tenant_id, "agent_id": agent_id}
    key = site.issue(lambda: v2.post("/api/v2/api-keys", json={**owner, "name": "v2"}))
    url = f"/api/v2/api-keys/{key['api_key_id']}"
    once = {"Idempotency-Key": "v2 rotates"}
    rotated = site.issue(lambda: v2.post(f"{url}/rotate", json={"grace_seconds": 3600}, headers=once))
    site.issue(lambda: v2.post(f"{url}/rotate", json={"grace_seconds": 3600}, headers=once))
    for secret in (key["api_key"], rotated["api_key"]):
        assert v2.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).json()["success"]
        assert v2.post("/api/v2/auth/validate-api-keys", json={"items": [{"api_key": secret}]}).status_code == 200
        assert v2.post("/api/v2/auth/check-permission", json={"api_key": secret, "permission": "x"}).json()["success"]
        assert v2.post("/api/v2/api-keys/search", json={"api_key": secret}).status_code == 200
    seen = {"api_key": key["api_key"], "where": f"https://paste.example/?q={key['api_key']} and {rotated['api_key']}"}
    assert v2.post("/api/v2/auth/report-leaked-key", json=seen).json()["success"]
    for path in (url, f"/api/v2/api-keys?tenant_id={tenant_id}"):
        assert v2.get(path).status_code == 200
    for verb in ("disable", "enable"):
        assert v2.post(f"{url}/{verb}").status_code == 200


def use_through_admin(site: Site) -> None:
    """Issue a key and rotate it through the admin."""
    admin = site.admin
    agent_id = site.v1.get("/api/v1/agents").json()[0]["id"]
    fields = {"csrfmiddlewaretoken": admin.cookies["csrftoken"]}
    issue = {**fields, "agent": agent_id, "name": "admin"}
    site.issue(lambda: admin.post("/admin/apikeys/apikey/add/", data=issue))
    key_id = site.v1.get(f"/api/v1/agents/{agent_id}/api_keys").json()[0]["id"].replace("_", "_5F")
    rotate = {**fields, "grace_seconds": "0"}
    site.issue(lambda: admin.post(f"/admin/apikeys/apikey/{key_id}/rotate/", data=rotate))


def use_through_commands(site: Site) -> None:
    agent_id = site.v1.get("/api/v1/agents").json()[0]["id"]
    said = site.maim.manage("keys", "issue", agent_id, "--name=command", "--quiet")
    assert SECRET.fullmatch(said.strip())
    site.issued.append(said.strip())
    site.answers.append(("manage.py keys list", site.maim.manage("keys", "list", "--json")))


# ---- where a secret does not belong


def provoke(site: Site, secret: str) -> None:
    """Send a secret in wrong places and types."""
    wrong: list[tuple[int, Callable[[httpx.Client, str], httpx.Response]]] = [
        (400, lambda client, path: client.post(path, content=f'{{"api_key": "{secret}", }}')),
        (400, lambda client, path: client.post(path, content=f'{{"api_key": "{secret}"')),
        (400, lambda client, path: client.post(path, content=f'"{secret}"')),
        (400, lambda client, path: client.post(path, content=f"api_key={secret}")),
        (400, lambda client, path: client.post(path, json={secret: secret})),
        (400, lambda client, path: client.post(path, json={"api_key": [secret]})),
        (400, lambda client, path: client.post(path, json={"api_key": {secret: 1}})),
        (400, lambda client, path: client.post(path, content=f'{{"{secret}": 1, "{secret}": 2}}')),
        (415, lambda client, path: client.post(path, content=secret, headers={"Content-Type": "text/plain"})),
        (405, lambda client, path: client.get(path, params={"api_key": secret})),
    ]
    json_type = {"Content-Type": "application/json"}
    for client, paths in (
        (site.v2, ("/api/v2/auth/validate-api-key", "/api/v2/auth/report-leaked-key", "/api/v2/api-keys/search")),
        (site.v1, ("/api/v1/api-keys/search",)),
    ):
        client.headers.update(json_type)
        for path in paths:
            for status, send in wrong:
                answer = send(client, path)
                assert answer.status_code in (status, 404), (path, answer.text)
    v1, v2 = site.v1, site.v2
    validate = "/api/v2/auth/validate-api-key"
    statuses = [
        v2.post(validate, json={"api_key": secret, "required_permission": f"{secret} and ("}),
        v2.post(validate, json={"api_key": secret, "required_permission": secret * 5}),
        v2.post(validate, json={"api_key": secret, "client_ip": secret}),
        v2.post(validate, json={"api_key": secret, "check_rate_limit": secret}),
        v2.post("/api/v2/auth/validate-api-keys", json={"items": [{"api_key": secret}, {"api_key": 5}]}),
        v2.post("/api/v2/agents", json={"tenant_id": secret, "name": secret}),
        v2.put("/api/v2/agent-activity", json={"tenant_id": secret, "agent_id": secret, "ttl_seconds": secret}),
        v2.post("/api/v1/usage/log", json={"action": secret, "timestamp": secret}),
        v2.get("/api/v2/api-keys", params={"tenant_id": secret, "status": secret, "page": secret}),
        v1.post("/api/v1/agents", json={"name": secret, "tags": secret, "config": secret}),
        v1.get("/api/v1/agents", params={"q": secret, "status": secret, "sort": secret}),
        v1.post("/api/v1/auth/register", json={"username": secret, "password": "short", "email": secret}),
        v1.post("/api/v1/auth/login", json={"username": secret, "password": secret}),
        v1.post("/api/v1/auth/refresh", json={"refresh_token": secret}, headers={"Authorization": ""}),
        v1.get("/api/v1/agents", headers={"Authorization": f"Bearer {secret}"}),
        v1.get(f"/api/v1/agents/{secret}"),
        v1.get(f"/{secret}"),
        v2.get(f"/api/v2/api-keys/{secret}"),
        v2.get(f"/api/v2/api-keys/x?{secret}"),
        v2.post(f"/api/v2/auth/validate-api-key/{secret}", json={}),
        v2.get("/api/v2/tenants/x", headers={"X-Request-ID": secret, "Host": "localhost", "Origin": secret}),
        site.admin.get("/admin/apikeys/apikey/no_such_row/change/"),
    ]
    assert {answer.status_code for answer in statuses} <= {302, 400, 401, 403, 404}
    for text in (secret[:-1], secret.upper(), f"{secret} ", secret.replace("mmc_", "sk_"), secret * 2):
        assert not v2.post(validate, json={"api_key": text}).json()["success"]
        assert v2.post("/api/v2/auth/parse-api-key", json={"api_key": text}).json()["error_code"] == "AUTH_001"


def crawl_admin(site: Site) -> None:
    """Open every page of the admin that has a link: lists, forms, confirmations, histories."""
    to_see, seen = ["/admin/"], set()
    while to_see:
        path = to_see.pop()
        answer = site.admin.get(path, follow_redirects=True)
        assert answer.status_code == 200, path
        seen.add(path)
        links = {link.partition("#")[0].replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', answer.text)}
        found = {str(httpx.URL(f"{site.maim.public}{path}").join(link).raw_path.decode()) for link in links if link}
        # The orders and filters of a list show the same rows again.
        to_see += [
            link
            for link in sorted(found - seen - set(to_see))
            if link.startswith("/admin/") and "?" not in link and "/logout" not in link and "/jsi18n" not in link
        ]
    models = (
        "accounts/user",
        "agents/agent",
        "agents/template",
        "agents/configversion",
        "apikeys/apikey",
        "apikeys/usagelogentry",
        "common/auditentry",
    )
    for model in (*models, "tenants/tenant"):
        assert f"/admin/{model}/" in seen
    assert len([path for path in seen if re.fullmatch(r"/admin/apikeys/apikey/key[^/]*/change/", path)]) == 5
    assert len(seen) > 40


# ---- the search


def test_search_finds_planted_secrets(site: Site) -> None:
    assert len(set(site.issued)) == 8
    for secret in site.issued:
        assert site.found_in(f"{{{secret}}}")
        assert site.found_in(json.dumps({"random": keyformat.parse(secret).random}))
    assert len(set(site.given)) > 30
    for secret in site.given:
        assert site.found_in(json.dumps({"api_key": secret}))


def test_only_issuing_responses_show_a_secret(site: Site) -> None:
    assert len(site.answers) > 200
    assert {asked for asked, said in site.answers if site.found_in(said)} == set()


def test_no_log_line_has_a_secret(site: Site) -> None:
    lines = site.maim.log.splitlines()
    assert any('"logger": "maim.access"' in line for line in lines)
    assert [line for line in lines if site.found_in(line)] == []


@pytest.fixture(scope="module")
def dump(site: Site) -> str:
    """Every row of every table."""
    return site.maim.manage("shell", "--no-imports", "-c", DUMP)


def test_no_table_has_a_secret(site: Site, dump: str) -> None:
    tables = (
        "agents_agent",
        "agents_configversion",
        "agents_template",
        "tenants_tenant",
        "agents_pluginsetting",
        "common_auditentry",
    )
    for table in (*tables, "apikeys_apikey", "apikeys_keysecret", "common_idempotentanswer"):
        assert f"table {table}" in dump
    assert "agent.reveal_secrets" in dump
    assert "key.rotate" in dump
    assert "https://paste.example/?q=mmc_… and mmc_…" in dump
    for line in dump.splitlines():
        assert not site.found_in(line), line


@pytest.mark.skipif(ON_MARIADB, reason="MariaDB's files are its own")
def test_no_file_has_a_secret(site: Site) -> None:
    """Includes what SQLite has deleted and not yet overwritten."""
    files = [path for path in site.maim.directory.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite3" for path in files)
    for path in files:
        if path.name in ("model_config.toml", "bot_config.toml"):
            continue  # the operator's own
        assert not site.found_in(path.read_bytes().decode("latin-1")), path


def test_idempotent_responses_are_stored_sealed(dump: str) -> None:
    _, _, rows = dump.partition("table common_idempotentanswer\n")
    # A batch of uses is noted here, too, with an empty answer.
    answers = [row for row in rows.partition("\ntable ")[0].splitlines() if "|  |" not in row]
    assert len(answers) == 2
    assert all(re.search(r"\| gAAAA[\w-]+=* \|", answer) for answer in answers)

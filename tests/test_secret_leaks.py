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
import pyotp
import pytest

from apikeys import keyformat
from tests.support.config_leaks import read_as_others, system_files, use_configs
from tests.support.interfaces import make_operator, signed_in
from tests.support.leaks import SECRET, Deployment
from tests.support.people import PASSWORD
from tests.support.server import ON_MARIADB, MaimServer

pytestmark = [pytest.mark.embedded, pytest.mark.heavy]

FACTORS = "/api/v1/auth/factors"
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
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("leaks")
    options = {"MAIM_LOG_FORMAT": "json", **system_files(directory)}
    with MaimServer(directory, "maim_leaks", **options) as maim, ExitStack() as stack:
        make_operator(maim)
        v1, v2 = stack.enter_context(maim.client()), stack.enter_context(maim.client("internal"))
        deployment = Deployment(maim, v1, v2, stack.enter_context(signed_in(maim)))
        for client in (deployment.v1, deployment.v2, deployment.admin):
            deployment.record(client)
        use_through_v1(deployment)
        use_through_v2(deployment)
        use_through_admin(deployment)
        use_through_commands(deployment)
        use_factors(deployment)
        for secret in (deployment.issued[0], deployment.issued[-1]):
            send_misplaced_secrets(deployment, secret)
        use_configs(deployment)
        read_as_others(deployment)
        crawl_admin(deployment)
        for path in ("/", "/health", "/ready", "/info", "/metrics", "/openapi.json"):
            assert deployment.v2.get(path).status_code == 200
        assert deployment.v1.get("/api/v1/openapi.json").status_code == 200
        yield deployment


# ---- the lifecycle of keys


def use_through_v1(deployment: Deployment) -> None:
    v1 = deployment.v1
    alice = {"username": "alice", "password": PASSWORD}
    v1.post("/api/v1/auth/register", json=alice)
    v1.headers["Authorization"] = f"Bearer {v1.post('/api/v1/auth/login', json=alice).json()['access_token']}"
    agent_id = v1.post("/api/v1/agents", json={"name": "v1"}).json()["id"]
    keys = f"/api/v1/agents/{agent_id}/api_keys"
    idempotency_key = {"Idempotency-Key": "v1 issues"}
    key = deployment.issue(lambda: v1.post(keys, json={"name": "v1"}, headers=idempotency_key))
    repeated = deployment.issue(lambda: v1.post(keys, json={"name": "v1"}, headers=idempotency_key))
    assert repeated == key
    assert v1.post(keys, json={"name": "other"}, headers=idempotency_key).status_code == 409
    rotated = deployment.issue(lambda: v1.post(f"{keys}/{key['id']}/rotate", json={"grace_seconds": 3600}))
    for secret in (key["api_key"], rotated["api_key"]):
        assert v1.post("/api/v1/api-keys/search", json={"api_key": secret}).status_code == 200
    for method, path in (("GET", keys), ("GET", f"{keys}/{key['id']}"), ("PATCH", f"{keys}/{key['id']}")):
        assert v1.request(method, path, json={"description": "seen"} if method == "PATCH" else None).status_code == 200
    deployment.issue(
        lambda: v1.post(
            "/api/v1/api-keys", json={"name": "v1 enveloped", "agent_id": agent_id, "tenant_id": key["tenant_id"]}
        )
    )


def use_through_v2(deployment: Deployment) -> None:
    v2 = deployment.v2
    tenant_id = v2.post("/api/v2/tenants", json={"tenant_name": "v2", "tenant_type": "enterprise"}).json()["data"]["id"]
    agent_id = v2.post("/api/v2/agents", json={"tenant_id": tenant_id, "name": "v2"}).json()["data"]["id"]
    owner = {"tenant_id": tenant_id, "agent_id": agent_id}
    key = deployment.issue(lambda: v2.post("/api/v2/api-keys", json={**owner, "name": "v2"}))
    url = f"/api/v2/api-keys/{key['api_key_id']}"
    idempotency_key = {"Idempotency-Key": "v2 rotates"}
    rotated = deployment.issue(lambda: v2.post(f"{url}/rotate", json={"grace_seconds": 3600}, headers=idempotency_key))
    deployment.issue(lambda: v2.post(f"{url}/rotate", json={"grace_seconds": 3600}, headers=idempotency_key))
    for secret in (key["api_key"], rotated["api_key"]):
        assert v2.post("/api/v2/auth/validate-api-key", json={"api_key": secret}).json()["success"]
        assert v2.post("/api/v2/auth/validate-api-keys", json={"items": [{"api_key": secret}]}).status_code == 200
        assert v2.post("/api/v2/auth/check-permission", json={"api_key": secret, "permission": "x"}).json()["success"]
        assert v2.post("/api/v2/api-keys/search", json={"api_key": secret}).status_code == 200
    report = {
        "api_key": key["api_key"],
        "where": f"https://paste.example/?q={key['api_key']} and {rotated['api_key']}",
    }
    assert v2.post("/api/v2/auth/report-leaked-key", json=report).json()["success"]
    for path in (url, f"/api/v2/api-keys?tenant_id={tenant_id}"):
        assert v2.get(path).status_code == 200
    for verb in ("disable", "enable"):
        assert v2.post(f"{url}/{verb}").status_code == 200


def use_through_admin(deployment: Deployment) -> None:
    """Issue a key and rotate it through the admin."""
    admin = deployment.admin
    agent_id = deployment.v1.get("/api/v1/agents").json()[0]["id"]
    fields = {"csrfmiddlewaretoken": admin.cookies["csrftoken"]}
    issue = {**fields, "agent": agent_id, "name": "admin"}
    deployment.issue(lambda: admin.post("/admin/apikeys/apikey/add/", data=issue))
    key_id = deployment.v1.get(f"/api/v1/agents/{agent_id}/api_keys").json()[0]["id"].replace("_", "_5F")
    rotate = {**fields, "grace_seconds": "0"}
    deployment.issue(lambda: admin.post(f"/admin/apikeys/apikey/{key_id}/rotate/", data=rotate))


def use_through_commands(deployment: Deployment) -> None:
    agent_id = deployment.v1.get("/api/v1/agents").json()[0]["id"]
    text = deployment.maim.manage("keys", "issue", agent_id, "--name=command", "--quiet")
    assert SECRET.fullmatch(text.strip())
    deployment.issued.append(text.strip())
    deployment.responses.append(("manage.py keys list", deployment.maim.manage("keys", "list", "--json")))


def use_factors(deployment: Deployment) -> None:
    """Add an authenticator app, sign in with a recovery code, and send what must not leak to wrong places."""
    maim, person = deployment.maim, {"username": "frida", "password": PASSWORD}
    with maim.client() as v1:
        deployment.record(v1)
        v1.post("/api/v1/auth/register", json=person)
        token = v1.post("/api/v1/auth/login", json=person).json()["access_token"]
        v1.headers["Authorization"] = f"Bearer {token}"
        secret = deployment.issue_text(lambda: v1.post(f"{FACTORS}/totp", json={"password": PASSWORD}))["secret"]
        code = {"code": pyotp.TOTP(secret).now()}
        codes = deployment.issue_text(lambda: v1.post(f"{FACTORS}/totp/confirm", json=code))["recovery_codes"]
        challenge = deployment.issue_text(lambda: v1.post("/api/v1/auth/login", json=person))["challenge"]
        deployment.config_secrets += [secret, challenge, *codes, *(text.replace("-", "") for text in codes)]
        assert v1.get(FACTORS).json()["recovery_codes"] == 10
        for text in (challenge, secret, codes[0]):
            sent = {"challenge": challenge, "method": "totp", "code": text}
            assert v1.post("/api/v1/auth/mfa", json=sent).status_code == 400
            assert v1.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {text}"}).status_code == 401
            assert v1.post("/api/v1/auth/mfa", json={**sent, "challenge": text, "method": text}).status_code == 400
        sent = {"challenge": challenge, "method": "recovery_code", "code": codes[0]}
        assert v1.post("/api/v1/auth/mfa", json=sent).status_code == 200
        renewed = deployment.issue_text(lambda: v1.post(f"{FACTORS}/recovery-codes", json={"password": PASSWORD}))
        deployment.config_secrets += renewed["recovery_codes"]


# ---- misplaced secrets


def send_misplaced_secrets(deployment: Deployment, secret: str) -> None:
    """Send a secret in wrong places and types, which all requests must survive."""
    malformed: list[tuple[int, Callable[[httpx.Client, str], httpx.Response]]] = [
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
        (deployment.v2, ("/api/v2/auth/validate-api-key", "/api/v2/auth/report-leaked-key", "/api/v2/api-keys/search")),
        (deployment.v1, ("/api/v1/api-keys/search", "/api/v1/api-keys/report-leaked")),
    ):
        client.headers.update(json_type)
        for path in paths:
            for status, send in malformed:
                response = send(client, path)
                assert response.status_code in (status, 404), (path, response.text)
    v1, v2 = deployment.v1, deployment.v2
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
        deployment.admin.get("/admin/apikeys/apikey/no_such_row/change/"),
    ]
    assert {response.status_code for response in statuses} <= {302, 400, 401, 403, 404}
    for text in (secret[:-1], secret.upper(), f"{secret} ", secret.replace("mmc_", "sk_"), secret * 2):
        assert not v2.post(validate, json={"api_key": text}).json()["success"]
        assert v2.post("/api/v2/auth/parse-api-key", json={"api_key": text}).json()["error_code"] == "AUTH_001"


def crawl_admin(deployment: Deployment) -> None:
    """Open every page of the admin that has a link: lists, forms, confirmations, histories."""
    pending, visited = ["/admin/"], set()
    while pending:
        path = pending.pop()
        response = deployment.admin.get(path, follow_redirects=True)
        assert response.status_code == 200, path
        visited.add(path)
        links = {link.partition("#")[0].replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', response.text)}
        found = {
            str(httpx.URL(f"{deployment.maim.public}{path}").join(link).raw_path.decode()) for link in links if link
        }
        # A list in another order or with a filter has the same rows.
        pending += [
            link
            for link in sorted(found - visited - set(pending))
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
        assert f"/admin/{model}/" in visited
    assert len([path for path in visited if re.fullmatch(r"/admin/apikeys/apikey/key[^/]*/change/", path)]) == 5
    assert len(visited) > 40


# ---- the search


def test_search_finds_every_known_secret(deployment: Deployment) -> None:
    assert len(set(deployment.issued)) == 8
    for secret in deployment.issued:
        assert deployment.traces_in(f"{{{secret}}}")
        assert deployment.traces_in(json.dumps({"random": keyformat.parse(secret).random}))
    assert len(set(deployment.config_secrets)) > 30
    for secret in deployment.config_secrets:
        assert deployment.traces_in(json.dumps({"api_key": secret}))


def test_only_responses_that_issue_or_reveal_secrets_contain_one(deployment: Deployment) -> None:
    assert len(deployment.responses) > 200
    assert {request for request, text in deployment.responses if deployment.traces_in(text)} == set()


def test_no_log_line_contains_a_secret(deployment: Deployment) -> None:
    lines = deployment.maim.log.splitlines()
    assert any('"logger": "maim.access"' in line for line in lines)
    assert [line for line in lines if deployment.traces_in(line)] == []


@pytest.fixture(scope="module")
def dump(deployment: Deployment) -> str:
    """Every row of every table."""
    return deployment.maim.manage("shell", "--no-imports", "-c", DUMP)


def test_no_table_contains_a_secret(deployment: Deployment, dump: str) -> None:
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
    assert re.search(r"table common_revealcount\n.*agent_", dump), "secrets were revealed"
    assert "key.rotate" in dump
    assert "https://paste.example/?q=mmc_… and mmc_…" in dump
    for line in dump.splitlines():
        assert not deployment.traces_in(line), line


@pytest.mark.skipif(ON_MARIADB, reason="MariaDB's files are its own")
def test_no_file_contains_a_secret(deployment: Deployment) -> None:
    """The files include rows that SQLite has deleted but not yet overwritten."""
    files = [path for path in deployment.maim.directory.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite3" for path in files)
    for path in files:
        if path.name in ("model_config.toml", "bot_config.toml"):
            continue  # written by the operator
        assert not deployment.traces_in(path.read_bytes().decode("latin-1")), path


def test_secret_stored_for_a_repeated_request_is_encrypted(dump: str) -> None:
    _, _, rows = dump.partition("table common_idempotentanswer\n")
    # The table also has the batches of uses, with an empty response.
    responses = [row for row in rows.partition("\ntable ")[0].splitlines() if "|  |" not in row]
    assert len(responses) == 2
    assert all(re.search(r"\| gAAAA[\w-]+=* \|", response) for response in responses)

"""Configs whose secrets are written through every interface, for the search for leaks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from agent_config.secret_names import CARRIERS, DOCUMENTED, RUN_TOGETHER, SECRET_NAMES
from core.commands.exit_codes import ExitCode
from core.http import toml
from tests.support.leaks import Deployment
from tests.support.operators import form_of
from tests.support.people import PASSWORD
from tests.support.server import MaimServer

MASK = "********"
JSON_TYPE = {"Content-Type": "application/json"}


SYSTEM_SECRET, BOT_SECRET = "sk-system-of-the-operator", "sk-bot-of-the-operator"


def system_files(directory: Path) -> dict[str, str]:
    """Write an operator's TOML files, with secrets of their own in every place for one; return their settings."""
    model = config_with_secrets(SYSTEM_SECRET)["config_overrides"].pop("model")
    files = {
        "MAIMBOT_MODEL_CONFIG_PATH": (
            "model_config.toml",
            {
                "api_providers": [
                    {**model["api_providers"][0], "name": "System", "base_url": "https://system.example"}
                ],
                "models": model["models"],
            },
        ),
        "MAIMBOT_BOT_CONFIG_TEMPLATE_PATH": ("bot_config.toml", _sections(BOT_SECRET)),
    }
    for name, content in files.values():
        (directory / name).write_text(toml.dumps(content), encoding="utf-8")
    return {setting: str(directory / name) for setting, (name, _content) in files.items()}


def _sections(secret: str) -> dict[str, Any]:
    sections: dict[str, Any] = config_with_secrets(secret)["config_overrides"]
    del sections["model"]
    sections["webui"] = sections.pop("own")  # which no other layer overrides
    return sections


def config_with_secrets(secret: str) -> dict[str, Any]:
    """Return a config with a secret at every documented path, and below names that look like a secret's."""
    config: dict[str, Any] = {"config_overrides": {}}
    for path in DOCUMENTED:
        *steps, last = path.replace("[]", ".[]").split(".")
        holder: Any = config
        for step, following in zip(steps, [*steps[1:], last], strict=True):
            if step == "[]":
                holder = holder[0]
            else:
                holder = holder.setdefault(step, [{"name": "planted"}] if following == "[]" else {})
        is_text = last in ("api_key", "base_url")
        is_list = last.endswith(("keys", "auth_token"))
        holder[last] = (
            secret if is_text else [secret, secret] if is_list else {"any": secret, "deeper": {"n": [secret]}}
        )
    names = [name.strip("*").strip("_") for name in (*CARRIERS, *SECRET_NAMES, *RUN_TOGETHER)]
    names += ["accessToken", "X-Api-Key", "APIkey", "client.secret", "slackWebhookUrl"]
    config["config_overrides"]["own"] = dict.fromkeys(names, secret)
    config["config_overrides"]["plugin"] = {
        "some": [{"name": "a", name: [secret]} for name in names],
        "max_tokens": 4096,
    }
    return config


def use_configs(deployment: Deployment) -> None:
    """Write configs with secrets of agents, templates and tenants, change and restore them, and read everything."""
    deployment.config_secrets += [SYSTEM_SECRET, BOT_SECRET]
    for client, root in ((deployment.v1, "/api/v1"), (deployment.v2, "/api/v2")):
        _use_through(deployment, client, root)
    _use_through_admin(deployment)
    _use_through_commands(deployment)
    _send_misplaced_secrets(deployment)


def _config(deployment: Deployment, label: str) -> dict[str, Any]:
    """Return a config with a secret in every place for one."""
    config = config_with_secrets(deployment.secret(label))
    for item in (*config["config_overrides"]["model"]["api_providers"], *config["config_overrides"]["model"]["models"]):
        item["name"] = f"of {label}"
    return config


def _data(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    if not response.headers["Content-Type"].startswith("application/json"):
        return response.text
    body = response.json()
    return body["data"] if isinstance(body, dict) and "success" in body else body


def _use_through(deployment: Deployment, client: httpx.Client, root: str) -> None:
    name, is_internal = root[-2:], root == "/api/v2"
    tenant = {"tenant_name": f"configs {name}", "tenant_type": "enterprise"}
    # The internal surface shows services the unknown sections of a tenant's config.
    additional = (
        {} if is_internal else {"crm": config_with_secrets(deployment.secret(f"{name}-own"))["config_overrides"]["own"]}
    )
    defaults = {"tenant_config": {"agent_defaults": _config(deployment, f"{name}-tenant"), **additional}}
    tenant_id = _data(client.post(f"{root}/tenants", json={**tenant, **defaults}))["id"]
    masked = _data(client.get(f"{root}/tenants/{tenant_id}"))["tenant_config"]
    assert MASK in json.dumps(masked)
    _data(client.put(f"{root}/tenants/{tenant_id}", json={"tenant_config": masked}))
    defaults = {"tenant_config": {"agent_defaults": _config(deployment, f"{name}-tenant")}}
    _data(client.put(f"{root}/tenants/{tenant_id}", json=defaults))

    template = {"name": name, "tenant_id": tenant_id, "config": _config(deployment, f"{name}-template")}
    template_id = _data(client.post(f"{root}/templates", json=template))["id"]
    _data(client.put(f"{root}/templates/{template_id}", json={"config": _config(deployment, f"{name}-template")}))
    _data(client.get(f"{root}/templates/{template_id}"))
    _data(client.get(f"{root}/templates", params={"tenant_id": tenant_id}))

    agent = {"name": name, "tenant_id": tenant_id, "template_id": template_id}
    agent_id = _data(client.post(f"{root}/agents", json={**agent, "config": _config(deployment, f"{name}-agent")}))[
        "id"
    ]
    path = f"{root}/agents/{agent_id}"
    _data(client.put(path, json={"config": _config(deployment, f"{name}-agent")}))
    _data(client.put(f"{path}/config", json=_config(deployment, f"{name}-agent"), params={"note": "third"}))
    _data(client.put(f"{path}/config", json=_data(client.get(f"{path}/config"))))
    assert client.put(f"{path}/config", json={"a": 1}, headers={"If-Match": '"1"'}).status_code == 412
    for part in ("", "/config/effective", "/config/effective?explain=1", "/config/versions", "/config/versions/2"):
        _data(client.get(f"{path}{part}"))
    changes = _data(client.get(f"{path}/config/diff", params={"from": 1, "to": 3}))["changes"]
    assert MASK in json.dumps(changes)
    _data(client.post(f"{path}/config/restore", json={"version": 1, "note": "back"}))

    _use_plugins(deployment, client, tenant_id, agent_id)
    _data(client.post(f"{path}/duplicate", json={"name": f"{name} again"}))
    for file_format in ("json", "toml"):
        exported = _data(client.get(f"{path}/export", params={"format": file_format}))
        assert "api_providers" in json.dumps(exported)
    plugin = {"plugin_name": "weather", "enabled": True, "config": _config(deployment, f"{name}-file-plugin")}
    file = {
        "maim_export": 1,
        "name": f"{name} imported",
        "config": _config(deployment, f"{name}-file"),
        "plugins": [plugin],
    }
    for query in ({"dry_run": "1"}, {}):
        _data(client.post(f"{root}/agents/import", json=file, params={"tenant_id": tenant_id, **query}))
    if is_internal:
        _data(client.get(f"{root}/agents", params={"tenant_id": tenant_id}))
        _data(client.get(f"{root}/config-changes", params={"after": "0"}))
        for part in ("config/effective?reveal_secrets=1", "config/effective?reveal_secrets=1&explain=1"):
            text = deployment.reveal(partial(client.get, f"{path}/{part}"))
            assert text.count(SYSTEM_SECRET) > 5
            assert text.count(BOT_SECRET) > 5
        assert deployment.reveal(lambda: client.get(f"{path}/export?reveal_secrets=1")).count("-plugin-") > 100
    else:
        _data(client.get(f"{root}/agents"))
        # The public surface ignores `reveal_secrets`.
        _data(client.get(f"{path}/config/effective?reveal_secrets=1"))
        _data(client.get(f"{path}/export?reveal_secrets=1"))
    for part in ("models", "bot-defaults", "config-schema"):
        _data(client.get(f"{root}/system/{part}"))


def _use_plugins(deployment: Deployment, client: httpx.Client, tenant_id: str, agent_id: str) -> None:
    """Set a plugin for an agent and its tenant. The internal surface reveals the secrets to bots."""
    path = "/api/v1/plugins/settings"
    of_tenant, of_agent = {"tenant_id": tenant_id}, {"tenant_id": tenant_id, "agent_id": agent_id}

    def send_or_reveal(send: Callable[[], httpx.Response]) -> Any:
        if client is deployment.v1:
            return _data(send())
        text = deployment.reveal(send)
        return json.loads(text[text.index("{") :]) if "[{" not in text else None

    for params in (of_tenant, of_agent):
        for _ in range(2):
            body = {"plugin_name": "weather", "enabled": True, "config": _config(deployment, "a-plugin")}
            send_or_reveal(partial(client.post, path, params=params, json=body))
        send_or_reveal(partial(client.get, path, params=params))
        (masked,) = _data(deployment.v1.get(path, params=params)) if client is deployment.v1 else [None]
        if masked:
            assert MASK in json.dumps(masked)
            _data(client.post(path, params=params, json={**body, "config": masked["config"]}))


def read_as_others(deployment: Deployment) -> None:
    """Read everything as a member, as a stranger and without a token."""
    agents = deployment.v1.get("/api/v1/agents").json()
    tenant_id = next(agent["tenant_id"] for agent in agents if agent["name"] == "v1 imported")
    with deployment.maim.client() as reader:
        deployment.record(reader)
        for name in (None, "charlie", "bob"):
            if name is not None:
                person = {"username": name, "password": PASSWORD}
                user_id = reader.post("/api/v1/auth/register", json=person).json()["id"]
                token = reader.post("/api/v1/auth/login", json=person).json()["access_token"]
                reader.headers["Authorization"] = f"Bearer {token}"
            if name == "bob":
                deployment.maim.manage(
                    "shell", "--no-imports", "-c", _JOIN.format(tenant_id=tenant_id, user_id=user_id)
                )
            paths = ["agents", "templates", "tenants", f"tenants/{tenant_id}", "system/models", "system/bot-defaults"]
            paths += [f"plugins/settings?tenant_id={tenant_id}", "system/config-schema", "templates/everybodys"]
            for agent in agents:
                parts = (
                    "",
                    "/config",
                    "/config/effective?explain=1",
                    "/config/versions",
                    "/config/versions/1",
                    "/export",
                )
                paths += [f"agents/{agent['id']}{part}" for part in parts]
                paths.append(f"plugins/settings?agent_id={agent['id']}")
            statuses = [reader.get(f"/api/v1/{path}").status_code for path in paths]
            assert set(statuses) <= {200, 401, 404}
            assert statuses.count(200) == 0 if name is None else statuses.count(200) > 4
            reader.headers.pop("Authorization", None)


_JOIN = """
from tenants.models import Membership
Membership.objects.create(tenant_id="{tenant_id}", user_id="{user_id}", role="member")
"""


def _use_through_admin(deployment: Deployment) -> None:
    """Add a template, and change it, an agent and a tenant through the admin."""
    admin = deployment.admin

    def submit(path: str, **changes: str) -> None:
        form = {**form_of(admin.get(path)), **changes}
        response = admin.post(path, data=form)
        assert response.status_code == 302, response.text

    def as_json(config: Any) -> str:
        return json.dumps(config)

    template = {"template_id": "everybodys", "name": "everybody's"}
    submit("/admin/agents/template/add/", **template, config=as_json(_config(deployment, "admin-template")))
    submit("/admin/agents/template/everybodys/change/", config=as_json(_config(deployment, "admin-template")))
    agent = next(agent for agent in deployment.v1.get("/api/v1/agents").json() if agent["name"] == "v1 imported")
    submit(
        f"/admin/agents/agent/{agent['id'].replace('_', '_5F')}/change/",
        config=as_json(_config(deployment, "admin-agent")),
        template_id="everybodys",
    )
    submit(
        f"/admin/tenants/tenant/{agent['tenant_id'].replace('_', '_5F')}/change/",
        tenant_config=as_json({"agent_defaults": _config(deployment, "admin-tenant")}),
    )
    restore = f"/admin/agents/agent/{agent['id'].replace('_', '_5F')}/config/1/restore/"
    assert admin.post(restore, data={"csrfmiddlewaretoken": admin.cookies["csrftoken"]}).status_code == 302
    assert deployment.v1.get(f"/api/v1/agents/{agent['id']}/config/versions").json()[0]["version"] == 3


def _ids(page: str) -> list[str]:
    return [part.partition('"')[0] for part in page.split('name="_selected_action" value="')[1:]]


def _use_through_commands(deployment: Deployment) -> None:
    agent_id = next(agent["id"] for agent in deployment.v1.get("/api/v1/agents").json() if agent["name"] == "v1")
    file = str(deployment.maim.directory / "agent.json")
    for arguments in (
        ("agents", "export", agent_id, "--output", file),
        ("agents", "export", agent_id, "--format=toml"),
        ("agents", "diff", agent_id, "1", "2"),
        ("agents", "diff", agent_id, file),
        ("agents", "import", file, "--tenant=configs v1", "--name=by command"),
        ("rotate_secrets",),
    ):
        deployment.responses.append((f"manage.py {' '.join(arguments)}", _output(deployment.maim, *arguments)))
    assert MASK in "".join(text for request, text in deployment.responses if "agents diff" in request)


def _output(maim: MaimServer, *arguments: str) -> str:
    """Return the output of a command, which may exit with the status for a difference."""
    try:
        return maim.manage(*arguments)
    except subprocess.CalledProcessError as error:
        if error.returncode != ExitCode.NO:
            raise
        return f"{error.stdout}{error.stderr}"


def _send_misplaced_secrets(deployment: Deployment) -> None:
    """Send secrets in wrong places and types, and expect errors."""
    secret = deployment.secret("misplaced")
    agent_id = next(agent["id"] for agent in deployment.v1.get("/api/v1/agents").json() if agent["name"] == "v1")

    def overrides(**sections: Any) -> dict[str, Any]:
        return {"config_overrides": sections}

    def provider(**fields: Any) -> dict[str, Any]:
        return overrides(model={"api_providers": [{"name": "p", **fields}]})

    malformed: list[Any] = [
        provider(api_key=[secret]),
        provider(api_key={secret: secret}),
        provider(base_url={"$sealed": secret}),
        provider(api_key=secret, base_url=5),
        provider(api_key=secret, base_url=MASK),
        overrides(maim_message={"auth_token": secret}),
        overrides(maim_message={"auth_token": {"$sealed": secret}}),
        overrides(maim_message={"auth_token": [secret], "port": secret}),
        overrides(model={"api_providers": [{"name": "System", "api_key": secret}]}),
        overrides(model={"api_providers": [{"name": "p", "api_key": secret}, {"name": "p", "api_key": secret}]}),
        overrides(model={"api_providers": [{"name": "p", "api_key": secret, "max_retry": secret}]}),
        overrides(model={"models": [{"name": "m", "api_provider": "p", "price_in": secret}]}),
        overrides(keyword_reaction={"regex_rules": [{"regex": [f"({secret}"], "reaction": "x"}]}),
        {**provider(api_key=secret), "any": "x" * 300_000},
    ]
    sends: list[Callable[[Any], httpx.Response]] = [
        lambda config: deployment.v1.put(f"/api/v1/agents/{agent_id}/config", json=config),
        lambda config: deployment.v1.post("/api/v1/agents", json={"name": "refused", "config": config}),
        lambda config: deployment.v2.put(f"/api/v2/agents/{agent_id}/config", json=config),
        lambda config: deployment.v2.post("/api/v2/templates", json={"name": "refused", "config": config}),
        lambda config: deployment.v2.post(
            "/api/v2/tenants",
            json={
                "tenant_name": "refused",
                "tenant_type": "enterprise",
                "tenant_config": {"agent_defaults": config},
            },
        ),
    ]
    for number, send in enumerate(sends):
        for config in malformed:
            response = send(config)
            is_allowed = (
                number == 3 and config is malformed[8]
            )  # an operator's template may change the system's provider
            assert (response.status_code, is_allowed) in ((400, False), (200, True)), response.text
    path = f"/api/v2/agents/{agent_id}"
    responses = [
        deployment.v2.put(f"{path}/config", content=f'{{"api_key": "{secret}", }}', headers=JSON_TYPE),
        deployment.v2.put(f"{path}/config", content=f'"{secret}"', headers=JSON_TYPE),
        deployment.v2.put(f"{path}/config", json={}, headers={"If-Match": secret}),
        deployment.v2.put(f"{path}/config", json={}, params={"replace": secret}),
        deployment.v2.post(f"{path}/config/restore", json={"version": secret}),
        deployment.v2.get(f"{path}/config/diff", params={"from": secret, "to": secret}),
        deployment.v2.get("/api/v2/config-changes", params={"after": secret}),
        deployment.v1.post("/api/v1/agents/import", json={"maim_export": secret, "name": secret}),
        deployment.v1.get(f"/api/v1/agents/{agent_id}/export", params={"format": secret}),
    ]
    assert {response.status_code for response in responses} <= {400, 404}, [
        response.status_code for response in responses
    ]

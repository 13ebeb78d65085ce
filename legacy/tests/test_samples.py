"""Databases of old systems that were in use: users sign in to maim, and every key keeps its verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_config import secrets
from agents.models import Agent
from core.http.surfaces import INTERNAL, PUBLIC
from legacy.tests.import_command import Run, import_from, verify
from legacy.tests.samples import Sample
from tests.support.client import SurfaceClient

pytestmark = pytest.mark.heavy


def test_every_active_user_signs_in(sample: Sample, imported: Run) -> None:
    for user in sample.expected["users"]:
        credentials = {"username": user["username"], "password": user["password"]}

        first = SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials)
        again = SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials)

        assert first.status_code == again.status_code == (200 if user["is_active"] else 400), user["username"]
        if user["is_active"]:
            me = SurfaceClient(PUBLIC, first.json()["access_token"]).send("GET", "/api/v1/auth/me").json()
            assert (me["id"], me["username"], me["email"]) == (user["id"], user["username"], user["email"])


def test_every_user_lists_their_agents(sample: Sample, imported: Run) -> None:
    for user in sample.expected["users"]:
        if not user["is_active"]:
            continue
        credentials = {"username": user["username"], "password": user["password"]}
        token = SurfaceClient(PUBLIC).send("POST", "/api/v1/auth/login", credentials).json()["access_token"]

        listed = SurfaceClient(PUBLIC, token).send("GET", "/api/v1/agents/").json()

        theirs = {agent["id"] for agent in sample.expected["agents"] if agent["owner"] == user["id"]}
        assert {agent["id"] for agent in listed} == theirs


def test_every_key_has_the_expected_verdict(sample: Sample, imported: Run) -> None:
    verdicts = {"ok": "VALID", "not ok: its tenant is suspended": "AUTH_007"}
    for key in sample.expected["keys"]:
        data = _validated(key["api_key"])

        assert data["code"] == verdicts.get(key["verdict"], key["verdict"]), key["name"]
        if data["valid"]:
            shown = (data["api_key_id"], data["tenant_id"], data["agent_id"], data["permissions"])
            assert shown == (key["id"], key["tenant_id"], key["agent_id"], key["permissions"])
    counts = {row["id"]: row["usage_count"] for row in sample.expected["keys"]}
    for key_id, count in counts.items():
        shown = SurfaceClient(INTERNAL).send("GET", f"/api/v2/api-keys/{key_id}").json()["data"]
        assert shown["usage_count"] >= count


def test_orphans_are_refused_and_reported(sample: Sample, imported: Run) -> None:
    orphans = sample.expected["orphans"]

    assert _validated(orphans["api_key"])["code"] == "AUTH_005"
    assert not Agent.unscoped.filter(pk=orphans["agent_id"]).exists()
    listed = {
        (finding["kind"], finding["tenant_id"], finding["is_refused"])
        for finding in imported.report["findings"]
        if finding["reason"] == "refers to nothing"
    }
    assert listed == {("agents", orphans["tenant_id"], True), ("keys", orphans["tenant_id"], True)}


def test_every_config_equals_the_sent_one(sample: Sample, imported: Run) -> None:
    for sent in sample.expected["agents"]:
        config = sent["config_sent"] or {}

        agent = Agent.unscoped.get(pk=sent["id"])
        read = SurfaceClient(INTERNAL).send("GET", f"/api/v2/agents/{sent['id']}/config").json()["data"]

        assert (agent.name, agent.tenant_id, agent.config_version) == (sent["name"], sent["tenant_id"], 1)
        assert secrets.opened(agent.config) == config
        assert read == secrets.masked(config)


def test_every_plugin_setting_equals_the_sent_one(sample: Sample, imported: Run) -> None:
    for setting in sample.expected["plugins"]:
        query = f"?tenant_id={setting['tenant_id']}"
        if setting["agent_id"]:
            query += f"&agent_id={setting['agent_id']}"

        listed = SurfaceClient(INTERNAL).send("GET", f"/api/v1/plugins/settings{query}").json()

        shown = {row["plugin_name"]: (row["enabled"], row["config"]) for row in listed}
        assert shown[setting["plugin_name"]] == (setting["enabled"], setting["config"])


def test_tenants_equal_those_of_the_config_service(sample: Sample, imported: Run) -> None:
    for tenant in sample.expected["tenants"]:
        shown = SurfaceClient(INTERNAL).send("GET", f"/api/v2/tenants/{tenant['id']}").json()["data"]

        assert {name: shown[name] for name in tenant} == tenant
    assert imported.reasons("tenants") == [], "the web service's copies lack descriptions and contacts, and no more"


def test_second_run_writes_nothing_and_nothing_differs(sample: Sample, imported: Run, tmp_path: Path) -> None:
    with CaptureQueriesContext(connection) as queries:
        again = import_from(sample.config, tmp_path, "--apply", web=sample.web)
    compared = verify(sample.config, web=sample.web)

    writes = [query["sql"] for query in queries if query["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE", "REPLACE")]
    assert [sql for sql in writes if "common_lock" not in sql] == []
    assert {kind: counts["unchanged"] + counts["refused"] for kind, counts in again.report["kinds"].items()} == {
        kind: counts["read"] for kind, counts in imported.report["kinds"].items()
    }
    refused = [finding for finding in imported.report["findings"] if finding["is_refused"]]
    assert (compared.status, compared.err) == (4, "")
    assert compared.out.count(": refused") == len(refused)


def test_both_systems_have_the_same_verdict_on_every_key(sample: Sample, imported: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("\n".join(key["api_key"] for key in sample.expected["keys"]))

    outcome = verify(sample.config, "--verify-keys", str(keys), web=sample.web)

    assert outcome.status == 0
    assert len(outcome.rows) == len(sample.expected["keys"])


def test_old_databases_are_not_changed(sample: Sample, db: None, tmp_path: Path) -> None:
    before, beside = sample.digests(), {path.name for path in tmp_path.iterdir()}

    import_from(sample.config, tmp_path, "--apply", web=sample.web)

    assert sample.digests() == before
    assert {path.name for path in tmp_path.iterdir()} - beside == {"report.json"}


def test_output_and_report_have_no_secrets(sample: Sample, imported: Run) -> None:
    output = imported.outcome.out + imported.outcome.err + json.dumps(imported.report)

    for key in (*sample.expected["keys"], sample.expected["orphans"]):
        assert key["api_key"] not in output
    for secret in ("sk-secret", "$2b$"):
        assert secret not in output


def _validated(secret: str) -> dict[str, Any]:
    answer = SurfaceClient(INTERNAL).send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret})
    data: dict[str, Any] = answer.json()["data"]
    return data

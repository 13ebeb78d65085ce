"""API keys are masked in logs and free text, however they are written there."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from apikeys import keyformat
from apikeys.log_filter import SecretsFilter
from apikeys.models import ApiKey, UsageLogEntry
from core.scrubbing import scrubbed
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
SECRET = keyformat.generate("tenant_0123456789ab", "agent_0123456789ab")
BARE = SECRET.removeprefix("mmc_")
OLD = "mmc_dGVuYW50XzNmMGM5YTcxYjJkZV9hZ2VudF8wMTIzNDU2Nzg5YWJfMDEyMzQ1Njc4OWFiY2RlZl92MQ=="
UUID_KEY = "mmc_" + "NTUwZTg0MDAtZTI5Yi00MWQ0LWE3MTYtNDQ2NjU1NDQwMDAw" * 2
SPELLINGS = {
    "as it is": SECRET,
    "an old one": OLD,
    "one with UUIDs": UUID_KEY,
    "without its prefix": BARE,
    "in capitals": SECRET.upper(),
    "in small letters": SECRET.lower(),
    "without its prefix in capitals": BARE.upper(),
    "broken by a line end": SECRET[:50] + "\n" + SECRET[50:],
    "broken after a few characters": SECRET[:20] + "\r\n\t" + SECRET[20:],
    "broken in its prefix": "mm\nc_" + BARE,
    "broken by an escaped line end": SECRET[:50] + "\\n" + SECRET[50:],
    "broken by an encoded line end": SECRET[:30] + "%0A" + SECRET[30:70] + "%0d%0a" + SECRET[70:],
    "broken at every tenth character": "%0A".join(SECRET[at : at + 10] for at in range(0, len(SECRET), 10)),
    "percent-encoded": "".join(f"%{ord(character):02X}" for character in SECRET[3:]).join(("mmc", "")),
    "old and with encoded padding": OLD.replace("=", "%3D"),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_key_is_masked_in_every_spelling(spelling: str) -> None:
    text = f"GET /api/v2/api-keys/{spelling} 404\nnext line"

    assert scrubbed(text) == "GET /api/v2/api-keys/mmc_… 404\nnext line"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mmc_",
        "mmc_…0529",
        "the prefix is mmc_ and the next line\nis text",
        "mmc_short\nProduction key of the bot",
        "tenant_3f0c9a71b2de and agent_852df5c4da69",
        "/usr/lib/python3.11/site-packages/django/core/handlers/exception",
        "dGVuYW50XzNmMGM5YTcxYjJkZQ==",
    ],
)
def test_text_without_a_key_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_line_after_a_key_stays() -> None:
    assert scrubbed(f"{SECRET}\nProduction") == "mmc_…\nProduction"
    assert scrubbed(f"{BARE}\nProduction") == "mmc_…\nProduction"
    assert scrubbed(f"{OLD}\nProduction") == "mmc_…\nProduction"


@pytest.mark.parametrize("part", ["mmc_", "dGVuYW50X", "mmc_" + "%0A" * 8, "m\n\n\n\n", "mmc_" + "a" * 39 + "%0A"])
def test_long_text_takes_no_time(part: str) -> None:
    text = part * (500_000 // len(part))
    began = time.thread_time()

    scrubbed(text)

    assert time.thread_time() - began < 1


class TestLog:
    def logged(self, message: str, *args: Any, **options: Any) -> str:
        record = logging.getLogger("maim.test").makeRecord(
            "maim.test", 20, "", 1, message, args, options.get("exc_info")
        )
        SecretsFilter().filter(record)
        return logging.Formatter().format(record)

    def test_line_is_masked(self) -> None:
        assert self.logged("GET /%s 404", BARE) == "GET /mmc_… 404"

    def test_line_without_a_key_stays(self) -> None:
        assert self.logged("%d of %s", 5, "100%") == "5 of 100%"

    def test_traceback_is_masked(self) -> None:
        try:
            raise ValueError(f"Duplicate entry '{SECRET}'")
        except ValueError as error:
            text = self.logged("a fault", exc_info=(type(error), error, error.__traceback__))

        assert "Duplicate entry 'mmc_…'" in text
        assert "Traceback" in text
        assert SECRET not in text

    def test_key_in_a_path_is_masked_in_the_access_log(self, internal: SurfaceClient, caplog: Any) -> None:
        caplog.handler.addFilter(SecretsFilter())
        for spelling in (SECRET, BARE, SECRET[:50] + "%0A" + SECRET[50:]):
            internal.get(f"/api/v2/api-keys/{spelling}")

        lines = [line for line in caplog.text.splitlines() if "maim.access" in line]
        assert len(lines) == 3
        assert all("/api/v2/api-keys/mmc_… 404" in line for line in lines), caplog.text


class TestStored:
    def test_usage_log_keeps_no_key(self, internal: SurfaceClient) -> None:
        details = {"url": f"https://example.com/?key={SECRET}", BARE: [OLD, 5, None, {"deep": SECRET.upper()}]}
        body = {"action": f"chat {BARE[:90]}"[:100], "platform": OLD, "user_id": OLD, "details": details}

        response = internal.send("POST", "/api/v1/usage/log", body)

        assert response.status_code == 200
        entry = UsageLogEntry.objects.get()
        assert (entry.action, entry.platform, entry.user_id) == ("chat mmc_…", "mmc_…", "mmc_…")
        assert entry.details == {
            "url": "https://example.com/?key=mmc_…",
            "mmc_…": ["mmc_…", 5, None, {"deep": "mmc_…"}],
        }
        assert response.json()["data"]["details"] == entry.details

    def test_descriptions_keep_no_key(self, alice: Person) -> None:
        said, kept = f"the bot's key is {SECRET}.", "the bot's key is mmc_…."
        agent = make_agent(alice.tenant)
        keys = f"/api/v1/agents/{agent.id}/api_keys"
        paths = {
            f"/api/v1/tenants/{alice.tenant.id}": "PUT",
            f"/api/v1/agents/{agent.id}": "PUT",
        }

        stored = [alice.client.send(method, path, {"description": said}) for path, method in paths.items()]
        created = alice.client.send("POST", keys, {"name": "key", "description": said})
        changed = alice.client.send("PATCH", f"{keys}/{created.json()['id']}", {"description": f"{said} {BARE}"})
        template = alice.client.send(
            "POST", "/api/v1/templates", {"tenant_id": alice.tenant.id, "name": "template", "description": said}
        )

        bodies = [response.json() for response in (*stored, created, changed, template)]
        assert [body.get("data", body)["description"] for body in bodies] == [kept] * 3 + [f"{kept} mmc_…", kept]
        assert ApiKey.unscoped.get().description == f"{kept} mmc_…"

    def test_note_of_a_version_keeps_no_key(self, alice: Person) -> None:
        agent = make_agent(alice.tenant)

        alice.client.send("PUT", f"/api/v1/agents/{agent.id}/config?note={SECRET}", {"own": 1})

        versions = alice.client.get(f"/api/v1/agents/{agent.id}/config/versions").json()
        assert "mmc_…" in [version["note"] for version in versions]

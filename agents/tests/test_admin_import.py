"""The page of the admin that makes an agent from a bot's own files."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agents.models import Agent
from agents.serializers.transfer import MAX_FILE_LENGTH
from tests.support.operators import Operator, sign_in, url
from tests.support.people import Person

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
PAGE = "/admin/agents/agent/import/"
BOT = """
[inner]
version = "6.4.1"
[bot]
qq_account = 10001
nickname = "Mai"
[personality]
personality = "calm"
[chat]
talk_value = 0.5
[my_plugin]
speed = 3
"""


def send(olivia: Operator, tenant: str, bot: bytes | None = None, **fields: Any) -> Any:
    files = {} if bot is None else {"bot": SimpleUploadedFile("bot_config.toml", bot)}
    return olivia.client.post(PAGE, {"tenant": tenant, "name": "Mai", **files, **fields})


def test_operator_imports_a_bot_and_reads_what_was_repaired(olivia: Operator, alice: Person) -> None:
    response = send(olivia, alice.tenant.id, b"\xef\xbb\xbf" + BOT.encode())

    agent = Agent.unscoped.get()
    assert (agent.name, agent.tenant_id) == ("Mai", alice.tenant.id)
    assert agent.config["persona"] == {"personality": "calm"}
    page = response.content.decode()
    assert url(agent, "change") in page
    assert "qq_account" in page, "its number became a text"
    assert "my_plugin" in page, "it is unknown, and kept"
    assert olivia.audit_of("agent.create").object_id == agent.id


def test_dry_run_shows_the_config_and_stores_nothing(olivia: Operator, alice: Person) -> None:
    page = send(olivia, alice.tenant.id, BOT.encode(), dry_run="on").content.decode()

    assert "&quot;personality&quot;: &quot;calm&quot;" in page
    assert not Agent.unscoped.exists()


@pytest.mark.parametrize(
    ("bot", "sentence"),
    [
        (None, "bot_config.toml"),
        (b"[bot", "TOML"),
        ('nickname = "麦麦"'.encode("gbk"), "GBK"),
        (b"a = 1\n" * MAX_FILE_LENGTH, "128 KiB"),
    ],
)
def test_file_that_cannot_be_read_is_refused_in_a_sentence(
    olivia: Operator, alice: Person, bot: bytes | None, sentence: str
) -> None:
    response = send(olivia, alice.tenant.id, bot)

    assert sentence in str(response.context_data["form"].errors)
    assert not Agent.unscoped.exists()


def test_name_that_is_taken_and_unknown_tenant_are_refused(olivia: Operator, alice: Person) -> None:
    send(olivia, alice.tenant.id, BOT.encode())

    again, unknown = send(olivia, alice.tenant.id, BOT.encode()), send(olivia, "tenant_x", BOT.encode())

    assert again.context_data["form"].errors
    assert list(unknown.context_data["form"].errors) == ["tenant"]
    assert Agent.unscoped.count() == 1


def test_list_leads_to_the_page(olivia: Operator) -> None:
    assert PAGE in olivia.get("/admin/agents/agent/").content.decode()
    assert "multipart/form-data" in olivia.get(PAGE).content.decode()


def test_who_may_only_look_does_not_import(alice: Person) -> None:
    reader = sign_in("rita", is_superuser=False)

    assert send(reader, alice.tenant.id, BOT.encode()).status_code == 403
    assert PAGE not in reader.get("/admin/agents/agent/").content.decode()

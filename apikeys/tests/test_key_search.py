"""Finding a key by a secret that somebody pastes: whose is this?"""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from apikeys import keyformat
from apikeys.tests.api import KeyApi
from apikeys.tests.asking import report_leak
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, make_key
from tests.support.tables import changed_tables, tables

pytestmark = pytest.mark.django_db


def search(api: KeyApi, api_key: Any) -> Any:
    return api.send("POST", f"{api.path}/search", {"api_key": api_key})


def test_it_is_the_key_masked(enveloped: KeyApi) -> None:
    key = enveloped.create("key")
    enveloped.create("other")

    found = enveloped.data(search(enveloped, key["api_key"]))

    assert found == enveloped.get(key)
    assert list(found) == enveloped.fields
    assert found["api_key"] == keyformat.masked(keyformat.parse(key["api_key"]).hint)


def test_blanks_around_what_was_pasted_do_not_count(enveloped: KeyApi) -> None:
    key = enveloped.create()

    assert enveloped.data(search(enveloped, f"  {key['api_key']}\n")) == enveloped.get(key)


def test_a_secret_that_was_rotated_out_is_found_too(enveloped: KeyApi) -> None:
    key = enveloped.create()
    rotated = enveloped.rotate(key)

    found = enveloped.data(search(enveloped, key["api_key"]))

    assert found["api_key_id"] == key["api_key_id"]
    assert found["api_key"] == keyformat.masked(keyformat.parse(rotated["api_key"]).hint), "as its key is shown"


def test_and_one_that_leaked(enveloped: KeyApi) -> None:
    key = enveloped.create()
    report_leak(key["api_key"])

    found = enveloped.data(search(enveloped, key["api_key"]))

    assert found["api_key_id"] == key["api_key_id"]
    assert found["leaked_at"]


def test_one_of_a_deleted_key_is_found_no_more(enveloped: KeyApi) -> None:
    key = enveloped.create()
    enveloped.send("DELETE", enveloped.key_path(key))

    enveloped.assert_error(search(enveloped, key["api_key"]), 404, "KEY_001")


@pytest.mark.parametrize("change", ["mmc_", "no key", "mmc_…abcd", "🤖"])
def test_what_is_no_key_is_404(enveloped: KeyApi, change: str) -> None:
    enveloped.create()

    enveloped.assert_error(search(enveloped, change), 404, "KEY_001")


def test_an_unknown_key_is_404(enveloped: KeyApi, agent: Agent) -> None:
    enveloped.assert_error(search(enveloped, keyformat.generate(agent.tenant_id, agent.id)), 404, "KEY_001")


@pytest.mark.parametrize("value", [None, "", "  ", 5, [], {}])
def test_something_must_be_pasted(enveloped: KeyApi, value: Any) -> None:
    assert enveloped.error_fields(search(enveloped, value), 400, "VALIDATION_ERROR") == ["api_key"]


def test_a_strangers_key_is_404_to_the_public(alice: Person, bob: Person, charlie: Person, agent: Agent) -> None:
    hers, his = make_key(agent), make_key(make_agent(charlie.tenant))

    def status(person: Person, api_key: str) -> int:
        return int(person.client.send("POST", "/api/v1/api-keys/search", {"api_key": api_key}).status_code)

    assert [status(person, hers.secret) for person in (alice, bob, charlie)] == [200, 200, 404]
    assert [status(person, his.secret) for person in (alice, bob, charlie)] == [404, 404, 200]


def test_nothing_is_stored_or_logged(enveloped: KeyApi, caplog: pytest.LogCaptureFixture) -> None:
    key = enveloped.create()
    before = tables()
    caplog.clear()

    enveloped.data(search(enveloped, key["api_key"]))

    assert changed_tables(before, tables()) == set()
    assert "/search" in caplog.text
    assert key["api_key"][4:] not in caplog.text


def test_it_is_no_search_of_the_address(enveloped: KeyApi, internal: SurfaceClient) -> None:
    """In an address the secret would be in every log on the way."""
    key = enveloped.create()

    assert enveloped.send("GET", f"{enveloped.path}/search?api_key={key['api_key']}").status_code == 405
    assert enveloped.listed(f"q={key['api_key'][:90]}") == []

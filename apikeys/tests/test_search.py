"""GET and POST /api/v1/search: agents, keys and members of all of a person's tenants, and of nobody else's."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from apikeys import services
from apikeys.services import IssuedKey
from tenants import services as tenants
from tenants.models import Tenant
from tests.support.people import OPERATOR, Person, join, make_agent, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]
PATH = "/api/v1/search"


def post(person: Person, q: str, **body: Any) -> dict[str, Any]:
    response = person.client.send("POST", PATH, {"q": q, **body})
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def names(person: Person, q: str, **query: str) -> dict[str, list[str]]:
    """Return the names of what GET finds, by kind, without the kinds of which it finds nothing."""
    response = person.client.get(PATH, {"q": q, **query})
    assert response.status_code == 200, response.content
    found = {kind: [each.get("name", each.get("username")) for each in hits["items"]]
             for kind, hits in response.json().items()}  # fmt: skip
    return {kind: hits for kind, hits in found.items() if hits}


@pytest.fixture
def key(alice: Person) -> IssuedKey:
    return make_key(make_agent(alice.tenant, "Support bot"), "production of support")


def test_names_are_found_in_all_of_ones_tenants(alice: Person, bob: Person, charlie: Person, key: IssuedKey) -> None:
    join(bob, alice.tenant)
    make_agent(bob.tenant, "ＳＵＰＰＯＲＴ of Bob")
    make_agent(charlie.tenant, "support of Charlie")

    assert names(bob, "support") == {
        "agents": ["Support bot", "ＳＵＰＰＯＲＴ of Bob"],
        "api_keys": ["production of support"],
    }
    assert names(bob, "support", tenant_id=bob.tenant.id) == {"agents": ["ＳＵＰＰＯＲＴ of Bob"]}
    assert names(alice, "bob") == {"members": ["bob"]}
    assert names(charlie, "bob") == {}


def test_whole_ids_and_masked_secrets_are_found(alice: Person, charlie: Person, key: IssuedKey) -> None:
    masked = f"mmc_…{key.key.current_secret.hint}"

    assert names(alice, key.key.id) == names(alice, masked) == {"api_keys": ["production of support"]}
    assert names(alice, key.key.agent_id) == {"agents": ["Support bot"]}
    assert names(alice, alice.user.id) == {"members": ["alice"]}
    for hidden in (key.key.id, key.key.agent_id, masked, alice.user.id, alice.tenant.id):
        assert names(charlie, hidden) == {}


def test_match_shows_no_more_than_its_list(alice: Person, key: IssuedKey) -> None:
    found = post(alice, key.key.id)

    assert found["api_keys"] == {
        "items": [
            {
                "id": key.key.id,
                "tenant_id": alice.tenant.id,
                "agent_id": key.key.agent_id,
                "name": "production of support",
                "api_key": f"mmc_…{key.key.current_secret.hint}",
                "status": "active",
            }
        ],
        "has_more": False,
    }


def test_whole_secret_finds_its_key_also_after_a_rotation(alice: Person, charlie: Person, key: IssuedKey) -> None:
    rotated = services.rotate_key(actor=OPERATOR, key=key.key)

    for secret in (key.secret, rotated.secret):
        assert [each["id"] for each in post(alice, secret)["api_keys"]["items"]] == [key.key.id]
        assert post(charlie, secret)["api_keys"] == {"items": [], "has_more": False}
    other = tenants.create_tenant(actor=alice.actor, tenant_name="other", tenant_type="enterprise")
    assert post(alice, key.secret, tenant_id=other.id)["api_keys"]["items"] == []


def test_tenant_that_requires_a_second_factor_is_left_out(alice: Person, key: IssuedKey) -> None:
    Tenant.objects.filter(pk=alice.tenant.id).update(requires_mfa=True)

    for text in ("support", key.key.id, f"mmc_…{key.key.current_secret.hint}", key.secret, "alice"):
        assert {kind: hits["items"] for kind, hits in post(alice, text).items()} == {
            "agents": [],
            "api_keys": [],
            "members": [],
        }
    response = alice.client.send("POST", PATH, {"q": key.secret, "tenant_id": alice.tenant.id})
    assert (response.status_code, response.json()["code"]) == (403, "TENANT_006")


def test_whole_secret_in_a_url_is_rejected(alice: Person, key: IssuedKey) -> None:
    short = "mmc_" + b64encode(b"tenant_0123456789ab_agent_0123456789ab_0123456789abcdef_v1").decode()
    for text in (key.secret, short, f"key {short}"):
        response = alice.client.get(PATH, {"q": text})

        assert (response.status_code, list(response.json()["errors"])) == (400, ["q"])
        assert text not in response.content.decode()


def test_each_kind_is_bounded(alice: Person) -> None:
    agent = make_agent(alice.tenant, "many 1")
    for number in range(21):
        make_key(agent, f"many {number:02}")

    found = post(alice, "many")

    assert [each["name"] for each in found["api_keys"]["items"]] == [f"many {number:02}" for number in range(20)]
    assert {kind: hits["has_more"] for kind, hits in found.items()} == {
        "agents": False,
        "api_keys": True,
        "members": False,
    }


def test_invisible_text_matches_nothing(alice: Person, key: IssuedKey) -> None:
    assert names(alice, "\u200b\u2060") == {}


def test_another_tenant_is_not_found(alice: Person, charlie: Person) -> None:
    response = charlie.client.get(PATH, {"q": "a", "tenant_id": alice.tenant.id})

    assert response.status_code == 404

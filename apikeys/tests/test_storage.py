"""Keys at rest: an HMAC under a versioned secret, the key itself nowhere (docs/decisions/0004-keys-at-rest.md)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from apikeys import digests, keyformat
from apikeys.models import KeySecret
from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
OLD, NEW = "an older secret of thirty-two or more", "a newer secret of thirty-two or more"


def is_good(internal: SurfaceClient, secret: str) -> bool:
    answer = internal.send("POST", "/api/v2/auth/validate-api-key", {"api_key": secret}).json()
    assert answer["success"] or answer["error_code"] == "AUTH_005"
    return bool(answer["success"])


def everything_stored() -> str:
    """Return every value of every row of every table as one text."""
    texts = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            texts.append(str(cursor.fetchall()))
    return "\n".join(texts)


def test_secret_is_in_no_table(alice: Person, internal: SurfaceClient) -> None:
    agent = make_agent(alice.tenant)
    key = alice.client.send("POST", f"/api/v1/agents/{agent.id}/api_keys", {"name": "a key"}).json()
    secret = key["api_key"]
    assert is_good(internal, secret)
    alice.client.send("PUT", f"/api/v1/agents/{agent.id}/api_keys/{key['id']}", {"name": "renamed"})

    stored = everything_stored()

    assert "renamed" in stored, "the tables were read"
    assert secret not in stored
    assert secret[len(keyformat.PREFIX) :] not in stored
    assert keyformat.parse(secret).random[:34] not in stored


def test_digest_is_an_hmac_under_the_newest_pepper(alice: Person, settings: Any) -> None:
    settings.KEY_PEPPERS = {2: NEW, 1: OLD}

    secret = make_key(make_agent(alice.tenant)).secret

    row = KeySecret.objects.get()
    assert row.digest == hmac.new(NEW.encode(), secret.encode(), hashlib.sha256).hexdigest()
    assert row.pepper_id == 2
    assert row.hint == keyformat.parse(secret).random[-4:]


def test_key_stays_good_while_its_pepper_is_configured(alice: Person, internal: SurfaceClient, settings: Any) -> None:
    agent = make_agent(alice.tenant)
    settings.KEY_PEPPERS = {1: OLD}
    old = make_key(agent).secret

    settings.KEY_PEPPERS = {2: NEW, 1: OLD}
    new = make_key(agent).secret
    assert is_good(internal, old)
    assert is_good(internal, new)

    settings.KEY_PEPPERS = {2: NEW}
    assert not is_good(internal, old)
    assert is_good(internal, new)


def test_repr_of_an_issued_key_hides_the_secret(alice: Person) -> None:
    issued = make_key(make_agent(alice.tenant))

    assert issued.secret not in f"{issued} {issued!r}"


def test_imported_key_is_good_beside_newer_ones(alice: Person, internal: SurfaceClient) -> None:
    agent = make_agent(alice.tenant)
    issued = make_key(agent)
    payload = f"{agent.tenant_id}_{agent.id}_0123456789abcdef_v1"
    old = "mmc_" + base64.b64encode(payload.encode()).decode()
    assert not is_good(internal, old)

    pepper_id = digests.current_pepper_id()
    KeySecret.objects.create(key=issued.key, digest=digests.digest(old, pepper_id), pepper_id=pepper_id, hint="cdef")

    assert is_good(internal, old)
    assert is_good(internal, issued.secret)

"""Compressed bodies, which no endpoint reads (docs/contract.md section 2)."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.support.client import SurfaceClient
from tests.support.people import PASSWORD, Person

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
LOGIN, VALIDATE = "/api/v1/auth/login", "/api/v2/auth/validate-api-key"
BODY = json.dumps({"username": "alice", "password": PASSWORD}).encode()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "gzip, identity"])
def test_compressed_body_is_415(alice: Person, public: SurfaceClient, encoding: str) -> None:
    response = public.generic(
        "POST", LOGIN, gzip.compress(BODY), "application/json", headers={"Content-Encoding": encoding}
    )

    assert response.status_code == 415
    assert response.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert "Content-Encoding" in response.json()["detail"]


def test_compressed_form_is_415(alice: Person, public: SurfaceClient) -> None:
    form = gzip.compress(b"username=alice&password=password123")

    response = public.generic(
        "POST", LOGIN, form, "application/x-www-form-urlencoded", headers={"Content-Encoding": "gzip"}
    )

    assert response.status_code == 415


@pytest.mark.parametrize("encoding", ["identity", "", " Identity "])
def test_body_that_is_not_compressed_is_read(alice: Person, public: SurfaceClient, encoding: str) -> None:
    response = public.generic("POST", LOGIN, BODY, "application/json", headers={"Content-Encoding": encoding})

    assert response.status_code == 200


def test_internal_surface_refuses_it_too(internal: SurfaceClient) -> None:
    response = internal.generic(
        "POST", VALIDATE, gzip.compress(b"{}"), "application/json", headers={"Content-Encoding": "gzip"}
    )

    assert (response.status_code, response.json()["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")

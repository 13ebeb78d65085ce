"""Every case that covers the OpenAPI documents: as tests/test_schemathesis.py, which sends one in three."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from schemathesis import Case

from tests.support.documents import Things, bounded, internal, public
from tests.support.server import MaimServer


@pytest.fixture(scope="module")
def things(server: MaimServer) -> Iterator[Things]:
    with requests.Session() as session:
        yield Things(server, session, one_in=1)


@public.parametrize()
@bounded
def test_public(case: Case[Any], server: MaimServer, things: Things) -> None:
    things.check(case, server.public)


@internal.parametrize()
@bounded
def test_internal(case: Case[Any], server: MaimServer, things: Things) -> None:
    things.check(case, server.internal)

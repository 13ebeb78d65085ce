"""Both surfaces do what their OpenAPI documents say (tests/support/documents.py tells what is checked)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from schemathesis import Case

from tests.support.documents import Things, bounded, internal, public
from tests.support.server import MaimServer

pytestmark = pytest.mark.single


@pytest.fixture(scope="module")
def things(server: MaimServer) -> Iterator[Things]:
    with requests.Session() as session:
        yield Things(server, session, one_in=3)


@public.parametrize()
@bounded
def test_public(case: Case[Any], server: MaimServer, things: Things) -> None:
    things.check(case, server.public)


@internal.parametrize()
@bounded
def test_internal(case: Case[Any], server: MaimServer, things: Things) -> None:
    things.check(case, server.internal)

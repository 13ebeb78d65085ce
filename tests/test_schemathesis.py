"""Both surfaces behave as their OpenAPI documents say (tests/support/documents.py lists the checks)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from schemathesis import Case

from tests.support.documents import RequestObjects, bounded, internal, public
from tests.support.server import MaimServer

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    """A server whose changes do not wait for workers, because nothing is verified meanwhile."""
    serve = ("-m", "tests.support.serve_with", "PROPAGATION_SECONDS=0")
    with MaimServer(tmp_path_factory.mktemp("documents"), "maim_documents", serve=serve) as running:
        yield running


@pytest.fixture(scope="module")
def objects(hasty_server: MaimServer) -> Iterator[RequestObjects]:
    with requests.Session() as session:
        yield RequestObjects(hasty_server, session, one_in=12)


@public.parametrize()
@bounded
def test_public_surface_behaves_as_documented(
    case: Case[Any], hasty_server: MaimServer, objects: RequestObjects
) -> None:
    objects.check(case, hasty_server.public)


@internal.parametrize()
@bounded
def test_internal_surface_behaves_as_documented(
    case: Case[Any], hasty_server: MaimServer, objects: RequestObjects
) -> None:
    objects.check(case, hasty_server.internal)

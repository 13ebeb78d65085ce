"""The readiness of a surface, as the supervisor sees it."""

from __future__ import annotations

import dataclasses
import socket

import pytest

from core.http.surfaces import PUBLIC
from maim.server import supervisor

pytestmark = pytest.mark.embedded


def test_surface_that_listens_and_does_not_answer_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = PUBLIC.bind._replace(port=listener.getsockname()[1])

        assert not supervisor._answers(dataclasses.replace(PUBLIC, bind=bind))

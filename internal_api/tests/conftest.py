from __future__ import annotations

import pytest

from internal_api.tests.bot import Bot
from tests.support.client import SurfaceClient
from tests.support.people import Person


@pytest.fixture
def bot(alice: Person, internal: SurfaceClient) -> Bot:
    """A bot whose key may `chat` and `read`."""
    return Bot(alice, internal)

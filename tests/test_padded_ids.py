"""Ids with a trailing blank, which MariaDB would compare without it."""

from __future__ import annotations

import re

import pytest

from agents.models import Agent
from apikeys.models import ApiKey
from core.http.surfaces import INTERNAL, PUBLIC, Surface
from tests.test_permissions import INTERNAL_ROWS, PUBLIC_ROWS, Row, make_data

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("surface", "rows"), [(PUBLIC, PUBLIC_ROWS), (INTERNAL, INTERNAL_ROWS)], ids=["public", "internal"]
)
def test_id_with_a_trailing_blank_names_nothing(surface: Surface, rows: list[Row]) -> None:
    data = make_data()
    statuses = {}
    for row in rows:
        for name in re.findall(r"{(\w+_id)}", row.path):
            send = data.send(row, surface, data.people["owner"], blank_after=name)
            statuses[f"{row.method} {row.path}: {name}"] = send().status_code

    assert len(statuses) > 20
    assert {request: status for request, status in statuses.items() if status != 404} == {}


def test_text_with_a_trailing_blank_is_in_no_list() -> None:
    agent, key = (data := make_data()).agent, data.key.key
    padded = f"{agent.id} "

    assert not Agent.unscoped.filter(pk=padded).exists()
    assert not ApiKey.unscoped.filter(agent_id=padded).exists()
    assert list(Agent.unscoped.filter(pk__in=[padded, agent.id])) == [agent]
    assert list(ApiKey.unscoped.filter(agent_id__in=[padded, agent.id])) == [key]
    assert not ApiKey.unscoped.filter(agent_id__in=[padded]).exists()
    assert Agent.unscoped.exclude(pk=padded).get() == agent

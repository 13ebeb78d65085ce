"""Running servers, and gauges that one process takes for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from time_machine import travel

from core import gauges, servers
from core.models import Gauge, RunningServer
from core.servers import LOST_AFTER, ThisServer

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class TestServers:
    def test_each_serve_is_told_with_its_version_and_start(self) -> None:
        with travel(NOON, tick=False) as clock:
            first = ThisServer()
            first.note()
            clock.shift(20)
            second = ThisServer()
            second.note()
            first.note()

            found = servers.running()

        assert [(row.version, row.started_at) for row in found] == [
            (settings.VERSION, NOON + timedelta(seconds=20)),
            (settings.VERSION, NOON),
        ]
        assert all(row.host for row in found)

    def test_serve_that_ends_is_gone_at_once(self) -> None:
        server = ThisServer()
        server.note()

        server.leave()

        assert servers.running() == []

    def test_killed_serve_is_lost_soon_and_its_row_is_swept(self) -> None:
        with travel(NOON, tick=False) as clock:
            ThisServer().note()

            clock.shift(LOST_AFTER)
            assert (servers.running(), servers.sweep()) == ([], 0)

            clock.shift(LOST_AFTER + timedelta(seconds=1))
            assert servers.sweep() == 1
        assert not RunningServer.objects.exists()

    def test_page_shows_only_so_many(self) -> None:
        for _ in range(servers.MAX_SHOWN + 1):
            ThisServer().note()

        assert len(servers.running()) == servers.MAX_SHOWN


class TestGauges:
    def test_gauge_is_measured_when_it_is_due(self) -> None:
        counts = iter([7, 8])
        with travel(NOON, tick=False) as clock:
            measured = []
            for _ in range(4):
                measured.append(gauges.measure("agents", HOUR, lambda: next(counts)))
                clock.shift(HOUR / 2)

            assert measured == [True, False, True, False]
            assert gauges.read(["agents", "other"]) == {"agents": (8, NOON + HOUR)}

    def test_process_that_is_late_does_not_measure_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a process that has seen the gauge before another took it."""
        with travel(NOON, tick=False) as clock:
            gauges.measure("agents", HOUR, lambda: 7)
            clock.shift(HOUR)

            def count_meanwhile() -> int:
                assert not gauges.measure("agents", HOUR, lambda: 9), "it is being measured"
                return 8

            assert gauges.measure("agents", HOUR, count_meanwhile)

        assert Gauge.objects.get().number == 8

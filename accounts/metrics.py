"""The metrics of the mail queue. They are read from the database, so that they reveal a dead sender, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accounts.models import QueuedMail
from core.models import AuditEntry
from core.timed_reads import read_in_time


class MailStatus(NamedTuple):
    """The figures of the queue."""

    waiting: int
    oldest_seconds: float
    given_up: int


def mail_status() -> MailStatus:
    """Return how many mails wait, for how long the oldest has, and how many were ever given up."""
    queue = QueuedMail.objects.aggregate(waiting=Count("pk"), oldest=Min("created_at"))
    oldest = queue["oldest"]
    age = 0.0 if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds())
    return MailStatus(queue["waiting"], age, AuditEntry.objects.filter(action="mail.give_up").count())


class MailCollector(Collector):
    """A collector of the queue's figures. There are none if the database does not answer."""

    def collect(self) -> Iterator[Metric]:
        status = read_in_time(mail_status)
        if status is None:
            return
        yield GaugeMetricFamily("maim_mails_waiting", "Mails that wait to be sent", status.waiting)
        yield GaugeMetricFamily(
            "maim_mails_oldest_seconds", "Age of the mail that waits longest", status.oldest_seconds
        )
        yield CounterMetricFamily("maim_mails_given_up_total", "Mails that could not be sent", status.given_up)

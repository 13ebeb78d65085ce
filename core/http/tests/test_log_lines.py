"""Log lines, which show Chinese as Chinese and never break."""

from __future__ import annotations

import json
import logging
from logging.config import DictConfigurator

import pytest
from django.conf import settings

from core.http.refusals import RefusalFilter
from tests.support.client import SurfaceClient

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize(
    ("sent", "logged"),
    [
        ("/api/v2/没有", "/api/v2/没有"),
        ("/api/v2/🤖", "/api/v2/🤖"),
        ("/api/v2/%0aGET", "/api/v2/\\nGET"),
        ("/api/v2/%E2%80%A8%E2%80%AE", "/api/v2/\\u2028\\u202e"),
        ("/api/v2/\\n", "/api/v2/\\\\n"),
    ],
)
def test_access_log_escapes_only_what_cannot_be_printed(
    internal: SurfaceClient, caplog: pytest.LogCaptureFixture, sent: str, logged: str
) -> None:
    internal.send("GET", sent)

    (record,) = [record for record in caplog.records if record.name == "maim.access"]
    assert record.getMessage().startswith(f"GET {logged} 404 ")


def test_refused_request_is_logged_in_chinese_and_in_one_line() -> None:
    record = logging.makeLogRecord({"name": "django.security.Refused", "msg": "没有\n此项"})

    RefusalFilter().filter(record)

    assert record.getMessage() == "没有\\n此项"


def test_log_of_json_has_chinese_as_it_is() -> None:
    formatter = DictConfigurator(settings.LOGGING).configure_formatter(dict(settings.LOGGING["formatters"]["json"]))
    record = logging.makeLogRecord({"name": "maim", "levelname": "INFO", "msg": "没有此项", "request_id": "req_1"})

    line = formatter.format(record)

    assert "没有此项" in line
    assert json.loads(line)["message"] == "没有此项"

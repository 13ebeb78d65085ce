"""Finding keys in the lists: by name or id, by when they end, and by whether anybody uses them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from time_machine import travel

from apikeys.models import ApiKey
from apikeys.services import rotate_key
from apikeys.tests.api import KeyApi
from tests.support.people import OPERATOR, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def names(api: KeyApi, query: str) -> list[str]:
    return sorted(key["name"] for key in api.listed(query))


class TestText:
    def test_q_is_a_part_of_the_name(self, api: KeyApi) -> None:
        for name in ("Production", "product", "test"):
            api.create(name)

        assert names(api, "q=PROD") == ["Production", "product"]
        assert names(api, "q=%25") == []
        assert names(api, "q=%C2%AD") == [], "an invisible character"

    def test_or_the_whole_id(self, api: KeyApi) -> None:
        keys = {name: api.create(name) for name in ("one", "two")}
        key_id = keys["two"]["api_key_id" if api.is_enveloped else "id"]

        assert names(api, f"q={key_id}") == ["two"]
        assert names(api, f"q=%20{key_id}%20") == ["two"]
        assert names(api, f"q={key_id[:-1]}") == []
        assert names(api, f"q={key_id.upper()}") == []

    def test_or_the_masked_secret(self, api: KeyApi) -> None:
        keys = {name: api.create(name) for name in ("one", "two")}
        stored = api.get(keys["two"])["api_key"]

        for typed in (stored, stored.removeprefix("mmc_"), stored.replace("…", "..."), f"%20{stored}"):
            assert "two" in names(api, f"q={typed}"), typed
        assert names(api, "q=…zzzz") == []

    def test_or_the_masked_secret_of_before_a_rotation(self, api: KeyApi) -> None:
        key = make_key(api.agent, "rotated").key
        before = key.current_secret.hint
        rotate_key(actor=OPERATOR, key=key, grace_seconds=60)

        assert names(api, f"q=…{before}") == ["rotated"]


class TestExpiry:
    def test_soon_is_within_so_many_days_and_not_yet(self, api: KeyApi) -> None:
        for name, ends in (
            ("over", -timedelta(seconds=1)),
            ("now", timedelta()),
            ("soon", timedelta(seconds=1)),
            ("week", 7 * DAY),
            ("later", 7 * DAY + timedelta(seconds=1)),
        ):
            make_key(api.agent, name, expires_at=NOON + ends)
        make_key(api.agent, "stays")

        with travel(NOON, tick=False):
            assert names(api, "expires_within_days=7") == ["soon", "week"]
            assert names(api, "expires_within_days=6") == ["soon"]
            assert names(api, "expires_within_days=8") == ["later", "soon", "week"]
            assert names(api, "expires_within_days=0") == []
            assert names(api, "expires_within_days=3650") == ["later", "soon", "week"]

    def test_a_disabled_key_needs_no_warning(self, api: KeyApi) -> None:
        with travel(NOON, tick=False):
            key = api.create(expires_at="2026-02-01T00:00:00Z")
            api.put(key, status="disabled")

            assert names(api, "expires_within_days=7") == []


class TestUse:
    @pytest.fixture(autouse=True)
    def keys(self, api: KeyApi) -> None:
        """Issued a day before noon, or at it; last used at those times, or never."""
        for name, issued, used in (
            ("old, never used", NOON - DAY, None),
            ("old, used then", NOON - DAY, NOON - DAY),
            ("old, used now", NOON - DAY, NOON),
            ("new, never used", NOON, None),
        ):
            with travel(issued, tick=False):
                key = make_key(api.agent, name).key
            ApiKey.unscoped.filter(pk=key.pk).update(last_used_at=used)

    def test_never_used(self, api: KeyApi) -> None:
        assert names(api, "never_used=true") == ["new, never used", "old, never used"]
        assert names(api, "never_used=false") == ["old, used now", "old, used then"]

    def test_unused_since(self, api: KeyApi) -> None:
        assert names(api, "unused_since=2026-01-31T12:00:00Z") == ["old, never used", "old, used then"]
        assert names(api, "unused_since=2026-01-30T12:00:00Z") == []
        assert names(api, "unused_since=2026-01-31T12:00:01Z") == [
            "new, never used",
            "old, never used",
            "old, used now",
            "old, used then",
        ]

    def test_an_offset_is_honoured(self, api: KeyApi) -> None:
        assert names(api, "unused_since=2026-01-31T20:00:00%2B08:00") == ["old, never used", "old, used then"]

    def test_all_that_is_asked_must_fit(self, api: KeyApi) -> None:
        assert names(api, "never_used=true&unused_since=2026-01-31T12:00:00Z") == ["old, never used"]
        assert names(api, "never_used=true&q=new&status=active") == ["new, never used"]


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=" + "x" * 101, "q"),
        ("expires_within_days=-1", "expires_within_days"),
        ("expires_within_days=3651", "expires_within_days"),
        ("expires_within_days=soon", "expires_within_days"),
        ("never_used=1", "never_used"),
        ("never_used=", "never_used"),
        ("unused_since=2026-01-31", "unused_since"),
        ("unused_since=", "unused_since"),
    ],
)
def test_a_bad_filter_is_named(api: KeyApi, query: str, field: str) -> None:
    path = f"{api.path}?tenant_id={api.agent.tenant_id}&{query}"

    assert api.error_fields(api.send("GET", path), 400, "VALIDATION_ERROR") == [field]

"""Limits, networks and metadata of a key: set, shown, changed, cleared and refused, at every api.

How limits count is not told here, only that verification has them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from apikeys.models import ApiKey
from apikeys.tests.api import KeyApi
from apikeys.tests.asking import code_of, validate
from core import epoch
from core.models import AuditEntry, Invalidation

pytestmark = pytest.mark.django_db

RATE = {"limit": 100, "window_seconds": 60}
QUOTA = {"limit": 10**12, "period": "month"}
FIELDS: dict[str, Any] = {
    "rate_limit": RATE,
    "quota": QUOTA,
    "allowed_networks": ["203.0.113.0/24", "2001:db8::/32"],
    "metadata": {"team": "销售", "nested": {"list": [1, 1.0, True, None]}},
}
NONE: dict[str, Any] = {"rate_limit": None, "quota": None, "allowed_networks": [], "metadata": {}}


def shown(key: dict[str, Any]) -> dict[str, Any]:
    return {field: key[field] for field in FIELDS}


class TestSetting:
    def test_a_new_key_has_none(self, api: KeyApi) -> None:
        assert shown(api.create()) == NONE
        assert shown(api.create("nulls", **dict.fromkeys(FIELDS))) == NONE

    def test_what_is_set_is_shown_in_every_answer(self, api: KeyApi) -> None:
        key = api.create(**FIELDS)

        for answer in (key, api.get(key), api.listed()[0], api.put(key, description="new")):
            assert shown(answer) == FIELDS
            assert json.dumps(answer["metadata"]) == json.dumps(FIELDS["metadata"])

    @pytest.mark.parametrize("field", list(FIELDS))
    def test_one_is_changed_and_cleared_without_the_others(self, api: KeyApi, field: str) -> None:
        key = api.create(**FIELDS)

        cleared = api.put(key, **{field: NONE[field]})
        assert shown(cleared) == {**FIELDS, field: NONE[field]}
        assert shown(api.put(key, **{field: FIELDS[field]})) == FIELDS

    def test_null_clears_all_but_the_networks(self, api: KeyApi) -> None:
        """A null by mistake must not open the key to every network."""
        key = api.create(**FIELDS)

        changed = api.put(key, **dict.fromkeys(FIELDS))

        assert shown(changed) == {**NONE, "allowed_networks": FIELDS["allowed_networks"]}

    def test_metadata_is_replaced_and_not_merged(self, api: KeyApi) -> None:
        key = api.create(metadata={"a": 1, "b": 2})

        assert api.put(key, metadata={"b": 3})["metadata"] == {"b": 3}

    def test_json_is_not_equal_because_python_says_so(self, api: KeyApi) -> None:
        key = api.create(metadata={"a": 1})

        api.put(key, metadata={"a": True})

        assert api.get(key)["metadata"]["a"] is True

    def test_verification_hears_of_each_change(self, api: KeyApi) -> None:
        key = api.create()
        told_by_verdicts = [field for field in FIELDS if field != "metadata"]
        for number, field in enumerate(told_by_verdicts, 1):
            api.put(key, **{field: FIELDS[field]})
            assert Invalidation.objects.exclude(subject=epoch.NOTHING).count() == number, field

        told = validate(key["api_key"], client_ip="2001:db8::7")
        assert (told["code"], told["rate_limit"]["limit"], told["quota"]["limit"]) == ("VALID", 100, 10**12)

    def test_the_audit_log_has_them(self, api: KeyApi) -> None:
        key = api.create()
        api.put(key, **FIELDS)

        row = AuditEntry.objects.get(action="key.update")
        assert (row.before, row.after) == (NONE, FIELDS)


NO_LIMITS: list[tuple[str, Any, list[str]]] = [
    ("rate_limit", {"limit": 0, "window_seconds": 60}, ["rate_limit.limit"]),
    ("rate_limit", {"limit": 10_001, "window_seconds": 60}, ["rate_limit.limit"]),
    ("rate_limit", {"limit": "5", "window_seconds": 60}, ["rate_limit.limit"]),
    ("rate_limit", {"limit": 5.0, "window_seconds": 60}, ["rate_limit.limit"]),
    ("rate_limit", {"limit": True, "window_seconds": 60}, ["rate_limit.limit"]),
    ("rate_limit", {"limit": 5, "window_seconds": 0}, ["rate_limit.window_seconds"]),
    ("rate_limit", {"limit": 5, "window_seconds": 86_401}, ["rate_limit.window_seconds"]),
    ("rate_limit", {"limit": 5}, ["rate_limit.window_seconds"]),
    ("rate_limit", {"limit": None, "window_seconds": None}, ["rate_limit.limit", "rate_limit.window_seconds"]),
    ("rate_limit", {}, ["rate_limit.limit", "rate_limit.window_seconds"]),
    ("rate_limit", 5, ["rate_limit"]),
    ("rate_limit", [RATE], ["rate_limit"]),
    ("rate_limit", "100/minute", ["rate_limit"]),
    ("quota", {"limit": 10**12 + 1, "period": "day"}, ["quota.limit"]),
    ("quota", {"limit": 5, "period": "week"}, ["quota.period"]),
    ("quota", {"limit": 5, "period": None}, ["quota.period"]),
    ("quota", {"limit": 5, "period": 1}, ["quota.period"]),
    ("quota", {"limit": 5, "period": ["day"]}, ["quota.period"]),
    ("quota", {"period": "day"}, ["quota.limit"]),
    ("quota", False, ["quota"]),
]


class TestLimits:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("rate_limit", {"limit": 1, "window_seconds": 1}),
            ("rate_limit", {"limit": 10_000, "window_seconds": 86_400}),
            ("quota", {"limit": 1, "period": "day"}),
            ("quota", {"limit": 10**12, "period": "total"}),
        ],
    )
    def test_bounds_are_within(self, api: KeyApi, field: str, value: Any) -> None:
        assert api.create(**{field: value})[field] == value

    @pytest.mark.embedded
    def test_invalid_value_is_named_and_changes_nothing(self, api: KeyApi) -> None:
        for field, value, blamed in NO_LIMITS:
            assert api.error_fields(api.try_create(**{field: value}), 400, "VALIDATION_ERROR") == blamed, value
        assert not ApiKey.unscoped.exists()

        key = api.create(**FIELDS)
        for field, value, blamed in NO_LIMITS:
            response = api.send("PUT", api.key_path(key), {"name": "new", field: value})
            assert api.error_fields(response, 400, "VALIDATION_ERROR") == blamed, value
        assert api.get(key)["name"] == "key"

    def test_unknown_keys_are_ignored(self, api: KeyApi) -> None:
        assert api.create(rate_limit={**RATE, "burst": 5})["rate_limit"] == RATE


NO_NETWORKS = [
    ("203.0.113.7/24", "203.0.113.7/24 has host bits set; the network that it is in is 203.0.113.0/24"),
    ("2001:db8::1/32", "2001:db8::1/32 has host bits set; the network that it is in is 2001:db8::/32"),
    *(
        (text, f"{text} is not a network; write one as 203.0.113.0/24 or 2001:db8::/32")
        for text in (
            "example.com",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/８",
            "010.0.0.1",
            "fe80::1%eth0",
            "::/129",
            "10.0.0.0/8/8",
            "1",
            "🤖",
        )
    ),
]


OTHER_SHAPES: list[tuple[Any, str]] = [
    ("10.0.0.0/8", "allowed_networks"),
    ({"10.0.0.0/8": True}, "allowed_networks"),
    ([10], "allowed_networks.0"),
    (["10.0.0.0/8", None], "allowed_networks.1"),
    ([""], "allowed_networks.0"),
    (["1" * 51], "allowed_networks.0"),
    ([f"10.0.0.{n}" for n in range(101)], "allowed_networks"),
]


@pytest.mark.embedded
class TestNetworks:
    @pytest.mark.parametrize(
        ("sent", "stored"),
        [
            (["203.0.113.7"], ["203.0.113.7/32"]),
            (["2001:DB8::7"], ["2001:db8::7/128"]),
            (["2001:0db8:0000::/32"], ["2001:db8::/32"]),
            (["10.0.0.0/8", "10.0.0.0/08", "10.0.0.0/8"], ["10.0.0.0/8"]),
            (["0.0.0.0/0", "::/0"], ["0.0.0.0/0", "::/0"]),
            (["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"], ["10.0.0.0/8", "192.0.2.1/32"]),
            ([" 10.0.0.1 "], ["10.0.0.1/32"]),
            ([f"10.0.{n}.0/24" for n in range(100)], [f"10.0.{n}.0/24" for n in range(100)]),
        ],
    )
    def test_they_are_stored_in_one_way(self, api: KeyApi, sent: list[str], stored: list[str]) -> None:
        key = api.create(allowed_networks=sent)

        assert key["allowed_networks"] == stored
        assert api.put(key, allowed_networks=stored)["allowed_networks"] == stored
        assert AuditEntry.objects.filter(action="key.update").count() == 0

    def test_what_is_no_network_is_said_to_be_none(self, api: KeyApi) -> None:
        """v1 says it in English."""
        for text, sentence in NO_NETWORKS:
            response = api.try_create(allowed_networks=["10.0.0.0/8", text])

            assert api.error_fields(response, 400, "VALIDATION_ERROR") == ["allowed_networks"], text
            if not api.is_enveloped:
                assert response.json()["errors"] == {"allowed_networks": [sentence]}
        assert not ApiKey.unscoped.exists()

    def test_another_shape_is_named(self, api: KeyApi) -> None:
        for value, blamed in OTHER_SHAPES:
            response = api.try_create(allowed_networks=value)

            assert api.error_fields(response, 400, "VALIDATION_ERROR") == [blamed], value

    def test_the_key_is_good_from_there_alone(self, api: KeyApi) -> None:
        key = api.create(allowed_networks=["203.0.113.7", "::ffff:10.0.0.0/104", "2001:db8::/32"])

        for address, code in (
            ("203.0.113.7", "VALID"),
            ("203.0.113.8", "AUTH_008"),
            ("10.1.2.3", "VALID"),
            ("::ffff:10.1.2.3", "VALID"),
            ("2001:db8:1::1", "VALID"),
            ("2001:db9::1", "AUTH_008"),
        ):
            assert code_of(key["api_key"], client_ip=address) == code, address
        assert code_of(key["api_key"]) == "AUTH_008", "who does not say where they are"


class TestMetadata:
    def test_it_has_up_to_eight_kibibytes_of_json(self, api: KeyApi) -> None:
        """Counted in bytes of UTF-8 without blanks: an emoji has four."""
        fits = {"a": "🤖" * 2046}
        assert len(json.dumps(fits, ensure_ascii=False, separators=(",", ":")).encode()) == 8 * 1024
        key = api.create(metadata=fits)
        assert api.get(key)["metadata"] == fits

        too_large = {"a": "🤖" * 2046 + "x"}
        response = api.send("PUT", api.key_path(key), {"metadata": too_large})
        assert api.error_fields(response, 400, "VALIDATION_ERROR") == ["metadata"]
        assert api.error_fields(api.try_create("b", metadata=too_large), 400, "VALIDATION_ERROR") == ["metadata"]
        assert api.get(key)["metadata"] == fits

    @pytest.mark.embedded
    @pytest.mark.parametrize("value", [[], [{}], "text", "{}", 5, True])
    def test_it_is_an_object(self, api: KeyApi, value: Any) -> None:
        assert api.error_fields(api.try_create(metadata=value), 400, "VALIDATION_ERROR") == ["metadata"]


@pytest.mark.embedded
class TestPermissions:
    @pytest.mark.parametrize("permissions", [["config.*"], ["a.b.*", "*"], ["android", "order", "and."]])
    def test_what_a_key_may_have(self, api: KeyApi, permissions: list[str]) -> None:
        assert api.create(permissions=permissions)["permissions"] == permissions

    @pytest.mark.parametrize("name", ["and", "or", "(a", "a)", "()"])
    def test_what_an_expression_is_made_of_is_no_permission(self, api: KeyApi, name: str) -> None:
        assert api.error_fields(api.try_create(permissions=[name]), 400, "KEY_005") == ["permissions"]

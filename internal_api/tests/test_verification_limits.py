"""Limits and networks of keys (docs/contract.md sections 4 and 15, AUTH_006 and AUTH_008)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from time_machine import travel

from core.http.responses import utc_text
from core.limits import Period
from internal_api.tests.bot import REQUESTS, Bot, assert_rejected
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


class TestLimits:
    def test_response_shows_remaining_uses(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 3, "window_seconds": 60}, quota={"limit": 10, "period": "month"})

        now = timezone.now()
        with travel(now, tick=False):
            data = bot.send("validate-api-key")["data"]

        assert (data["rate_limit"]["limit"], data["rate_limit"]["remaining"]) == (3, 2)
        assert 50 <= (datetime.fromisoformat(data["rate_limit"]["reset"]) - now).total_seconds() <= 70
        end = Period.MONTH.end(now)
        assert end is not None
        assert data["quota"] == {"limit": 10, "remaining": 9, "reset": utc_text(end)}

    def test_over_a_rate_limit(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 2, "window_seconds": 3600})

        answers = [bot.send("validate-api-key") for _ in range(4)]

        assert [answer["success"] for answer in answers] == [True, True, False, False]
        assert bot.row().usage_count == 2
        over = answers[-1]
        assert list(over["data"]) == ["valid", "code", "retry_after"]
        assert 3590 <= over["data"].pop("retry_after") <= 3600
        assert_rejected(over, "AUTH_006")

    def test_over_a_quota(self, bot: Bot) -> None:
        bot.change(quota={"limit": 1, "period": "day"})
        with travel(NOON, tick=False):
            assert bot.send("validate-api-key")["data"]["quota"]["remaining"] == 0
            over = bot.send("validate-api-key")
        with travel(NOON + timedelta(hours=12), tick=False):
            assert bot.send("validate-api-key")["success"] is True, "the next day"

        assert over["data"].pop("retry_after") > 0
        assert_rejected(over, "AUTH_006")

    def test_used_up_total_quota_has_no_retry_after(self, bot: Bot) -> None:
        bot.change(quota={"limit": 1, "period": "total"})
        assert bot.send("validate-api-key")["data"]["quota"] == {"limit": 1, "remaining": 0, "reset": None}

        assert bot.send("validate-api-key")["data"]["retry_after"] is None

    def test_request_without_a_check_consumes_nothing_and_is_not_rejected(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 1, "window_seconds": 3600})

        asked = [bot.send("validate-api-key", check_rate_limit=False) for _ in range(3)]
        assert [answer["data"]["rate_limit"]["remaining"] for answer in asked] == [1, 1, 1]
        assert asked[0]["data"]["rate_limit"]["reset"] is None

        bot.send("validate-api-key")
        assert bot.send("validate-api-key", check_rate_limit=False)["success"] is True
        assert bot.send("check-permission")["success"] is True

    def test_limits_of_agent_and_tenant_apply_to_their_keys(self, bot: Bot, alice: Person) -> None:
        """The strictest counts, and who else uses them uses them up."""
        sibling = make_key(bot.agent).secret
        cousin = make_key(make_agent(alice.tenant)).secret
        bot.internal.send("PUT", f"/api/v2/agents/{bot.agent.id}", {"rate_limit": {"limit": 3, "window_seconds": 3600}})
        bot.internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"quota": {"limit": 4, "period": "total"}})

        rooms = [bot.send("validate-api-key", api_key=key)["data"] for key in (bot.secret, sibling, bot.secret)]
        assert [(room["rate_limit"]["remaining"], room["quota"]["remaining"]) for room in rooms] == [
            (2, 3), (1, 2), (0, 1),
        ]  # fmt: skip
        assert bot.send("validate-api-key")["error_code"] == "AUTH_006"
        assert bot.send("validate-api-key", api_key=cousin)["data"]["quota"]["remaining"] == 0
        assert bot.send("validate-api-key", api_key=cousin)["error_code"] == "AUTH_006"

    def test_new_quota_starts_at_the_uses_so_far(self, bot: Bot) -> None:
        with travel(NOON, tick=False):
            for _ in range(3):
                bot.send("validate-api-key")
            bot.change(quota={"limit": 5, "period": "day"})

            assert bot.send("validate-api-key")["data"]["quota"]["remaining"] == 1


@pytest.mark.embedded
@pytest.mark.parametrize("request_name", REQUESTS)
class TestNetworks:
    @pytest.mark.parametrize(
        ("client_ip", "is_inside"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("11.1.2.3", False),
            ("2001:db8::7", True),
            ("2001:DB8:0:0::7", True),
            ("2001:db9::7", False),
            ("192.0.2.1", True),
            ("192.0.2.2", False),
        ],
    )
    def test_key_is_valid_in_its_networks_only(
        self, bot: Bot, request_name: str, client_ip: str, is_inside: bool
    ) -> None:
        bot.change(allowed_networks=["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"])

        envelope = bot.send(request_name, client_ip=client_ip)

        if is_inside:
            assert envelope["success"] is True
        else:
            assert_rejected(envelope, "AUTH_008")

    def test_request_without_an_address_is_rejected(self, bot: Bot, request_name: str) -> None:
        bot.change(allowed_networks=["0.0.0.0/0", "::/0"])

        assert_rejected(bot.send(request_name), "AUTH_008")
        assert_rejected(bot.send(request_name, client_ip=None), "AUTH_008")
        assert bot.send(request_name, client_ip="203.0.113.7")["success"] is True

    def test_key_without_networks_is_valid_everywhere(self, bot: Bot, request_name: str) -> None:
        assert bot.send(request_name, client_ip="203.0.113.7")["success"] is True

    def test_request_from_another_network_counts_no_use(self, bot: Bot, request_name: str) -> None:
        bot.change(allowed_networks=["10.0.0.0/8"], rate_limit={"limit": 1, "window_seconds": 3600})
        for _ in range(3):
            assert_rejected(bot.send(request_name, client_ip="11.0.0.1"), "AUTH_008")

        assert bot.row().usage_count == 0
        assert bot.send(request_name, client_ip="10.0.0.1")["success"] is True

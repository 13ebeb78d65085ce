"""What a key is limited to: so many uses, and some networks (docs/contract.md sections 4 and 15)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from time_machine import travel

from core.http.responses import utc_text
from core.limits import Period
from internal_api.tests.bot import QUESTIONS, Bot, is_refused
from tests.support.people import Person, make_agent, make_key

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


class TestLimits:
    def test_what_is_left_is_shown(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 3, "window_seconds": 60}, quota={"limit": 10, "period": "month"})

        now = timezone.now()
        with travel(now, tick=False):
            data = bot.ask("validate-api-key")["data"]

        assert (data["rate_limit"]["limit"], data["rate_limit"]["remaining"]) == (3, 2)
        assert 50 <= (parse_datetime(data["rate_limit"]["reset"]) - now).total_seconds() <= 70  # type: ignore[operator]
        assert data["quota"] == {"limit": 10, "remaining": 9, "reset": utc_text(Period.MONTH.end(now))}  # type: ignore[arg-type]

    def test_over_a_rate_limit(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 2, "window_seconds": 3600})

        answers = [bot.ask("validate-api-key") for _ in range(4)]

        assert [answer["success"] for answer in answers] == [True, True, False, False]
        assert bot.row().usage_count == 2
        over = answers[-1]
        assert list(over["data"]) == ["valid", "code", "retry_after"]
        assert 3590 <= over["data"].pop("retry_after") <= 3600
        is_refused(over, "AUTH_006")

    def test_over_a_quota(self, bot: Bot) -> None:
        bot.change(quota={"limit": 1, "period": "day"})
        with travel(NOON, tick=False):
            assert bot.ask("validate-api-key")["data"]["quota"]["remaining"] == 0
            over = bot.ask("validate-api-key")
        with travel(NOON + timedelta(hours=12), tick=False):
            assert bot.ask("validate-api-key")["success"] is True, "the next day"

        assert over["data"].pop("retry_after") > 0
        is_refused(over, "AUTH_006")

    def test_over_a_quota_that_never_refills_no_wait_helps(self, bot: Bot) -> None:
        bot.change(quota={"limit": 1, "period": "total"})
        assert bot.ask("validate-api-key")["data"]["quota"] == {"limit": 1, "remaining": 0, "reset": None}

        assert bot.ask("validate-api-key")["data"]["retry_after"] is None

    def test_without_a_check_nothing_is_consumed_nor_refused(self, bot: Bot) -> None:
        bot.change(rate_limit={"limit": 1, "window_seconds": 3600})

        asked = [bot.ask("validate-api-key", check_rate_limit=False) for _ in range(3)]
        assert [answer["data"]["rate_limit"]["remaining"] for answer in asked] == [1, 1, 1]
        assert asked[0]["data"]["rate_limit"]["reset"] is None

        bot.ask("validate-api-key")
        assert bot.ask("validate-api-key", check_rate_limit=False)["success"] is True
        assert bot.ask("check-permission")["success"] is True

    def test_the_pools_of_its_agent_and_tenant_are_limits_too(self, bot: Bot, alice: Person) -> None:
        """The strictest counts, and who else uses them uses them up."""
        sibling = make_key(bot.agent).secret
        cousin = make_key(make_agent(alice.tenant)).secret
        bot.internal.send("PUT", f"/api/v2/agents/{bot.agent.id}", {"rate_limit": {"limit": 3, "window_seconds": 3600}})
        bot.internal.send("PUT", f"/api/v2/tenants/{alice.tenant.id}", {"quota": {"limit": 4, "period": "total"}})

        rooms = [bot.ask("validate-api-key", api_key=key)["data"] for key in (bot.secret, sibling, bot.secret)]
        assert [(room["rate_limit"]["remaining"], room["quota"]["remaining"]) for room in rooms] == [
            (2, 3), (1, 2), (0, 1),
        ]  # fmt: skip
        assert bot.ask("validate-api-key")["error_code"] == "AUTH_006"
        assert bot.ask("validate-api-key", api_key=cousin)["data"]["quota"]["remaining"] == 0
        assert bot.ask("validate-api-key", api_key=cousin)["error_code"] == "AUTH_006"

    def test_the_quota_of_a_used_key_begins_with_what_it_has_used(self, bot: Bot) -> None:
        with travel(NOON, tick=False):
            for _ in range(3):
                bot.ask("validate-api-key")
            bot.change(quota={"limit": 5, "period": "day"})

            assert bot.ask("validate-api-key")["data"]["quota"]["remaining"] == 1


@pytest.mark.embedded
@pytest.mark.parametrize("question", QUESTIONS)
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
    def test_a_key_for_some_networks_is_good_there_alone(
        self, bot: Bot, question: str, client_ip: str, is_inside: bool
    ) -> None:
        bot.change(allowed_networks=["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"])

        envelope = bot.ask(question, client_ip=client_ip)

        if is_inside:
            assert envelope["success"] is True
        else:
            is_refused(envelope, "AUTH_008")

    def test_who_does_not_say_from_where_is_not_from_there(self, bot: Bot, question: str) -> None:
        bot.change(allowed_networks=["0.0.0.0/0", "::/0"])

        is_refused(bot.ask(question), "AUTH_008")
        is_refused(bot.ask(question, client_ip=None), "AUTH_008")
        assert bot.ask(question, client_ip="203.0.113.7")["success"] is True

    def test_a_key_for_everywhere_does_not_care(self, bot: Bot, question: str) -> None:
        assert bot.ask(question, client_ip="203.0.113.7")["success"] is True

    def test_who_was_not_let_in_used_nothing(self, bot: Bot, question: str) -> None:
        bot.change(allowed_networks=["10.0.0.0/8"], rate_limit={"limit": 1, "window_seconds": 3600})
        for _ in range(3):
            is_refused(bot.ask(question, client_ip="11.0.0.1"), "AUTH_008")

        assert bot.row().usage_count == 0
        assert bot.ask(question, client_ip="10.0.0.1")["success"] is True

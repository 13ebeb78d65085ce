"""The search of the admin: by POST, so that a secret that somebody pastes is in no URL and no log."""

from __future__ import annotations

import pytest

from accounts import services as accounts
from accounts.models import PersonalToken, QueuedMail
from agents.models import Agent
from apikeys.models import ApiKey
from core.actor import TokenScope
from tests.support.client import context_of
from tests.support.operators import Operator, url
from tests.support.people import PASSWORD, Person, make_agent, make_key

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
PALETTE = "/admin/search/"


def found(operator: Operator, text: str) -> list[str]:
    """Return the URLs that the command palette offers for a text."""
    response = operator.client.post(PALETTE, {"q": text})
    assert response.status_code == 200, response.status_code
    return [row.url for row in context_of(response)["found"]]


class TestPalette:
    def test_rows_of_every_kind_are_found_by_the_beginning_of_a_name(self, olivia: Operator, alice: Person) -> None:
        agent = make_agent(alice.tenant, "Alice's bot")
        key = make_key(agent, name="ALICE key").key

        rows = [alice.tenant, alice.user, agent, key]
        assert sorted(found(olivia, "alice")) == sorted(url(row, "change") for row in rows)

    def test_row_is_found_by_its_id_or_masked_key(self, olivia: Operator, alice: Person) -> None:
        key = make_key(make_agent(alice.tenant)).key

        assert found(olivia, key.pk) == [url(key, "change")]
        assert found(olivia, f"mmc_…{key.current_secret.hint}") == [url(key, "change")]
        assert found(olivia, alice.user.pk) == [url(alice.user, "change")]

    def test_secret_leads_to_its_row_alone(self, olivia: Operator, alice: Person) -> None:
        issued = make_key(make_agent(alice.tenant))

        assert found(olivia, issued.secret) == [url(issued.key, "change")]
        assert found(olivia, issued.secret[:-1] + "x") == []

    @pytest.mark.parametrize("text", ["", "   ", "nobody", "a" * 10_000, "\x00", "%"])
    def test_nothing_is_found_otherwise(self, olivia: Operator, alice: Person, text: str) -> None:
        assert found(olivia, text) == []

    def test_it_is_for_operators_and_by_post(self, olivia: Operator, alice: Person) -> None:
        assert alice.client.post(PALETTE, {"q": "alice"}).status_code == 302
        assert context_of(olivia.client.get(f"{PALETTE}?q=olivia"))["found"] == []


class TestLists:
    @pytest.mark.parametrize("term", ["9" * 19, "9" * 5000, "x"])
    def test_term_that_is_no_number_of_a_row_finds_none(self, olivia: Operator, term: str) -> None:
        assert olivia.client.get(url(QueuedMail), {"q": term}).status_code == 200

    def test_search_of_a_list_is_in_its_url_with_the_filters(self, olivia: Operator) -> None:
        response = olivia.client.post(f"{url(Agent)}?status__exact=active", {"q": " bot ", "_search": "1"})

        assert response["Location"] == f"{url(Agent)}?status__exact=active&q=bot"

    def test_secret_is_in_no_url(self, olivia: Operator, alice: Person) -> None:
        issued = make_key(make_agent(alice.tenant))
        token = accounts.create_token(
            actor=alice.actor, user=alice.user, name="ci", scope=TokenScope.READ, password=PASSWORD
        ).token

        for text, row in ((issued.secret, issued.key), (token, PersonalToken.objects.get())):
            response = olivia.client.post(url(Agent), {"q": text, "_search": "1"})
            assert response["Location"] == url(row, "change")

    def test_unknown_secret_is_in_no_url_either(self, olivia: Operator, alice: Person) -> None:
        secret = make_key(make_agent(alice.tenant)).secret

        response = olivia.client.post(url(ApiKey), {"q": f"{secret[:-4]}0000", "_search": "1"}, follow=True)

        assert response.redirect_chain == [(f"{url(ApiKey)}?", 302)]
        assert "No key or token has this secret." in response.content.decode()

"""API keys and the bots' usage log in the operators' admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from time_machine import travel

from agents.models import Agent
from apikeys import services, verification
from apikeys.access import get_secret
from apikeys.models import ApiKey, UsageLogEntry
from apikeys.usage_log import log_usage
from core.models import AuditEntry
from tenants.roles import Access
from tests.support.operators import Operator, errors_of, form_of, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(alice: Person) -> Agent:
    return make_agent(alice.tenant, "Helper")


@pytest.mark.embedded
def test_an_operator_issues_a_key(olivia: Operator, agent: Agent) -> None:
    response = olivia.add(
        ApiKey,
        agent=agent.pk,
        name="First",
        permissions='["agent:read", "chat"]',
        expires_at_0="2999-01-31",
        expires_at_1="12:00:00",
    )

    key = ApiKey.unscoped.get()
    assert (key.agent_id, key.tenant_id, key.permissions) == (agent.pk, agent.tenant_id, ["agent:read", "chat"])
    assert key.expires_at == datetime(2999, 1, 31, 12, tzinfo=UTC)
    verdict = verification.verify(response.context_data["secret"])
    assert verdict.facts is not None
    assert verdict.facts.key_id == key.pk


@pytest.mark.embedded
def test_the_secret_is_shown_once_and_kept_nowhere(
    olivia: Operator, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    response = olivia.add(ApiKey, agent=agent.pk, name="First")

    secret = response.context_data["secret"].removeprefix("mmc_")
    key = ApiKey.unscoped.get()
    assert response.status_code == 200
    assert response.content.decode().count(secret) == 1
    assert "no-store" in response["Cache-Control"]

    for page in (url(ApiKey), url(key, "change"), url(key, "delete"), "/admin/"):
        text = olivia.get(page).content.decode()
        assert secret not in text
        assert page in (url(key, "delete"), "/admin/") or f"mmc_…{key.secrets.get().hint}" in text
    entry = olivia.audit_of("key.create")
    assert (entry.object_id, entry.tenant_id, entry.after["name"]) == (key.pk, agent.tenant_id, "First")
    assert secret not in str(list(AuditEntry.objects.values_list()))
    assert secret not in str([session.get_decoded() for session in Session.objects.all()])
    assert secret not in str(olivia.client.cookies)
    assert secret not in str(response.headers)
    assert caplog.text
    assert secret not in caplog.text


@pytest.mark.embedded
def test_sending_the_form_again_issues_no_second_key(olivia: Operator, agent: Agent) -> None:
    olivia.add(ApiKey, agent=agent.pk, name="First")

    response = olivia.add(ApiKey, agent=agent.pk, name="First")

    assert errors_of(response) == {"__all__": ["An API key of this name already exists in the tenant"]}
    assert ApiKey.unscoped.count() == 1
    # The agent is named beside its id, since ids say little and names are taken many times.
    assert "<bdi>Helper</bdi> (<bdi>alice&#x27;s Personal Tenant</bdi>)" in response.content.decode()


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        (
            {"agent": "agent_000000000000"},
            {"agent": ["Select a valid choice. That choice is not one of the available choices."]},
        ),
        ({"agent": ""}, {"agent": ["This field is required."]}),
        (
            {"permissions": '["a b"]'},
            {
                "permissions": [
                    'A permission is 1 to 64 characters without blanks or parentheses, and neither "and" nor "or"'
                ]
            },
        ),
        ({"permissions": "[5]"}, {"permissions": ["0: Not a valid string."]}),
        ({"permissions": "[chat"}, {"permissions": ["not JSON at line 1, column 2"]}),
        (
            {"expires_at_0": "1066-10-14", "expires_at_1": "09:00"},
            {"expires_at": ["The time must lie between 1970 and 9999."]},
        ),
    ],
)
def test_what_a_new_key_may_not_be(
    olivia: Operator, agent: Agent, fields: dict[str, str], errors: dict[str, list[str]]
) -> None:
    before = AuditEntry.objects.count()

    response = olivia.add(ApiKey, **{"agent": agent.pk, "name": "First", **fields})

    assert errors_of(response) == errors
    assert not ApiKey.unscoped.exists()
    assert AuditEntry.objects.count() == before


@pytest.mark.embedded
def test_an_archived_agent_gets_no_key(olivia: Operator, agent: Agent) -> None:
    Agent.unscoped.filter(pk=agent.pk).update(status="archived")

    response = olivia.add(ApiKey, agent=agent.pk, name="First")

    assert errors_of(response) == {"__all__": ["An archived agent gets no new keys"]}


@pytest.mark.embedded
def test_an_operator_changes_a_key(olivia: Operator, agent: Agent) -> None:
    issued = make_key(agent, "First", permissions=["chat"])

    response = olivia.change(
        issued.key,
        name="Second",
        description="for the phone",
        permissions="[]",
        status="disabled",
        expires_at_0="2999-01-31",
        expires_at_1="12:00:00",
    )

    key = ApiKey.unscoped.get()
    assert response["Location"] == url(ApiKey)
    assert (key.name, key.description, key.permissions, key.status) == ("Second", "for the phone", [], "disabled")
    entry = olivia.audit_of("key.update")
    assert entry.before == {
        "name": "First",
        "description": None,
        "permissions": ["chat"],
        "status": "active",
        "expires_at": None,
    }
    assert entry.after["status"] == "disabled"
    assert issued.secret not in str(entry.after)


@pytest.mark.embedded
def test_saving_a_form_unchanged_changes_nothing(olivia: Operator, agent: Agent) -> None:
    key = make_key(agent, expires_at=timezone.now() + timedelta(days=1)).key
    before = AuditEntry.objects.count()

    assert olivia.change(key).status_code == 302
    assert AuditEntry.objects.count() == before


@pytest.mark.embedded
def test_an_expiry_is_taken_away(olivia: Operator, agent: Agent) -> None:
    key = make_key(agent, expires_at=timezone.now() + timedelta(days=1)).key

    olivia.change(key, expires_at_0="", expires_at_1="")

    assert ApiKey.unscoped.get().expires_at is None


def test_a_taken_name_is_an_error_of_the_form(olivia: Operator, agent: Agent) -> None:
    make_key(agent, "First")
    key = make_key(agent, "Second").key

    response = olivia.change(key, name="FIRST")

    assert errors_of(response) == {"__all__": ["An API key of this name already exists in the tenant"]}


@pytest.mark.embedded
def test_operators_disable_and_enable_keys(olivia: Operator, agent: Agent) -> None:
    keys = [make_key(agent), make_key(agent)]
    rows = [issued.key for issued in keys]

    def verdicts() -> list[str]:
        return [verification.verify(issued.secret).code for issued in keys]

    assert olivia.act("disable", *rows)["Location"] == url(ApiKey)
    assert verdicts() == [verification.DISABLED] * 2
    disabled = AuditEntry.objects.filter(action="key.update", actor_id=olivia.user.pk)
    assert [(entry.before, entry.after) for entry in disabled] == [({"status": "active"}, {"status": "disabled"})] * 2

    olivia.act("enable", *rows)
    assert verdicts() == [verification.VALID] * 2
    assert disabled.all().count() == 4


@pytest.mark.embedded
def test_an_operator_deletes_a_key(olivia: Operator, agent: Agent) -> None:
    issued = make_key(agent, "First")

    assert olivia.delete(issued.key)["Location"] == url(ApiKey)

    assert verification.verify(issued.secret).code == verification.UNKNOWN
    assert olivia.audit_of("key.delete").before["name"] == "First"


@pytest.mark.embedded
def test_operators_delete_keys_in_bulk(olivia: Operator, agent: Agent) -> None:
    keys = [make_key(agent).key, make_key(agent).key]
    assert "Are you sure" in olivia.act("delete_selected", *keys).content.decode()

    rows = [key.pk for key in keys]
    olivia.client.post(url(ApiKey), {"action": "delete_selected", "_selected_action": rows, "post": "yes"})

    assert not ApiKey.unscoped.exists()
    assert AuditEntry.objects.filter(action="key.delete", actor_id=olivia.user.pk).count() == 2


def test_keys_are_found_by_what_people_see(olivia: Operator, agent: Agent, charlie: Person) -> None:
    good = make_key(agent, "Good").key
    make_key(agent, "Over", expires_at=timezone.now() - timedelta(days=1))
    scout = make_agent(charlie.tenant, "Scout")
    make_key(scout, "Foreign")

    def found(**query: str) -> list[str]:
        return sorted(key.name for key in olivia.get(url(ApiKey), **query).context_data["cl"].result_list)

    assert found() == ["Foreign", "Good", "Over"]
    assert found(status="expired") == ["Over"]
    assert found(status="active") == ["Foreign", "Good"]
    assert found(status="nonsense") == found()
    assert found(q="FOR") == ["Foreign"], "by the beginning of its name, in any case"
    assert found(q="eign") == []
    assert found(q=scout.pk) == ["Foreign"]
    assert found(q=charlie.tenant.pk) == ["Foreign"]
    assert found(q=good.pk) == ["Good"]
    assert found(q=agent.pk) == ["Good", "Over"]
    assert "Good" in found(q=f"mmc_…{good.current_secret.hint}")


@pytest.mark.embedded
def test_who_may_only_look_neither_issues_nor_disables(agent: Agent) -> None:
    oscar = sign_in("oscar", is_superuser=False)
    key = make_key(agent, permissions=["chat"]).key

    assert "chat" in oscar.get(url(key, "change")).content.decode()
    assert oscar.client.get(url(ApiKey, "add")).status_code == 403
    oscar.act("disable", key)

    key.refresh_from_db()
    assert key.status == "active"


# ---- limits, networks, metadata


@pytest.mark.embedded
def test_an_operator_sets_what_bounds_a_key(olivia: Operator, agent: Agent) -> None:
    olivia.add(
        ApiKey,
        agent=agent.pk,
        name="First",
        rate_limit_limit="5",
        rate_limit_window_seconds="60",
        quota_limit="100",
        quota_period="day",
        allowed_networks='["203.0.113.7"]',
        metadata='{"team": "销售"}',
    )

    key = ApiKey.unscoped.get()
    assert (key.rate_limit, key.quota) == ({"limit": 5, "window_seconds": 60}, {"limit": 100, "period": "day"})
    assert (key.allowed_networks, key.metadata) == (["203.0.113.7/32"], {"team": "销售"})

    empty = dict.fromkeys(("rate_limit_limit", "rate_limit_window_seconds", "quota_limit", "quota_period"), "")
    olivia.change(key, **empty, allowed_networks="", metadata="")
    key.refresh_from_db()
    assert (key.rate_limit, key.quota, key.allowed_networks, key.metadata) == (None, None, [], {})
    assert olivia.audit_of("key.update").before["quota"] == {"limit": 100, "period": "day"}


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("field", "text", "error"),
    [
        (
            "allowed_networks",
            '["10.0.0.1/8"]',
            "10.0.0.1/8 has host bits set; the network that it is in is 10.0.0.0/8",
        ),
        ("metadata", "[]", "Must be an object."),
        ("metadata", '{"a": "' + "x" * 8185 + '"}', "The metadata may have at most 8 KiB of JSON"),
    ],
)
def test_what_may_not_bound_a_key(olivia: Operator, agent: Agent, field: str, text: str, error: str) -> None:
    key = make_key(agent).key

    assert errors_of(olivia.change(key, **{field: text})) == {field: [error]}
    assert not AuditEntry.objects.filter(action="key.update").exists()


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("field", "inputs", "error"),
    [
        ("rate_limit", {"rate_limit_limit": "5"}, "Seconds: This field is required."),
        ("rate_limit", {"rate_limit_limit": "five", "rate_limit_window_seconds": "1"}, "Uses: Enter a whole number."),
        (
            "rate_limit",
            {"rate_limit_limit": "5", "rate_limit_window_seconds": "9" * 5000},
            "Seconds: Enter a whole number.",
        ),
        (
            "quota",
            {"quota_limit": "0", "quota_period": "day"},
            "Uses: Ensure this value is greater than or equal to 1.",
        ),
        ("quota", {"quota_period": "day"}, "Uses: This field is required."),
        ("quota", {"quota_limit": "5", "quota_period": "week"}, "Period: Must be one of: day, month, total."),
    ],
)
def test_limit_with_a_wrong_input_is_refused_at_its_field(
    olivia: Operator, agent: Agent, field: str, inputs: dict[str, str], error: str
) -> None:
    key = make_key(agent).key

    response = olivia.change(key, **inputs)

    assert errors_of(response) == {field: [error]}
    assert not AuditEntry.objects.filter(action="key.update").exists()


@pytest.mark.embedded
def test_refused_limit_stays_in_its_inputs(olivia: Operator, agent: Agent) -> None:
    form = form_of(olivia.change(make_key(agent).key, rate_limit_limit="five", quota_period="month"))

    assert (form["rate_limit_limit"], form["quota_period"]) == (["five"], ["month"])


@pytest.mark.embedded
def test_stored_limit_is_in_its_inputs_and_saving_keeps_it(olivia: Operator, agent: Agent) -> None:
    key = make_key(agent, rate_limit={"limit": 5, "window_seconds": 60}).key

    form = form_of(olivia.get(url(key, "change")))
    olivia.change(key, description="new")

    assert (form["rate_limit_limit"], form["rate_limit_window_seconds"]) == (["5"], ["60"])
    assert list(olivia.audit_of("key.update").after) == ["description"]


@pytest.mark.embedded
def test_viewer_reads_limits_as_text(agent: Agent) -> None:
    key = make_key(agent, quota={"limit": 100, "period": "month"}).key

    page = sign_in("oscar", is_superuser=False).get(url(key, "change")).content.decode()

    assert "Uses: 100; Period: month" in page


# ---- rotation and leaks


@pytest.mark.embedded
def test_an_operator_rotates_a_key(olivia: Operator, agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    issued = make_key(agent, "First")
    assert url(issued.key, "rotate") in olivia.get(url(issued.key, "change")).content.decode()

    response = olivia.submit(url(issued.key, "rotate"), grace_seconds="60")

    secret = response.context_data["secret"]
    assert response.content.decode().count(secret) == 1
    assert "no-store" in response["Cache-Control"]
    assert verification.verify(secret).code == verification.VALID
    assert verification.verify(issued.secret).code == verification.VALID
    with travel(timezone.now() + timedelta(minutes=1), tick=False):
        assert verification.verify(issued.secret).code == verification.EXPIRED
    assert olivia.audit_of("key.rotate").after["grace_seconds"] == 60

    for page in (url(ApiKey), url(issued.key, "change"), url(issued.key, "rotate")):
        text = olivia.get(page).content.decode()
        assert secret not in text
        assert issued.secret not in text
    stored = str(list(AuditEntry.objects.values())) + str([each.get_decoded() for each in Session.objects.all()])
    assert secret not in stored + caplog.text


@pytest.mark.embedded
def test_without_a_word_about_grace_the_old_secret_ends_at_once(olivia: Operator, agent: Agent) -> None:
    issued = make_key(agent)

    olivia.submit(url(issued.key, "rotate"))

    assert verification.verify(issued.secret).code == verification.EXPIRED


@pytest.mark.embedded
@pytest.mark.parametrize("grace", ["", "-1", "2592001", "soon"])
def test_a_rotation_that_is_refused_shows_the_form_again(olivia: Operator, agent: Agent, grace: str) -> None:
    key = make_key(agent).key

    response = olivia.submit(url(key, "rotate"), grace_seconds=grace)

    assert response.status_code == 200
    assert response.context_data["form"].errors
    assert key.secrets.count() == 1


@pytest.mark.embedded
def test_a_key_of_an_archived_agent_is_not_rotated(olivia: Operator, agent: Agent) -> None:
    key = make_key(agent).key
    Agent.unscoped.filter(pk=agent.pk).update(status="archived")

    response = olivia.submit(url(key, "rotate"))

    assert "The keys of an archived agent get no new secrets" in response.content.decode()
    assert key.secrets.count() == 1


@pytest.mark.embedded
def test_who_may_only_look_does_not_rotate(agent: Agent) -> None:
    oscar = sign_in("oscar", is_superuser=False)
    key = make_key(agent).key

    assert url(key, "rotate") not in oscar.get(url(key, "change")).content.decode()
    assert oscar.client.get(url(key, "rotate")).status_code == 403
    assert oscar.client.post(url(key, "rotate"), {"grace_seconds": "0"}).status_code == 403
    assert key.secrets.count() == 1


@pytest.mark.embedded
def test_a_key_that_does_not_exist_is_not_rotated(olivia: Operator, agent: Agent) -> None:
    assert olivia.client.get(url(ApiKey(pk="key_000000000000"), "rotate")).status_code == 404


@pytest.mark.embedded
def test_the_page_of_a_key_says_who_uses_its_old_secret_and_where_it_leaked(olivia: Operator, agent: Agent) -> None:
    issued = make_key(agent)
    rotated = services.rotate_key(actor=OPERATOR, key=issued.key, grace_seconds=3600)
    with travel(datetime(2026, 1, 31, 12, tzinfo=UTC), tick=False):
        verification.verify(issued.secret, use=True)
    with travel(datetime(2026, 2, 28, 12, tzinfo=UTC), tick=False):
        secret = get_secret(OPERATOR, rotated.secret, Access.MANAGE_KEYS)
        services.report_leak(actor=OPERATOR, secret=secret, where="<b>a forum</b>")

    page = olivia.get(url(issued.key, "change")).content.decode()

    assert "2026-01-31 12:00 UTC" in page
    assert "2026-02-28 12:00 UTC" in page
    assert "&lt;b&gt;a forum&lt;/b&gt;" in page


def test_keys_are_found_by_their_expiry_and_their_use(olivia: Operator, agent: Agent) -> None:
    now = timezone.now()
    for name, expires, issued, used in (
        ("soon", timedelta(days=5), timedelta(days=1), timedelta()),
        ("later", timedelta(days=50), timedelta(days=100), timedelta(days=40)),
        ("idle", None, timedelta(days=100), None),
        ("new", None, timedelta(days=1), None),
    ):
        key = make_key(agent, name, expires_at=expires and now + expires).key
        ApiKey.unscoped.filter(pk=key.pk).update(
            created_at=now - issued, last_used_at=None if used is None else now - used
        )

    def found(**query: str) -> list[str]:
        return sorted(key.name for key in olivia.get(url(ApiKey), **query).context_data["cl"].result_list)

    assert found(expires_within_days="7") == ["soon"]
    assert found(expires_within_days="90") == ["later", "soon"]
    assert found(expires_within_days="8") == found(expires_within_days="nonsense") == found()
    assert found(unused="never") == ["idle", "new"]
    assert found(unused="30") == ["idle", "later"]
    assert found(unused="90") == ["idle"]
    assert found(unused="nonsense") == found()


# ---- the usage log


@pytest.mark.embedded
def test_the_usage_log_is_read_and_nothing_else(olivia: Operator, agent: Agent) -> None:
    entry = log_usage(action="chat", tenant_id=agent.tenant_id, platform="qq", details={"tokens": 5, "文": "🤖"})
    log_usage(action="other")

    found = olivia.get(url(UsageLogEntry), q=agent.tenant_id)
    assert [row.action for row in found.context_data["cl"].result_list] == ["chat"]
    page = olivia.get(url(entry, "change")).content.decode()
    assert "&quot;tokens&quot;: 5" in page
    assert "🤖" in page

    for address in (url(UsageLogEntry, "add"), url(entry, "change"), url(entry, "delete")):
        assert olivia.client.post(address, {"action": "forged", "post": "yes"}).status_code == 403
    olivia.client.post(url(UsageLogEntry), {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert sorted(UsageLogEntry.objects.values_list("action", flat=True)) == ["chat", "other"]


def test_lists_are_typed_one_text_in_each_line(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant)

    olivia.add(
        ApiKey,
        agent=agent.pk,
        name="key",
        permissions="chat\r\n agent:read \r\n\r\n",
        allowed_networks="203.0.113.0/24",
    )

    key = ApiKey.unscoped.get()
    assert (key.permissions, key.allowed_networks) == (["chat", "agent:read"], ["203.0.113.0/24"])
    form = form_of(olivia.get(url(key, "change")))
    assert form["permissions"] == ["chat\nagent:read"]
    assert olivia.change(key, description="other").status_code == 302
    assert errors_of(olivia.change(key, allowed_networks="203.0.113.0/24\nnowhere")).keys() == {"allowed_networks"}

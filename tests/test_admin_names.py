"""Names with right-to-left text in the admin, which every page isolates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db.models import Model, QuerySet

from accounts import services as accounts
from accounts.models import User
from agents.models import Agent, ConfigVersion, PluginSetting, Template
from agents.services import templates
from agents.services.plugins import set_plugin
from apikeys import services as apikeys
from apikeys.models import ApiKey, UsageLogEntry
from apikeys.usage_log import log_usage
from core.models import AuditEntry
from tenants import members
from tenants.models import Role, Tenant
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, Person, make_agent, make_key, register

pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

NAME = "\u202eeman"
HEBREW = "שלום"
ISOLATING = {"bdi", "option", "pre", "textarea"}
# Blocks that contain only a name.
ISOLATING_CLASSES = {"readonly"}
IN_ISOLATES = re.compile(f"\u2068[^\u2069]*{NAME}[^\u2069]*\u2069")
VOID = {"br", "hr", "img", "input", "link", "meta"}


class Exposure(HTMLParser):
    """A parser that collects texts with a name that is not isolated, and counts all names."""

    def __init__(self) -> None:
        super().__init__()
        self.exposed: list[str] = []
        self.reported = 0
        self._open: list[tuple[str, set[str]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        assert not any("<bdi" in (value or "") for value in values.values()), values
        if tag not in VOID:
            self._open.append((tag, set((values.get("class") or "").split())))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        assert "<bdi" not in data or self._open[-1][0] in ("script", "textarea"), data
        if NAME not in data or self._open[-1][0] == "script":
            return
        self.reported += 1
        if any(tag in ISOLATING or classes & ISOLATING_CLASSES for tag, classes in self._open):
            return
        if NAME in IN_ISOLATES.sub("", data):
            self.exposed.append(f"{'/'.join(tag for tag, _classes in self._open)}: {data.strip()!r}")


def exposure(response: Any) -> Exposure:
    parser = Exposure()
    parser.feed(response.content.decode())
    return parser


def make_everything(olivia: Operator) -> list[Model]:
    """Create a row of every model with the name `NAME`, stored as it was before such names were refused."""
    alice = register("alice")
    bob = accounts.create_user(actor=OPERATOR, username="bob", password=None, email="bob@example.org")
    members.set_member(actor=OPERATOR, tenant=alice.tenant, user_id=bob.pk, role=Role.MEMBER)
    template = templates.create_template(actor=OPERATOR, tenant=alice.tenant, name="template", config={"a": NAME})
    agent = make_agent(alice.tenant, tags=[NAME], description=NAME)
    key = make_key(agent, description=NAME, metadata={"a": NAME}).key
    set_plugin(actor=OPERATOR, tenant=alice.tenant, agent=agent, plugin_name="plugin", enabled=True, config={})
    entry = log_usage(action=NAME, platform=NAME, user_id=NAME, details={"a": NAME}, tenant_id=alice.tenant.pk)
    apikeys.report_leak(actor=OPERATOR, secret=key.current_secret, where=NAME)
    Tenant.objects.filter(pk=alice.tenant.pk).update(tenant_name=NAME)
    Template.unscoped.filter(pk=template.pk).update(name=NAME)
    Agent.unscoped.filter(pk=agent.pk).update(name=NAME)
    ApiKey.unscoped.filter(pk=key.pk).update(name=NAME)
    ConfigVersion.unscoped.update(author=NAME, note=NAME)
    PluginSetting.unscoped.update(plugin_name=NAME)
    QuerySet(AuditEntry).update(actor_label=NAME, after={"name": NAME})
    User.objects.filter(pk=alice.user.pk).update(username=f"{NAME}a", email=f"{NAME}@example.org")
    User.objects.filter(pk=bob.pk).update(username=NAME)
    User.objects.filter(pk=olivia.user.pk).update(username=f"{NAME}o")
    version, audit_entry = ConfigVersion.unscoped.get(), AuditEntry.objects.latest("id")
    return [bob, alice.user, alice.tenant, template, agent, version, key, entry, audit_entry]


@pytest.fixture
def everything(olivia: Operator) -> list[Model]:
    return make_everything(olivia)


def pages(rows: list[Model], *, writable: bool) -> Iterator[str]:
    for row in rows:
        yield url(type(row))
        yield f"{url(type(row))}?q=eman"
        yield url(row, "change")
        if writable and not isinstance(row, ConfigVersion | UsageLogEntry | AuditEntry):
            yield url(row, "delete")
            yield url(type(row), "add")
        if isinstance(row, ApiKey) and writable:
            yield f"{url(ApiKey, 'add')}?agent={row.agent_id}"
            yield url(row, "rotate")
        if isinstance(row, User) and writable:
            yield url(row, "password")
            yield url(row, "role")


@pytest.mark.heavy
@pytest.mark.parametrize("is_superuser", [True, False])
def test_every_page_isolates_names(olivia: Operator, everything: list[Model], is_superuser: bool) -> None:
    operator = olivia if is_superuser else sign_in("oscar", is_superuser=False)

    found = {page: exposure(operator.get(page)) for page in pages(everything, writable=is_superuser)}

    assert {page: one.exposed for page, one in found.items() if one.exposed} == {}
    for row in everything:
        assert found[url(type(row))].reported > is_superuser, row
        assert found[url(row, "change")].reported > is_superuser, row


@pytest.mark.parametrize("kind", [Tenant, Template, Agent, ApiKey, User])
def test_bulk_deletion_isolates_names(olivia: Operator, everything: list[Model], kind: type[Model]) -> None:
    row = next(row for row in everything if type(row) is kind)

    page = exposure(olivia.act("delete_selected", row))

    assert page.reported > 1
    assert page.exposed == []


@pytest.mark.parametrize("kind", [Tenant, Template, Agent, ApiKey, User])
@pytest.mark.parametrize("act", ["change", "delete"])
def test_message_about_a_change_isolates_the_name(
    olivia: Operator, everything: list[Model], kind: type[Model], act: str
) -> None:
    row = next(row for row in everything if type(row) is kind)
    if act == "change":
        change = {"email": "other@example.org"} if kind is User else {"description": "other"}
        response = olivia.change(row, **change)
    else:
        response = olivia.delete(row)
    assert response.status_code == 302, response.content

    page = olivia.get(url(kind))

    assert NAME in str(next(iter(get_messages(page.wsgi_request)))), "no message tells of it"
    assert exposure(page).exposed == []


def test_page_of_a_rotated_key_isolates_its_name(olivia: Operator, everything: list[Model]) -> None:
    key = next(row for row in everything if isinstance(row, ApiKey))

    page = exposure(olivia.submit(url(key, "rotate"), grace_seconds="0"))

    assert page.reported == 1
    assert page.exposed == []


def test_name_keeps_its_direction_in_a_list(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, HEBREW)

    page = olivia.get(url(Agent)).content.decode()

    assert re.search(rf'<a href="{url(agent, "change")}"[^>]*><bdi>{HEBREW}</bdi></a>', page)


def test_title_of_a_page_uses_isolates_instead_of_elements(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, "<Bot>")

    page = olivia.get(url(agent, "change")).content.decode()

    assert re.search("<title>\\s*\u2068&lt;Bot&gt;\u2069 \\| Change agent \\| maim</title>", page)


def test_page_and_messages_of_a_new_key_escape_names(olivia: Operator, alice: Person) -> None:
    agent = make_agent(alice.tenant, "<Bot>")

    page = olivia.get(f"{url(ApiKey, 'add')}?agent={agent.pk}").content.decode()

    assert "<bdi>&lt;Bot&gt;</bdi> (<bdi>alice&#x27;s Personal Tenant</bdi>)" in page

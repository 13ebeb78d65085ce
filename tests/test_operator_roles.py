"""The table of operators' roles, held against every page, button and action of the admin."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.urls.resolvers import URLPattern, URLResolver
from pytest_django import DjangoDbBlocker

from accounts import services as accounts
from accounts.models import User
from accounts.operator_roles import ALLOWED, OperatorRole
from agents.models import Agent
from apikeys.models import ApiKey
from core.models import AuditEntry
from tenants.models import Tenant
from tests.support.operators import Operator, sign_in, url
from tests.support.people import OPERATOR, make_agent
from tests.test_admin import first_of, populate

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]

# The permissions of Django's own pages of a model: to open them, and to send their form.
MODEL_PAGES = {
    "changelist": ("view", None),
    "add": ("add", "add"),
    "change": ("view", "change"),
    "delete": ("delete", "delete"),
    "history": ("view", None),
}
# Our pages of a model, by URL name, with their permission. On the row's page, or the list, a button leads there.
OWN_PAGES: dict[str, tuple[type[Model], str]] = {
    "accounts_user_role": (User, "accounts.set_role_user"),
    "accounts_user_password": (User, "accounts.change_user"),
    "accounts_user_factors": (User, "accounts.change_user"),
    "apikeys_apikey_rotate": (ApiKey, "apikeys.rotate_apikey"),
    "agents_agent_import": (Agent, "agents.add_agent"),
}
# Pages that are no model's, and open to every operator.
FOR_OPERATORS = {
    "index",
    "app_list",
    "password_change",
    "password_change_done",
    "factors",
    "jsi18n",
    "autocomplete",  # asks whether the rows that it searches may be viewed
    "search",  # likewise
    "view_on_site",  # of models that have a page on a site, which none has
}
FOR_EVERYBODY = {"login", "logout", "second_factor", None}  # without a name: the catch-all, which is a 404
# Pages that are tested beside what they are about: who may view it opens them, and what they change has its permission.
OTHER_PAGES = {
    *("agents_agent_fields", "tenants_tenant_fields"),
    *("agents_agent_config", "agents_agent_comparison", "agents_agent_restore"),
    *(
        "common_auditentry_export",
        "common_deletedobject_restore",
        "operations_bulkoperation_progress",
        "operations_bulkoperation_cancel",
    ),
}
# The actions of lists, with their permission.
ACTIONS: dict[type[Model], dict[str, str]] = {
    User: {"deactivate": "accounts.deactivate_user", "end_sessions": "accounts.end_sessions_user"},
    Tenant: {"suspend": "tenants.suspend_tenant", "resume": "tenants.resume_tenant"},
    ApiKey: {"disable": "apikeys.disable_apikey", "enable": "apikeys.enable_apikey"},
}


@dataclass(frozen=True)
class Page:
    """A page of the admin, with the permissions to open it and to send its form."""

    name: str
    path: str
    to_open: str
    to_send: str | None


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str | None]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        else:
            yield pattern.name


def model_pages() -> Iterator[Page]:
    for model in admin.site._registry:
        app, name = model._meta.app_label, model._meta.model_name
        row = quote(first_of(model).pk)
        for page, (to_open, to_send) in MODEL_PAGES.items():
            path = reverse(f"admin:{app}_{name}_{page}", args=[] if page in ("changelist", "add") else [row])
            sending = to_send and f"{app}.{to_send}_{name}"
            yield Page(f"{app}_{name}_{page}", path, f"{app}.{to_open}_{name}", sending)


def own_pages() -> Iterator[Page]:
    for name, (model, permission) in OWN_PAGES.items():
        arguments = [] if name == "agents_agent_import" else [quote(first_of(model).pk)]
        yield Page(name, reverse(f"admin:{name}", args=arguments), permission, permission)


@pytest.fixture(scope="module")
def _data(module_transaction: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Alice with one of everything that the admin lists."""
    with django_db_blocker.unblock():
        populate("alice")


@pytest.fixture
def operator(request: pytest.FixtureRequest, _data: None) -> Operator:
    return sign_in("oscar", role=request.param)


def row_of_alice(model: type[Model]) -> Model:
    return User.objects.get(username="alice") if model is User else first_of(model)


def links_of(page: str, response: Any) -> list[str]:
    """Return the URLs in the admin that a page leads to, or reads."""
    found = re.findall(r'(?:href|data-fields|data-url)="([^"#]+)', response.content.decode())
    return [each for link in found if (each := urljoin(page, unescape(link))).startswith("/admin/")]


def buttons_of(response: Any) -> list[tuple[str, str]]:
    """Return the actions of the buttons on a row's page, each with the id of the row."""
    page = response.content.decode()
    found: list[tuple[str, str]] = re.findall(
        r'name="action" value="(\w+)">\s*<input type="hidden" name="_selected_action" value="([^"]+)"', page
    )
    return found


def button_of(response: Any, action: str) -> dict[str, str]:
    """Return the fields that a button on a row's page sends."""
    return {"action": action, "_selected_action": dict(buttons_of(response))[action], "_from_row": "1"}


roles = pytest.mark.parametrize("operator", OperatorRole, indirect=True)


def has(operator: Operator, permission: str) -> bool:
    role = operator.user.operator_role
    assert role is not None
    return permission in ALLOWED[role]


def test_every_page_is_listed() -> None:
    of_models = {
        f"{model._meta.app_label}_{model._meta.model_name}_{page}"
        for model in admin.site._registry
        for page in MODEL_PAGES
    }

    listed = of_models | set(OWN_PAGES) | OTHER_PAGES | FOR_OPERATORS | FOR_EVERYBODY
    assert set(names(admin.site.get_urls())) == listed


@pytest.mark.heavy
@roles
def test_pages_open_and_forms_are_accepted_by_the_table(operator: Operator) -> None:
    found, expected = {}, {}
    for page in [*model_pages(), *own_pages()]:
        may_open = has(operator, page.to_open)
        found[page.name, "GET"] = operator.client.get(page.path).status_code in (200, 302)
        expected[page.name, "GET"] = may_open
        if page.to_send is not None and not has(operator, page.to_send):
            found[page.name, "POST"] = operator.client.post(page.path, {"post": "yes"}).status_code != 403
            expected[page.name, "POST"] = False

    assert found == expected


@roles
def test_buttons_lead_to_pages_that_the_role_may_open(operator: Operator) -> None:
    for page in own_pages():
        parent = page.path.rstrip("/").rpartition("/")[0]
        page_with_button = f"{parent}/" if page.name == "agents_agent_import" else f"{parent}/change/"
        text = operator.get(page_with_button).content.decode()
        assert (page.path in text) == has(operator, page.to_open), page.name


@roles
def test_lists_offer_the_actions_of_the_table(operator: Operator) -> None:
    offered, expected = {}, {}
    for model in admin.site._registry:
        app, name = model._meta.app_label, model._meta.model_name
        actions = {"delete_selected": f"{app}.delete_{name}", **ACTIONS.get(model, {})}
        form = operator.get(reverse(f"admin:{app}_{name}_changelist")).context_data["action_form"]
        offered[name] = {action for action, _label in form.fields["action"].choices if action} if form else set()
        expected[name] = {action for action, permission in actions.items() if has(operator, permission)}

    assert offered == expected


@roles
def test_pages_of_rows_have_a_button_for_each_action_of_the_table(operator: Operator) -> None:
    undoing = {"enable", "resume"}  # of what is not disabled or suspended

    for model, actions in ACTIONS.items():
        offered = {name for name, _row in buttons_of(operator.get(url(row_of_alice(model), "change")))}
        assert offered == {name for name, permission in actions.items() if has(operator, permission)} - undoing


@pytest.mark.parametrize("operator", [OperatorRole.SUPPORT], indirect=True)
def test_support_stops_somebody_on_their_page_and_undoes_it(operator: Operator) -> None:
    for model, stop, undo in ((ApiKey, "disable", "enable"), (Tenant, "suspend", "resume")):
        page = url(row_of_alice(model), "change")

        for action in (stop, undo):
            response = operator.client.post(url(model), button_of(operator.get(page), action))
            assert response["Location"] == page
        assert [name for name, _row in buttons_of(operator.get(page))] == [stop]

    page = url(row_of_alice(User), "change")
    operator.client.post(url(User), button_of(operator.get(page), "deactivate"))
    assert [name for name, _row in buttons_of(operator.get(page))] == ["end_sessions"]
    assert not User.objects.get(username="alice").is_active


@roles
def test_operators_have_no_button_that_deactivates_them(operator: Operator) -> None:
    assert "deactivate" not in dict(buttons_of(operator.get(url(operator.user, "change"))))


@pytest.mark.heavy
@roles
def test_no_page_leads_to_one_that_the_role_may_not_open(operator: Operator) -> None:
    refused, seen, todo = {}, set(), ["/admin/"]
    while todo:
        page = todo.pop()
        path = page.partition("?")[0]
        if path in seen:
            continue
        seen.add(path)
        response = operator.client.get(page)
        if response.status_code not in (200, 302):
            refused[page] = response.status_code
        elif response["Content-Type"].startswith("text/html") and response.status_code == 200:
            todo += links_of(page, response)

    assert refused == {}
    assert {url(row_of_alice(model), "change") for model in ACTIONS} < seen


@pytest.mark.parametrize("operator", [OperatorRole.VIEWER], indirect=True)
def test_action_that_is_not_offered_does_nothing(operator: Operator) -> None:
    audited = AuditEntry.objects.count()

    for model, actions in ACTIONS.items():
        for action in [*actions, "delete_selected"]:
            operator.act(action, first_of(model))

    assert AuditEntry.objects.count() == audited


@pytest.mark.usefixtures("_data")
def test_operator_without_a_group_is_a_viewer() -> None:
    User.objects.filter(username="alice").update(is_staff=True)

    assert User.objects.get(username="alice").get_all_permissions() == ALLOWED[OperatorRole.VIEWER]


@pytest.mark.parametrize("operator", [OperatorRole.ADMIN], indirect=True)
def test_former_operator_opens_nothing(operator: Operator) -> None:
    accounts.set_operator_role(actor=OPERATOR, user_id=sign_in("olivia").user.pk, role=OperatorRole.ADMIN)
    accounts.set_operator_role(actor=OPERATOR, user_id=operator.user.pk, role=None)
    own = [reverse(f"admin:{name}") for name in ("index", "password_change", "factors", "jsi18n", "autocomplete")]

    for path in [*own, *(page.path for page in [*model_pages(), *own_pages()])]:
        for response in (operator.client.get(path), operator.client.post(path)):
            assert (response.status_code, response["Location"][:13]) == (302, "/admin/login/"), path


def test_roles_grow() -> None:
    viewer, support, everything = (ALLOWED[role] for role in OperatorRole)

    assert viewer < support < everything
    assert all(permission.partition(".")[2].startswith("view_") for permission in viewer)
    words = ("delete_", "add_", "change", "rotate", "set_")
    # The kinds of operations that it adds have permissions of their own (operations.access).
    writing = {permission for permission in support if any(word in permission for word in words)}
    assert writing == {"operations.add_bulkoperation"}


@roles
def test_nobody_sees_a_secret_in_a_config(operator: Operator) -> None:
    tenant = Tenant.objects.get()
    config = {"config_overrides": {"maim_message": {"auth_token": ["very secret"]}}}
    agent = make_agent(tenant, config=config)

    page = operator.get(url(agent, "change")).content.decode()

    assert "auth_token" in page
    assert "very secret" not in page

"""Every page of the admin, in a real browser: whole and legible at any width, light and dark, in either language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db.models import Model
from playwright.sync_api import Page

from tests.browser.conftest import Site, Visit
from tests.browser.page_checks import faults_of
from tests.test_operator_roles import MODEL_PAGES, names

# Pages without a row of a model.
ALONE = {
    "index": "",
    "app_list": "agents/",
    "password_change": "password_change/",
    "password_change_done": "password_change/done/",
    "factors": "factors/",
    "agents_agent_import": "agents/agent/import/",
}
# Pages that do one thing with a row, below its own.
OF_ROWS = {
    "accounts_user_role": "accounts/user/{}/role/",
    "accounts_user_password": "accounts/user/{}/password/",
    "accounts_user_factors": "accounts/user/{}/factors/",
    "agents_agent_config": "agents/agent/{}/config/",
    "agents_agent_comparison": "agents/agent/{}/config/1/1/",
    "apikeys_apikey_rotate": "apikeys/apikey/{}/rotate/",
}
# No pages: they answer to a button or a script, are a file, or lead elsewhere, as each history does to the audit log.
NO_PAGES = {
    *("autocomplete", "jsi18n", "search", "view_on_site", "logout", None),
    *("agents_agent_restore", "common_deletedobject_restore", "common_auditentry_export"),
    *("agents_agent_fields", "tenants_tenant_fields"),
    *("operations_bulkoperation_progress", "operations_bulkoperation_cancel"),
}
# Pages that are opened where they are used: in tests.browser.factors.
ELSEWHERE = {"login", "second_factor"}


@pytest.fixture(scope="module")
def site(filled_site: Site) -> Site:
    return filled_site


def models() -> list[str]:
    """Return the models of the admin, as its URLs name them."""
    return [path_of(model) for model in admin.site._registry]


def path_of(model: type[Model]) -> str:
    return f"{model._meta.app_label}/{model._meta.model_name}"


def first_row(page: Page, model: str) -> str:
    """Return the path of the page of the first row in the list that is open."""
    link = page.locator(f"#result_list tbody a[href*='/admin/{model}/']").first.get_attribute("href")
    assert link is not None, model
    return link


def exists(page: Page, path: str) -> bool:
    """Return whether the operator has such a page: some models have none to add or delete a row."""
    return page.context.request.get(path).status == 200


def walk(page: Page) -> Iterator[str]:
    """Open each page of the admin, and yield its name."""
    for name, path in ALONE.items():
        page.goto(f"/admin/{path}")
        yield name
    for model in models():
        yield from walk_model(page, model)


def walk_model(page: Page, model: str) -> Iterator[str]:
    name = model.replace("/", "_")
    page.goto(f"/admin/{model}/")
    change = first_row(page, model)
    yield f"{name}_changelist"
    pages = {
        f"{name}_add": f"/admin/{model}/add/",
        f"{name}_change": change,
        f"{name}_delete": change.replace("/change/", "/delete/"),
        **{
            own: f"/admin/{path}".format(change.split("/")[-3]) for own, path in OF_ROWS.items() if own.startswith(name)
        },
    }
    for each, path in pages.items():
        if exists(page, path):
            page.goto(path)
            yield each


def test_each_page_is_visited() -> None:
    pages = {f"{model.replace('/', '_')}_{page}" for model in models() for page in MODEL_PAGES}

    assert pages | set(ALONE) | set(OF_ROWS) | NO_PAGES | ELSEWHERE == set(names(admin.site.get_urls()))


def test_pages_are_whole_and_legible(visit: Visit, page: Page) -> None:
    assert [fault for name in walk(page) for fault in faults_of(visit, name)] == []

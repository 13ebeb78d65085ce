"""The work of operators in the admin, in a real browser."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit, enter_password, in_two_looks, make_operator, run_code
from tests.browser.page_checks import faults_of
from tests.support.instances import wait_until
from tests.support.people import PASSWORD

_numbers = count(1)
MANY = 500
# Prints the ids of a tenant and its agent, and the secret of the agent's last key.
MAKE_TENANT = """
from tests.support.people import make_agent, make_key, register
tenant = register("{name}").tenant
agent = make_agent(tenant, "{name}")
secrets = [make_key(agent, f"key {{number}}").secret for number in range({keys})]
print(tenant.pk, agent.pk, secrets[-1])
"""
IS_DRAWN = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"""


@pytest.fixture(scope="module")
def site(filled_site: Site) -> Site:
    return filled_site


def code_of(site: Site, secret: str) -> Any:
    """Return what a bot is told about a key."""
    with site.maim.client("internal") as bot:
        response: httpx.Response = bot.post("/api/v2/auth/validate-api-key", json={"api_key": secret})
    return response.json()["data"]["code"]


def make_tenant(site: Site, keys: int = 1) -> tuple[str, str, str]:
    """Make a tenant with an agent that has keys. Return their ids, and the secret of the last key."""
    tenant_id, agent_id, secret = run_code(
        site.maim, MAKE_TENANT.format(name=f"walter {next(_numbers)}", keys=keys)
    ).split()
    return tenant_id, agent_id, secret


def find(page: Page, text: str) -> None:
    """Type into the command palette."""
    page.keyboard.press("Control+k")
    box = page.locator("#search-input-command")
    expect(box).to_be_focused()
    box.fill(text)
    expect(page.locator("#command-results *").first).to_be_visible()


def save(page: Page) -> None:
    """Save the form of a row, and come back to it."""
    page.locator("[name=_continue]").click()
    expect(page.locator("#main")).to_contain_text(re.compile("successfully|成功"))


def quoted(object_id: str) -> str:
    """Return an id as it is in the admin's URLs."""
    return object_id.replace("_", "_5F")


def reload_until(page: Page, condition: Callable[[], bool]) -> None:
    """Reload a page until a condition holds on it, which is counted and shown a little later."""

    def holds() -> bool:
        page.reload()
        return condition()

    wait_until(holds, "the condition holds on the page")


def submit(page: Page) -> None:
    """Send the form of the page by its last button."""
    page.locator("#content form [type=submit]").last.click()


def operator_with_an_app(site: Site) -> tuple[str, pyotp.TOTP]:
    """Make an operator with an authenticator app."""
    username = f"oscar {next(_numbers)}"
    make_operator(site.maim, username)
    with site.maim.client() as client:

        def post(path: str, **body: str) -> Any:
            return client.post(f"/api/v1/auth/{path}", json=body).raise_for_status().json()

        token = post("login", username=username, password=PASSWORD)["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        app = pyotp.TOTP(post("factors/totp", password=PASSWORD)["secret"])
        post("factors/totp/confirm", code=app.at(time.time()))
    return username, app


@in_two_looks
def test_operator_signs_in_with_password_and_app_and_reads_the_dashboard(visit: Visit, site: Site) -> None:
    username, app = operator_with_an_app(site)
    page = visit.page
    page.goto("/admin/")
    assert faults_of(visit, "password") == []
    enter_password(page, username)
    expect(page).to_have_url(re.compile("/admin/second-factor/"))
    assert faults_of(visit, "second-factor") == []

    page.locator("[name=code]").fill(app.at(time.time(), counter_offset=1))
    page.locator("#login-form [type=submit]").click()

    expect(page).to_have_url(re.compile("/admin/$"))
    expect(page.locator("canvas")).to_have_count(2)
    for canvas in page.locator("canvas").all():
        expect(canvas).to_be_visible()
        page.wait_for_function(IS_DRAWN, arg=canvas.element_handle())
    expect(page.locator("table.totals")).to_contain_text("VALID")
    visit.picture("dashboard")
    page.locator("summary").first.click()
    expect(page.locator("figure table").first).to_be_visible()

    _, agent_id, secret = make_tenant(site)
    assert code_of(site, secret) == "VALID"
    page.goto(f"/admin/agents/agent/{quoted(agent_id)}/change/")
    valid = page.locator("table.totals tr").filter(has_text="VALID").locator("td").last
    reload_until(page, lambda: valid.inner_text() == "1")


def test_key_is_issued_seen_once_found_by_its_secret_and_disabled(visit: Visit, page: Page, site: Site) -> None:
    page.goto("/admin/agents/agent/")
    agent_id = page.locator(".field-id").first.inner_text().split()[-1]
    page.goto(f"/admin/apikeys/apikey/add/?agent={agent_id}")
    page.locator("[name=name]").fill(f"key {next(_numbers)}")
    page.locator("[name=_save]").click()
    secret = page.locator("#value").inner_text()
    assert secret.startswith("mmc_")
    assert faults_of(visit, "secret") == []
    assert code_of(site, secret) == "VALID"

    page.reload()
    expect(page).to_have_url(re.compile("/admin/apikeys/apikey/.+/change/"))
    assert secret not in page.content()
    expect(page.locator("#content")).to_contain_text(re.compile(r"mmc_…\w{4}"))

    page.goto("/admin/")
    find(page, secret)
    visit.picture("search")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/admin/apikeys/apikey/.+/change/"))
    visit.picture("key")
    page.locator("[name=status]").select_option("disabled")
    save(page)
    assert code_of(site, secret) == "AUTH_004"

    page.goto("/admin/apikeys/apikey/")
    page.locator("#searchbar").fill(secret)
    page.locator("[name=_search]").click()
    expect(page).to_have_url(re.compile("/admin/apikeys/apikey/.+/change/"))
    sent = [request for request in visit.requests if secret in (request.post_data or "")]
    assert {request.method for request in sent} == {"POST"}
    assert {request.url.partition("?")[0].split("/admin/")[1] for request in sent} == {"search/", "apikeys/apikey/"}
    assert not [request.url for request in visit.requests if secret in request.url]
    assert secret not in site.maim.log


def test_config_version_is_compared_and_restored(visit: Visit, page: Page) -> None:
    page.goto("/admin/agents/agent/")
    page.goto(page.locator("#result_list tbody a").first.get_attribute("href") or "")
    number = next(_numbers)
    page.locator(".cm-content").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f'{{"persona": "calm {number}"}}')
    save(page)
    expect(page.locator("[name=config]")).to_have_value(re.compile(f"calm {number}"))

    page.goto(page.url.replace("/change/", "/config/"))
    expect(page.locator("table").first).to_contain_text(f"calm {number}")
    visit.picture("config")
    page.locator("a[href*='/config/1/']").click()
    expect(page.locator("table")).to_contain_text(f"calm {number}")
    assert faults_of(visit, "comparison") == []
    submit(page)

    expect(page).to_have_url(re.compile("/config/$"))
    expect(page.locator("table").first).not_to_contain_text(f"calm {number}")


@in_two_looks
def test_many_keys_are_disabled_while_nobody_looks(visit: Visit, page: Page, site: Site) -> None:
    _, agent_id, secret = make_tenant(site, MANY)
    worker = site.maim.bulk_worker
    page.goto("/admin/operations/bulkoperation/add/")
    page.locator("[name=kind]").select_option("disable_keys")
    page.locator("[name=agent_id]").fill(agent_id)
    page.locator("[name=show]").click()
    expect(page.locator("dl")).to_contain_text(str(MANY))
    assert faults_of(visit, "preview") == []
    page.locator("[name=confirm]").scroll_into_view_if_needed()
    visit.picture("bulk-preview")
    page.locator("[name=number]").fill(str(MANY - 1))
    page.locator("[name=confirm]").click()
    expect(page.locator("[name=confirm]")).to_be_visible()
    assert code_of(site, secret) == "VALID"

    worker.send_signal(signal.SIGSTOP)  # so that there is a middle, in which the tab is closed
    try:
        page.locator("[name=number]").fill(str(MANY))
        page.locator("[name=confirm]").click()
        expect(page.locator("#progress-text")).to_have_text(f"0 / {MANY}")
        expect(page.locator("progress")).to_be_visible()
        assert faults_of(visit, "progress") == []
        operation = page.url
        visit.close_tab()
    finally:
        worker.send_signal(signal.SIGCONT)

    page = visit.open_tab()
    page.goto(operation)
    expect(page.locator("#progress-text")).to_have_text(f"{MANY} / {MANY}")
    expect(page.locator("#content h2 + div tbody tr")).to_have_count(MANY)
    visit.picture("bulk-report")
    assert code_of(site, secret) == "AUTH_004"


@in_two_looks
def test_deleted_agent_and_tenant_come_back(visit: Visit, page: Page, site: Site) -> None:
    tenant_id, agent_id, secret = make_tenant(site)
    for path in (f"agents/agent/{quoted(agent_id)}", f"tenants/tenant/{quoted(tenant_id)}"):
        page.goto(f"/admin/{path}/delete/")
        submit(page)
        expect(page).to_have_url(re.compile(f"/admin/{path.rpartition('/')[0]}/$"))
        assert code_of(site, secret) != "VALID"

        page.goto("/admin/common/deletedobject/")
        page.locator("#result_list tbody a").first.click()
        assert faults_of(visit, f"deleted-{path.partition('/')[0]}") == []
        submit(page)
        page.goto(f"/admin/{path}/change/")
        expect(page.locator("[name=name], [name=tenant_name]")).to_have_value(re.compile("walter"))
    assert code_of(site, secret) == "AUTH_005"  # the key is back, and its secret is not

"""The editor of JSON documents in the admin: keys alone are enough, errors are marked, and fields are found."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.admin_pages import site
from tests.browser.conftest import Visit

__all__ = ["site"]


def test_config_is_edited_by_keys_alone(visit: Visit, page: Page) -> None:
    page.goto("/admin/agents/agent/add/")
    content, textarea = page.locator(".cm-content").first, page.locator("textarea[name=config]")
    expect(content).to_be_visible()
    expect(textarea).to_be_hidden()

    content.focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text('{"persona": ')
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    page.keyboard.insert_text('"kind"}')
    expect(page.locator(".cm-lint-marker-error")).to_have_count(0)
    expect(page.locator(".tok-propertyName").first).to_have_text('"persona"')
    assert textarea.input_value() == '{"persona": "kind"}'

    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(content).not_to_be_focused()


def test_fields_of_a_config_are_searched(visit: Visit, page: Page) -> None:
    page.goto("/admin/agents/agent/add/")
    fields = page.locator("details[data-fields]")
    fields.locator("summary").click()
    fields.locator("input").fill("chat talk_value")

    expect(fields.locator("dt:visible code").first).to_have_text("config_overrides.chat.talk_value")
    expect(fields.get_by_text("bot_overrides.nickname")).to_be_hidden()
    visit.screenshot("fields")

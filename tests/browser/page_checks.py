"""Checks of a page in every look: that it is whole and legible, also for people who cannot see it or use no mouse.

The tests here show that each check finds its fault.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import SIZES, Visit

Scheme = Literal["light", "dark"]
_LAYOUT = Path(__file__).with_name("layout.js").read_text()
_AXE = Path(__file__).with_name("axe").joinpath("axe.min.js").read_text()
_RUN_AXE = """async (rules) => {
  const options = rules ? { runOnly: { type: "rule", values: rules } } : {};
  const alike = "tbody tr:nth-child(n + 13)"; // more rows of a long table
  const { violations } = await axe.run({ exclude: [alike] }, { resultTypes: ["violations"], ...options });
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) => nodes.map(({ html, any }) =>
      `${id} (${help}): ${html.slice(0, 160)} ${any.map(({ message }) => message).join(" ").slice(0, 200)}`));
}"""

_SWITCH_THEME = """async (scheme) => {
  if (window.Alpine) Alpine.$data(document.documentElement).adminTheme = scheme;
  await document.fonts.ready;
  await new Promise(requestAnimationFrame);
  const fading = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(fading.map(({ finished }) => finished));
}"""


def layout_faults(page: Page) -> list[str]:
    """Return each text and control that is cut off, covered, beyond the screen, or too small to read."""
    faults: list[str] = page.evaluate(_LAYOUT)
    return faults


def axe_violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core calls serious or critical in the page, by all of its rules or by these.

    It is run by the browser's debugger, so that a page's policy for scripts needs no exception.
    """
    page.evaluate(f"() => {{ if (!window.axe) {{ {_AXE} }} }}")
    violations: list[str] = page.evaluate(_RUN_AXE, list(rules) or None)
    return violations


def choose_scheme(page: Page, scheme: Scheme) -> None:
    """Have the page light or dark, as by the person's system and by the theme's own switch, and wait until it is."""
    page.emulate_media(color_scheme=scheme)
    page.evaluate(_SWITCH_THEME, scheme)


def faults_of(visit: Visit, name: str) -> list[str]:
    """Keep pictures of the page, light and dark, and return its faults. Dark, only the colors are others."""
    page = visit.page
    choose_scheme(page, "dark")
    visit.screenshot(f"{name}-dark")
    faults = axe_violations(page, "color-contrast")
    choose_scheme(page, "light")
    visit.screenshot(f"{name}-light")
    faults += layout_faults(page) + axe_violations(page)
    return [f"{name}: {fault}" for fault in faults]


@pytest.fixture
def blank(browser: Browser) -> Page:
    """A page that has nothing yet."""
    return browser.new_page(viewport=SIZES["phone"])


def show(page: Page, body: str) -> None:
    page.set_content(f"<!DOCTYPE html><html lang=en><title>A page</title><main><h1>Keys</h1>{body}</main></html>")


WHOLE = {
    "text": "<p>The key of Alice's bot</p>",
    "text that says that it goes on": "<p style='width: 3em; overflow: hidden; white-space: nowrap;"
    " text-overflow: ellipsis'>production</p>",
    "table that scrolls": "<div style='overflow-x: auto' tabindex=0><table><tr><td><div style='width: 900px'>Alice"
    "</div><td>Bob</table></div>",
    "text for screen readers only": "<span style='position: absolute; width: 1px; height: 1px; overflow: hidden'>"
    "Alice's keys</span>",
    "text on a card": "<div style='background: #eee; padding: 1em'><p>Alice</p></div>",
}
BROKEN = {
    "cut off: .*production": "<p style='width: 3em; overflow: hidden; white-space: nowrap'>production</p>",
    "cut off: .*Alice": "<p style='height: 8px; overflow: hidden'>Alice</p>",
    "cut off: .*A long": "<label>Name <input style='width: 3em' placeholder='A long example of a name'></label>",
    "cut off: .*disabled": "<label>Status <select style='width: 3em'><option>disabled</select></label>",
    "covered: .*Alice": "<p style='margin: 0'>Alice and her bots</p><p style='margin: -10px 0 0 10px'>Bob and his</p>",
    "covered: .*BUTTON": "<button>Save</button><p style='background: #fff; inset: 0; position: absolute'>Bob</p>",
    "beyond the screen: .*Bob": "<p style='position: absolute; left: -20px'>Bob</p>",
    "wider than the screen": "<div style='width: 900px; height: 1px'></div>",
    "too small": "<p style='font-size: 7px'>The key of Alice's bot</p>",
}
INACCESSIBLE = {
    "color-contrast": "<p style='color: #aaa'>The key of Alice's bot</p>",
    "label": "<input name=name>",
    "button-name": "<button></button>",
    "link-name": "<a href='/'></a>",
    "image-alt": "<img src='data:,'>",
}


@pytest.mark.parametrize("body", WHOLE.values(), ids=WHOLE)
def test_page_that_is_whole_has_no_fault(blank: Page, body: str) -> None:
    show(blank, body)

    assert layout_faults(blank) + axe_violations(blank) == []


@pytest.mark.parametrize(("fault", "body"), BROKEN.items(), ids=BROKEN)
def test_fault_of_the_layout_is_found(blank: Page, fault: str, body: str) -> None:
    show(blank, body)

    assert any(re.match(fault, found) for found in layout_faults(blank))


@pytest.mark.parametrize(("rule", "body"), INACCESSIBLE.items(), ids=INACCESSIBLE)
def test_fault_of_accessibility_is_found(blank: Page, rule: str, body: str) -> None:
    show(blank, body)

    assert [found.partition(" ")[0] for found in axe_violations(blank)] == [rule]

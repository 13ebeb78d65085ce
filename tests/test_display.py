"""Names as they are shown: isolated from what is beside them."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.utils.html import format_html

from agents.models import Agent
from core.display import DisplayName, isolated

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("template", ["{{ row }}", "{% blocktranslate %}{{ row }}{% endblocktranslate %}"])
def test_a_template_isolates_and_escapes_a_models_name(template: str) -> None:
    row = Agent(name="<\u202eeman>")

    assert Template("{% load i18n %}" + template).render(Context({"row": row})) == "<bdi>&lt;\u202eeman&gt;</bdi>"


def test_html_isolates_a_models_name() -> None:
    row = Agent(name="<Bot>")

    assert format_html("{} {}", row, str(row)) == "<bdi>&lt;Bot&gt;</bdi> <bdi>&lt;Bot&gt;</bdi>"


def test_a_name_is_a_plain_text_elsewhere() -> None:
    name = str(Agent(name="<Bot>"))

    assert (name, f"{name}", f"({name})") == ("<Bot>", "<Bot>", "(<Bot>)")


@pytest.mark.parametrize("end", "\n\r\x1c\x1d\x1e\x85\u2029\u2069", ids=ascii)
def test_no_name_breaks_out(end: str) -> None:
    """Seen in Chromium: after any of these a direction goes on beyond the element, or the isolates."""
    name = f"{end}\u202eeman"

    assert DisplayName(name).__html__() == "<bdi>\ufffd\u202eeman</bdi>"
    assert DisplayName(name).isolated == isolated(name) == "\u2068\ufffd\u202eeman\u2069"

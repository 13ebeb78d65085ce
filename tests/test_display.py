"""Names in HTML, isolated from the text around them."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.utils.html import format_html

from agents.models import Agent
from core.display import DisplayName, isolated

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("template", ["{{ row }}", "{% blocktranslate %}{{ row }}{% endblocktranslate %}"])
def test_template_isolates_and_escapes_names(template: str) -> None:
    row = Agent(name="<\u202eeman>")

    assert Template("{% load i18n %}" + template).render(Context({"row": row})) == "<bdi>&lt;\u202eeman&gt;</bdi>"


def test_format_html_isolates_names() -> None:
    row = Agent(name="<Bot>")

    assert format_html("{} {}", row, str(row)) == "<bdi>&lt;Bot&gt;</bdi> <bdi>&lt;Bot&gt;</bdi>"


def test_name_is_plain_text_elsewhere() -> None:
    name = str(Agent(name="<Bot>"))

    assert (name, f"{name}", f"({name})") == ("<Bot>", "<Bot>", "(<Bot>)")


@pytest.mark.parametrize("end", "\n\r\x1c\x1d\x1e\x85\u2029\u2069", ids=ascii)
def test_no_name_breaks_out_of_its_isolate(end: str) -> None:
    """Chromium continues a direction beyond the element or the isolate after each of these characters."""
    name = f"{end}\u202eeman"

    assert DisplayName(name).__html__() == "<bdi>\ufffd\u202eeman</bdi>"
    assert DisplayName(name).isolated == isolated(name) == "\u2068\ufffd\u202eeman\u2069"

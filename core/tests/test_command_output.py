"""The output of commands: at a terminal, elsewhere, and for programs; and what they ask."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from core.commands.output import Output

pytestmark = pytest.mark.embedded

HEADER = ["ID", "NAME", "STATUS"]
SECRET = "mmc_" + "x" * 112
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Screen(StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal of 60 columns that shows colours."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Screen()


def output_to(stream: StringIO, *, has_colors: bool = True) -> Output:
    return Output(OutputWrapper(stream), OutputWrapper(StringIO()), has_colors=has_colors)


def test_table_at_a_terminal_has_colours_and_whole_ids(screen: Screen) -> None:
    output_to(screen).table(HEADER, [["agent_0251fbf3456b", "a name that is long " * 5, "active"]])

    shown = screen.getvalue()
    assert "\x1b[32mactive" in shown
    plain = _STYLE.sub("", shown)
    assert "agent_0251fbf3456b" in plain
    assert max(map(len, plain.splitlines())) <= 60


def test_names_are_neither_markup_nor_control_characters(screen: Screen) -> None:
    output_to(screen).table(HEADER, [["1", "[red]:bomb:[/red]\x1b[2J", "active"]])
    output_to(screen).record([("name", "[link=file:///etc/passwd]x[/link]")])

    plain = _STYLE.sub("", screen.getvalue())
    assert r"[red]:bomb:[/red]\x1b[2J" in plain
    assert "[link=file:///etc/passwd]x[/link]" in plain


def test_secret_in_a_record_is_never_wrapped(screen: Screen) -> None:
    output_to(screen).record([("name", "production"), ("key", SECRET)])

    assert _STYLE.sub("", screen.getvalue()) == f"name  production\nkey   {SECRET}\n"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_colours_are_switched_off(screen: Screen, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "variable":
        monkeypatch.setenv("NO_COLOR", "1")

    output_to(screen, has_colors=by != "option").table(HEADER, [["1", "bot", "active"]])

    assert "\x1b[32m" not in screen.getvalue()
    assert "active" in screen.getvalue()


def test_elsewhere_a_table_is_aligned_text() -> None:
    stream = StringIO()
    output_to(stream).table(HEADER, [["1", "bot", "active"], ["22", "", None]])

    assert stream.getvalue() == "ID  NAME  STATUS\n1   bot   active\n22  -     -\n"


def test_json_is_one_document_without_colours(screen: Screen) -> None:
    output_to(screen).json({"name": "东"})

    assert json.loads(screen.getvalue()) == {"name": "东"}
    assert screen.getvalue().isascii()

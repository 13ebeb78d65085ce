"""The form in which two names count as the same (docs/contract.md section 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import cut, fold, fold_name, name_error, visible

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice", "aLICE"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("É", "e\u0301"),
        ("Å", "\u212b"),  # the ångström sign
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("小明", "小明"),
    ],
)
def test_case_and_composition_make_no_difference(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("🤖", "😀"), ("e", "é"), ("a", "а"), ("a", "ａ"), ("a", "a "), ("ss", "s")]
)
def test_what_people_tell_apart_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_a_folded_text_stays_as_it_is(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_a_folded_text_is_at_most_three_times_as_long(text: str) -> None:
    """So that the columns of folded names hold what the columns of names do."""
    assert len(fold(text)) <= 3 * len(text)


# ---- names of agents, keys, tenants and templates


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("客服Ａ", "客服a"),
        ("（测试）", "(测试)"),
        ("ﾊﾛｰ", "ハロー"),
        ("a\u3000b", "A b"),
        ("Straße", "ＳＴＲＡＳＳＥ"),
        ("❤️", "❤"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("a\u200bb", "ab"),
        ("\u3164a", "a"),
        ("ℌ", "h"),
        ("\u0345", "ι"),
    ],
)
def test_names_that_look_alike_are_one(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)


@pytest.mark.parametrize(("one", "other"), [("🤖", "😀"), ("e", "é"), ("a", "а"), ("ss", "s"), ("a b", "ab")])
def test_names_that_people_tell_apart_are_two(one: str, other: str) -> None:
    assert fold_name(one) != fold_name(other)


@given(st.text())
def test_a_folded_name_stays_as_it_is(text: str) -> None:
    """And without the blanks at its end, which MariaDB would ignore, and without capitals."""
    folded = fold_name(text)

    assert fold_name(folded) == fold_name(fold(text)) == folded
    assert folded == folded.strip() == folded.casefold()


@given(st.text())
def test_a_name_that_is_folded_is_at_most_eighteen_times_as_long(text: str) -> None:
    assert len(fold_name(text)) <= 18 * len(text)


INVISIBLE = (
    "\x00\x07\x1b\x7f\x85\xad\u034f\u0378\u061c\u115f\u1160\u17b4\u17b5\u180b\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u206f\u2800\u3164\ud800\ue000\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffc"
    "\U0001d159\U0001d173\U00016fe4\U000e0041\U000e0100\U000f0000\U0010ffff"
)


@pytest.mark.parametrize("char", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("text", ["{}eman", "na{}me", "eman{}", "{}", "名{}", "{}字"])
def test_no_name_holds_an_invisible_character(char: str, text: str) -> None:
    name = text.format(char)

    assert str(name_error(name)).startswith(f"May not contain U+{ord(char):04X}: ")
    assert visible(name) == text.format("").strip()


@pytest.mark.parametrize(
    "name",
    [
        "bot",
        "o'brien",
        "客服Ａ（测试）",
        "ملاك",
        "שלום",
        "हिन्दी",
        "ไทย",
        "e\u0301",
        "a\u3000b",
        "❤️",
        "1️⃣",
        "‼️",
        "👨\u200d👩\u200d👧",
        "👩🏽\u200d⚕️",
        "🏳️\u200d🌈",
        "🤦🏽\u200d♂️",
        "🇨🇳",
        "\U0001fae9",  # of a later version of Unicode than some Pythons know
    ],
)
def test_a_name_holds_what_people_write(name: str) -> None:
    assert name_error(name) is None
    assert visible(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "a\ufe0f",
        "\ufe0f",
        "\ufe0f\u20e3",
        "❤\ufe0f\ufe0f",
        "1\ufe0f",
        "a\u200db",
        "👨\u200d",
        "\u200d👨",
        "a\ufe0f\u200d👨",
    ],
)
def test_what_joins_emoji_joins_nothing_else(name: str) -> None:
    assert name_error(name) is not None


@pytest.mark.parametrize("name", ["", " ", "\u3000\u00a0", "\u0301", " \u0301\u20dd"])
def test_a_name_has_something_that_can_be_seen(name: str) -> None:
    assert str(name_error(name)) == "Must have a character that can be seen"


@given(st.text())
def test_what_is_left_of_a_name_may_be_one(text: str) -> None:
    left = visible(text)

    assert visible(left) == left
    assert not str(name_error(left) or "").startswith("May not contain")


@given(st.text(), st.integers(1, 20), st.integers(1, 60))
def test_a_name_is_cut_to_what_its_columns_hold(text: str, most: int, most_folded: int) -> None:
    short = cut(text, most, fold=fold_name, most_folded=most_folded)

    assert text.startswith(short)
    assert len(short) <= most
    assert len(fold_name(short)) <= most_folded

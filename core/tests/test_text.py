"""Folded forms and allowed characters of names (docs/contract.md section 6)."""

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
def test_case_and_composition_are_folded(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"), [("🤖", "😀"), ("e", "é"), ("a", "а"), ("a", "ａ"), ("a", "a "), ("ss", "s")]
)
def test_different_letters_stay_different(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_folded_text_is_at_most_three_times_as_long(text: str) -> None:
    """So every name fits into the column of folded names."""
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
def test_names_that_look_alike_fold_alike(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)


@pytest.mark.parametrize(("one", "other"), [("🤖", "😀"), ("e", "é"), ("a", "а"), ("ss", "s"), ("a b", "ab")])
def test_different_names_fold_differently(one: str, other: str) -> None:
    assert fold_name(one) != fold_name(other)


@given(st.text())
def test_folding_a_name_twice_changes_nothing(text: str) -> None:
    """It also has no blanks at its end, which MariaDB would ignore, and no capital letters."""
    folded = fold_name(text)

    assert fold_name(folded) == fold_name(fold(text)) == folded
    assert folded == folded.strip() == folded.casefold()


@given(st.text())
def test_folded_name_is_at_most_eighteen_times_as_long(text: str) -> None:
    assert len(fold_name(text)) <= 18 * len(text)


INVISIBLE = (
    "\x00\x07\x1b\x7f\x85\xad\u034f\u0378\u061c\u115f\u1160\u17b4\u17b5\u180b\u180e\u200b\u200c\u200d\u200e\u200f"
    "\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u206f\u2800\u3164\ud800\ue000\ufe00\ufe0f\ufeff\uffa0\ufff9\ufffc"
    "\U0001d159\U0001d173\U00016fe4\U000e0041\U000e0100\U000f0000\U0010ffff"
)


@pytest.mark.parametrize("char", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("text", ["{}eman", "na{}me", "eman{}", "{}", "名{}", "{}字"])
def test_invisible_character_is_an_error(char: str, text: str) -> None:
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
def test_usual_text_is_no_error(name: str) -> None:
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
def test_joiners_are_allowed_between_emoji_only(name: str) -> None:
    assert name_error(name) is not None


@pytest.mark.parametrize("name", ["", " ", "\u3000\u00a0", "\u0301", " \u0301\u20dd"])
def test_name_without_a_visible_character_is_an_error(name: str) -> None:
    assert str(name_error(name)) == "Must have a character that can be seen"


@given(st.text())
def test_visible_part_of_a_name_is_a_valid_name(text: str) -> None:
    left = visible(text)

    assert visible(left) == left
    assert not str(name_error(left) or "").startswith("May not contain")


@given(st.text(), st.integers(1, 20), st.integers(1, 60))
def test_name_is_cut_to_the_length_of_its_columns(text: str, max_length: int, max_folded_length: int) -> None:
    short = cut(text, max_length, fold=fold_name, max_folded_length=max_folded_length)

    assert text.startswith(short)
    assert len(short) <= max_length
    assert len(fold_name(short)) <= max_folded_length

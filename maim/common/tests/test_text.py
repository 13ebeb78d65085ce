"""The form in which two names count as the same (CONTRACT.md section 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maim.common.text import fold

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

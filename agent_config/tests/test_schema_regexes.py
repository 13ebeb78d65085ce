"""Regexes that could run for long are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from functools import cache
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_config.schema import charsets
from agent_config.schema.regexes import problem

pytestmark = pytest.mark.single

ACCEPTED = (
    r"^(?P<n>\S{1,20})是这样的$",
    "<text: write your own>",
    r"(?:\[CQ:at,qq=\d+\]\s*)+",
    r"(ab+c)*",
    r"(\w|\d)+$",  # Python makes one set of such branches
    r"[\w\d]+$",
    r"(\w+\s+)*\w*$",
    r"(\w+\W+)*$",
    r"(\d+\D+)*$",
    r"(?:[一-龥]+\d+)*$",
    r"(?:\d{1,3}\.){3}\d{1,3}",
    r"^\s*/\w+(?:\s+\S+)*\s*$",
    r"https?://[^\s/$.?#].[^\s]*",
    r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
    r".*早.*安.*",
    r"(.*)=(.*);",
    r".*[a-w]+x",
    r"(?:苹果|苹果手机|香蕉|香蕉皮).*(?:多少钱|价格|怎么卖)",
    r"(?i)\b(?:hello|hi|hey)\b",
    r"^(?=.*\d)(?=.*[a-z])(?=.*[A-Z]).{8,}$",
    r"^(?:(?!foo).)*$",
    r"(?<!不)要[\u4e00-\u9fff]{2,4}吗",
    r"[\U0001F300-\U0001FAFF]+$",
    r"(\w+)\s+\1",
    r"(a)?(?(1)b|c)$",
    r"(?>a+)b|a*+c",
    r"(?s:.*?)x(?m:^y$)",
    r".*.*=.*",
    r"foo.*bar\d+$",
    r"(?:a?b?c?){3}x",
    r"a{0,500}b{0,500}c$",
    r"[[a]",  # `re` warns of a set in a set
    "",
)

# Each with a text of at most 60 characters on which it takes seconds, or longer than anybody waits.
CATASTROPHIC = (
    (r"(a+)+$", "a" * 30 + "!"),
    (r"(a*)*$", "a" * 30 + "!"),
    (r"(a|a)*$", "a" * 30 + "!"),
    (r"(a|aa)*$", "a" * 40 + "!"),
    (r"(a|ab|b)*$", "ab" * 30 + "!"),
    (r"(a+a)+$", "a" * 40 + "!"),
    (r"(x+x+)+y", "x" * 30),
    (r"(.*,)*$", "," * 30 + "!\n!"),
    (r"(\w+\s?)*$", "a" * 30 + "!"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 35),
    (r"(.*a){20}$", "a" * 40 + "!\n!"),
    (r"(?=(a+)+$)", "a" * 30 + "!"),
    (r"(?:(?=(a+)+$)x)*y", "a" * 30 + "!"),
    (r"(?i)(a+A)+$", "aA" * 20 + "!"),
    (r"(?i)(ſ+S)+$", "sS" * 20 + "!"),
    (r"(?i)(?:[^kx]+é)+$", "é" * 40 + "!"),
    (r"(?:(?i:a)+A)+$", "A" * 40 + "!"),
    (r"(?:(?i:[a-f])+F)+$", "F" * 40 + "!"),
    (r"(?:a?){25}a{25}$", "a" * 24 + "!"),
    ("a?" * 28 + "a" * 28 + "$", "a" * 28 + "!"),
    ("(?:|)" * 30 + "$", "x!"),
    (r"(?:c(?:(?:){1,25})+)*!", "c" * 60),
    (r"(?:c(?:\B)?)*!", "c" * 40),
    (".*" * 12 + "=", "a" * 40),
    (r"((?:\w\d?)+)+$", "a" * 30 + "!"),
)

# Each with a piece of text that many of which make a search take more than the cube of its length.
SLOW = (
    (r".*.*[a-z]{1,10}x", "a"),
    (r".*a.*b.*c", "ab"),
    (r"a.*a.*a.*b", "a"),
    (r"(?m)^.*a.*a.*a.*b", "a\n"),
    (r"(.*)=(.*);(.*):(.*)", "=;"),
)

OF_A_REFUSED_SHAPE = (
    r"(a{1000}){1000}",
    r"a{10001}",
    r"(a)\1*",
    r"(?:(a*)\1)+",
    r"(x)x*\1=x*\1=x*\1=",
    r".*.*.*=",
    r"(?:(?!.*foo).)*",
    "(?i)" + "[\x00-\uffff]" * 20,
    "(" * 200 + "a" + ")+" * 200,
)


class TestAcceptedRegexes:
    @pytest.mark.parametrize("regex", ACCEPTED)
    def test_common_regex_is_accepted(self, regex: str) -> None:
        assert problem(regex) is None

    def test_accepted_regexes_are_fast_on_any_text(self) -> None:
        atoms = (
            "a",
            "aA",
            "b",
            "ab",
            "1",
            "1.",
            " ",
            "a ",
            "a1",
            "[CQ:at,qq=1]",
            "早",
            "早安",
            "苹果",
            "x",
            "=",
            "好",
            "\n",
        )
        texts = [atom * (100 // len(atom)) + end for atom in atoms for end in ("", "!", "\n!")]

        assert seconds(ACCEPTED, texts) < 10

    def test_accepted_regexes_are_fast_on_a_long_message(self) -> None:
        atoms = ("a", "早", "苹果", "foo", "=", "a1", " a", "[CQ:at,qq=1]", "a.", "1-", "/a ", "x@x.")

        assert seconds(ACCEPTED, [atom * (300 // len(atom)) + "\n!" for atom in atoms]) < 10

    @given(st.data())
    @settings(max_examples=20, deadline=None)
    def test_random_accepted_regexes_are_fast(self, data: st.DataObject) -> None:
        pieces = (
            "a",
            "b",
            "[ab]",
            "[^a]",
            ".",
            r"\w",
            r"\d?",
            "(?:",
            "(?=",
            ")",
            ")",
            "|",
            "*",
            "+",
            "?",
            "{2,9}",
            "{30}",
            "$",
        )
        made = data.draw(
            st.lists(st.lists(st.sampled_from(pieces), max_size=24).map("".join), min_size=50, max_size=50)
        )
        accepted = [regex for regex in made if is_regex(regex) and problem(regex) is None]

        assert seconds(accepted, ["a" * 40 + "!", "ab" * 20 + "!", "b" * 40 + "!", "a1b" * 13 + "!"]) < 10


class TestRefusedRegexes:
    @pytest.mark.parametrize(("regex", "_text"), CATASTROPHIC)
    def test_catastrophic_regex_is_refused(self, regex: str, _text: str) -> None:
        assert problem(regex)

    @pytest.mark.parametrize(("regex", "text"), CATASTROPHIC)
    def test_refused_regex_is_catastrophic_indeed(self, regex: str, text: str) -> None:
        assert seconds([regex], [text], limit=0.2) >= 0.2

    @pytest.mark.parametrize(("regex", "_piece"), SLOW)
    def test_regex_slower_than_cubic_is_refused(self, regex: str, _piece: str) -> None:
        assert problem(regex)

    @pytest.mark.parametrize("regex", OF_A_REFUSED_SHAPE)
    def test_probably_slow_regex_is_refused(self, regex: str) -> None:
        assert problem(regex)

    @pytest.mark.parametrize("regex", ["(", "a**", "[b-a]", "(?<=a+)b", "(?P<a>x)(?P<a>y)", r"\q", "a{2,1}", "(?P=b)"])
    def test_invalid_regex_is_refused(self, regex: str) -> None:
        assert not is_regex(regex)
        found = problem(regex)
        assert found
        assert found.parameter

    def test_too_long_regex_is_refused(self) -> None:
        assert problem("a" * 500) is None
        assert problem("a" * 501)

    @given(st.text(st.sampled_from("ab01()[]{}|*+?^$.,\\-:=!<>PdwsSi# 早"), max_size=40))
    @settings(max_examples=700, deadline=None)
    def test_accepted_regex_compiles(self, regex: str) -> None:
        if problem(regex) is None:
            assert is_regex(regex)


EVERY = "".join(map(chr, range(0x110000)))


@cache
def bits() -> list[int]:
    """Return the bit of each character."""
    return [charsets.one(code).bit_length() - 1 for code in range(len(EVERY))]


class TestSetsOfCharacters:
    """A set may hold more than the characters that a class matches, but never less."""

    def test_a_character_is_one_bit(self) -> None:
        """Justify comparing single bits in the other tests, because whole sets take kilobytes each."""
        assert [code for code, bit in enumerate(bits()) if charsets.one(code) != 1 << bit] == []
        assert bits()[:0x10000] == list(range(0x10000))

    @pytest.mark.parametrize("flags", [0, re.ASCII])
    @pytest.mark.parametrize("escape", [r"\d", r"\D", r"\s", r"\S", r"\w", r"\W"])
    def test_set_of_a_class_has_all_its_characters(self, escape: str, flags: int) -> None:
        runs = [run.span() for run in re.finditer(f"{escape}+", EVERY, flags)]
        matching = {bit for start, end in runs for bit in bits()[start:end]}
        characters = charsets.of_class(escape, flags)
        held = {bit for bit, digit in enumerate(reversed(f"{characters:b}")) if digit == "1"}

        assert matching - held == set()
        assert {bit for bit in held - matching if bit < 0x10000} == set()

    @pytest.mark.parametrize(("one", "other"), [(r"\d", r"\D"), (r"\s", r"\S"), (r"\w", r"\W"), (r"\w", r"\s")])
    def test_disjoint_classes_do_not_overlap(self, one: str, other: str) -> None:
        assert not charsets.of_class(one, 0) & charsets.of_class(other, 0)

    def test_set_of_a_letter_has_all_its_cases(self) -> None:
        letters = [c for c in EVERY[:0x10000] if c.lower() != c or c.upper() != c]
        by_lower_case: dict[str, list[str]] = {}
        for letter in letters:
            by_lower_case.setdefault(letter.casefold(), []).append(letter)

        for group in by_lower_case.values():
            for one in group:
                for other in group:
                    if re.fullmatch(re.escape(one), other, re.IGNORECASE):
                        sets = charsets.one_in_any_case(ord(one)), charsets.one_in_any_case(ord(other))
                        assert sets[0] & sets[1], (one, other)

    @given(st.characters(), st.characters(), st.characters())
    def test_set_of_a_range_has_all_its_characters(self, low: str, high: str, inside: str) -> None:
        characters = charsets.between(ord(low), ord(high))

        assert not low <= inside <= high or charsets.one(ord(inside)) & characters
        assert low <= inside <= high or charsets.one(ord(inside)) & charsets.without(characters)

    def test_complement_has_all_characters_with_shared_bits(self) -> None:
        one, other = charsets.one(0x1F600), charsets.one(0x1F600 + 1024)

        assert one == other
        assert charsets.without(one) & other


def is_regex(regex: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a set in a set
        try:
            re.compile(regex)
        except (re.error, OverflowError):
            return False
    return True


def seconds(regexes: tuple[str, ...] | list[str], texts: list[str], limit: float = 10) -> float:
    """Return the time that a separate process takes to search each text with each regex, killed after `limit`."""
    script = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
regexes, texts = json.load(sys.stdin)
print("ready", flush=True)
for regex in regexes:
    for text in texts:
        re.search(regex, text)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps([list(regexes), texts]))
        process.stdin.close()
        process.stdout.readline()
        begin = monotonic()
        try:
            assert process.wait(timeout=limit) == 0
        except subprocess.TimeoutExpired:
            process.kill()
        return monotonic() - begin

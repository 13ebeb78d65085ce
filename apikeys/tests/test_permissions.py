"""Permissions: what a key's list grants, and what an expression of names asks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.permissions import MAX_DEPTH, MAX_EXPRESSION_LENGTH, BadExpression, Combination, Grants, Requirement, parse

pytestmark = pytest.mark.embedded


def meets(granted: str, required: str) -> bool:
    """Return whether a key with these blank-separated permissions satisfies an expression."""
    return Grants(granted.split()).satisfy(parse(required))


def complaint(expression: str) -> str:
    """Return the error of an invalid expression."""
    with pytest.raises(BadExpression) as refusal:
        parse(expression)
    ((field, sentences),) = refusal.value.errors.items()
    assert field == "required_permission"
    (sentence,) = sentences
    return str(sentence)


class TestGrants:
    @pytest.mark.parametrize("name", ["chat", "config.read", "小明", "a:b", "chat-room", "*"])
    def test_a_name_grants_itself_alone(self, name: str) -> None:
        grants = Grants([name])

        assert name in grants
        assert not any(
            other in grants for other in (name.upper() + "x", name + ".read", name + "x", name[:-1], "", ".")
        )

    @pytest.mark.parametrize(
        ("asked", "has"),
        [
            ("config.read", True),
            ("config.a.b", True),
            ("config.*", True),
            ("config", False),
            ("configx", False),
            ("configx.read", False),
            ("Config.read", False),
            ("xconfig.read", False),
            ("my.config.read", False),
        ],
    )
    def test_wildcard_grants_names_that_start_with_it(self, asked: str, has: bool) -> None:
        assert (asked in Grants(["config.*"])) == has

    @pytest.mark.parametrize("name", ["*", "config*", "config.*.read", "con.*fig"])
    def test_an_asterisk_elsewhere_is_a_character(self, name: str) -> None:
        assert name in Grants([name])
        assert "config.read" not in Grants([name])

    def test_no_permissions_grant_nothing(self) -> None:
        assert "chat" not in Grants([])
        assert "" not in Grants([])

    def test_what_is_no_text_is_not_granted(self) -> None:
        assert 5 not in Grants(["chat", "config.*"])


class TestExpressions:
    @pytest.mark.parametrize(
        ("required", "granted", "met"),
        [
            ("chat", "chat", True),
            ("chat", "read", False),
            ("chat and read", "chat read", True),
            ("chat and read", "chat", False),
            ("chat or read", "read", True),
            ("chat or read", "write", False),
            # `and` binds tighter, whichever comes first
            ("a or b and c", "a", True),
            ("a or b and c", "b", False),
            ("a or b and c", "b c", True),
            ("a and b or c", "c", True),
            ("a and b or c", "a", False),
            ("a and b or c and d", "c d", True),
            ("a and b or c and d", "b c", False),
            # unless parentheses say otherwise
            ("(a or b) and c", "a", False),
            ("(a or b) and c", "b c", True),
            ("a and (b or c)", "a c", True),
            ("a and (b or c)", "b c", False),
            ("((a))", "a", True),
            ("chat and (config_read or admin)", "chat admin", True),
            ("chat and (config.read or admin)", "chat config.*", True),
        ],
    )
    def test_are_met(self, required: str, granted: str, met: bool) -> None:
        assert meets(granted, required) == met

    @pytest.mark.parametrize("expression", ["  a  and\tb ", "a\u3000and\nb", "(a)and(b)", "a and(b)"])
    def test_blanks_do_not_matter(self, expression: str) -> None:
        assert parse(expression) == parse("a and b")

    @pytest.mark.parametrize(
        "name", ["AND", "Or", "android", "order", "and.or", "or-else", "x" * 64, "小明", "config.*"]
    )
    def test_names_may_look_like_operators(self, name: str) -> None:
        assert parse(name) == name
        assert meets(name, f"({name} and {name}) or nobody")

    @pytest.mark.parametrize(
        ("expression", "sentence"),
        [
            ("", "The expression ends where a permission should stand"),
            ("   ", "The expression ends where a permission should stand"),
            ("chat and", "The expression ends where a permission should stand"),
            ("chat or ", "The expression ends where a permission should stand"),
            ("(", "The expression ends where a permission should stand"),
            ("and", "Part 1 of the expression is not expected there: and"),
            ("or chat", "Part 1 of the expression is not expected there: or"),
            ("chat read", "Part 2 of the expression is not expected there: read"),
            ("chat and and read", "Part 3 of the expression is not expected there: and"),
            ("chat and or read", "Part 3 of the expression is not expected there: or"),
            ("()", "Part 2 of the expression is not expected there: )"),
            ("chat)", "Part 2 of the expression is not expected there: )"),
            ("(chat))", "Part 4 of the expression is not expected there: )"),
            ("chat (read)", "Part 2 of the expression is not expected there: ("),
            ("not chat", "Part 2 of the expression is not expected there: chat"),
            ("chat && read", "Part 2 of the expression is not expected there: &&"),
            ("chat\x00", "Part 1 of the expression is not expected there: chat\x00"),
            ("y" * 65, "Part 1 of the expression is not expected there: " + "y" * 64),
            ("(chat", "A parenthesis is not closed"),
            ("(chat read)", "A parenthesis is not closed"),
            ("((chat) and read", "A parenthesis is not closed"),
        ],
    )
    def test_that_make_no_sense_are_refused_with_the_place(self, expression: str, sentence: str) -> None:
        assert complaint(expression) == sentence

    def test_are_bounded_in_depth(self) -> None:
        assert parse("(" * MAX_DEPTH + "chat" + ")" * MAX_DEPTH) == "chat"

        assert "nested at most 8 deep" in complaint("(" * (MAX_DEPTH + 1) + "chat" + ")" * (MAX_DEPTH + 1))
        assert "nested at most 8 deep" in complaint("(" * MAX_EXPRESSION_LENGTH)

    def test_depth_is_not_how_many_there_are(self) -> None:
        assert parse(" and ".join(["(a)"] * 50)) == Combination(every=True, parts=("a",) * 50)

    def test_are_bounded_in_length(self) -> None:
        longest = "a" + " " * (MAX_EXPRESSION_LENGTH - 1)

        assert parse(longest) == "a"
        assert complaint(longest + " ") == "An expression may have at most 500 characters"


NAMES = ["a", "b", "c.d", "c.e", "and.x"]
_PYTHON = {name: f"has[{number}]" for number, name in enumerate(NAMES)}


def expressions(depth: int = 3) -> st.SearchStrategy[tuple[str, str]]:
    """Return an expression, and the same in Python, where `and` and `or` bind alike."""
    names = st.sampled_from(NAMES).map(lambda name: (name, _PYTHON[name]))
    if depth == 0:
        return names
    inner = expressions(depth - 1)
    operators = st.sampled_from(["and", "or"])
    joined = st.tuples(inner, operators, inner).map(
        lambda parts: tuple(f"{parts[0][side]} {parts[1]} {parts[2][side]}" for side in (0, 1))
    )
    grouped = inner.map(lambda each: (f"({each[0]})", f"({each[1]})"))
    return st.one_of(names, joined, grouped)


@given(expression=expressions(), granted=st.sets(st.sampled_from([*NAMES, "c.*"])))
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_an_expression_means_what_it_means_in_python(expression: tuple[str, str], granted: set[str]) -> None:
    ours, pythons = expression
    has = [name in granted or (name.startswith("c.") and "c.*" in granted) for name in NAMES]

    assert Grants(granted).satisfy(parse(ours)) == bool(eval(pythons, {"has": has}))


TOKENS = st.sampled_from(["a", "b", "and", "or", "(", ")", "c.*", "AND"])


@given(tokens=st.lists(TOKENS, max_size=12))
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_whatever_is_sent_is_parsed_or_refused(tokens: list[str]) -> None:
    """Python accepts and rejects the same tokens, and nothing else is ever raised."""
    as_python = " ".join({"c.*": "c", "AND": "d"}.get(token, token) for token in tokens)
    try:
        compile(as_python.strip(), "expression", "eval")
        is_good = not _has_what_python_means_otherwise(tokens)
    except SyntaxError:
        is_good = False

    try:
        requirement: Requirement | None = parse(" ".join(tokens))
    except BadExpression:
        requirement = None

    assert (requirement is not None) == is_good


def _has_what_python_means_otherwise(tokens: list[str]) -> bool:
    """Return whether Python would read a call or an empty tuple, which are valid there."""
    return any(
        (second == "(" and first not in ("and", "or", "(")) or (first, second) == ("(", ")")
        for first, second in pairwise(tokens)
    )

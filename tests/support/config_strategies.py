"""Hypothesis strategies for configs that match the schema, with unknown keys at every level and no nulls.

Each strategy is made once, because hypothesis validates every part of a new one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agent_config import secret_names
from agent_config.items import folded
from tests.support.config_fields import FIELDS, TASKS
from tests.support.configs import MASK, Config

AWKWARD_KEYS = (
    "",
    " ",
    "$sealed",
    "__class__",
    "__proto__",
    "a.b",
    "a/b~c",
    "constructor",
    "copy",
    "json",
    "model_config",
    "model_dump",
    "model_fields",
    "schema",
    "[0]",
    "键",
    "🙂",
)

_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
_WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@cache
def texts(max_size: int | None = None) -> SearchStrategy[str]:
    """Return texts that can be stored, some as long as is allowed."""
    short = st.text(_CHARACTERS, max_size=min(max_size or 20, 20))
    return short if max_size is None else short | st.just("长" * max_size)


@cache
def integers() -> SearchStrategy[int]:
    """Return integers of 64 bits."""
    return st.integers(-(2**63), 2**63 - 1)


@cache
def numbers() -> SearchStrategy[float]:
    """Return numbers that survive a round trip through JSON."""
    return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**31), 2**31)


@cache
def json_values() -> SearchStrategy[Any]:
    """Return JSON values without null."""
    return st.recursive(
        st.booleans() | integers() | numbers() | texts(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys(), inner, max_size=3),
        max_leaves=4,
    )


@cache
def _keys() -> SearchStrategy[str]:
    # Hypothesis takes texts from the code under test, and some of those name secrets, which read back as masks.
    return st.sampled_from(AWKWARD_KEYS) | texts().filter(lambda key: not secret_names.names()[key])


@cache
def accounts() -> SearchStrategy[str]:
    """Return accounts, written platform:id."""
    return st.builds("{}:{}".format, _WORDS, _WORDS)


@cache
def chats() -> SearchStrategy[str]:
    """Return chats, written platform:id:group or platform:id:private."""
    return st.builds("{}:{}".format, accounts(), st.sampled_from(("group", "private")))


@cache
def time_ranges() -> SearchStrategy[str]:
    """Return ranges of times, written HH:MM-HH:MM."""
    hours, minutes = st.integers(0, 23), st.integers(0, 59)
    return st.builds("{:02}:{:02}-{:02}:{:02}".format, hours, minutes, hours, minutes)


@cache
def regexes() -> SearchStrategy[str]:
    """Return regexes that a config may hold."""
    return (
        st.sampled_from((r"^/\w+", r"(?:\[CQ:at,qq=\d+\]\s*)+", "早上?好", r"^(?P<n>\S{1,20})是这样的$", "")) | _WORDS
    )


def _some(strategy: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
    return st.lists(strategy, max_size=3)


def _open_object(known: dict[str, SearchStrategy[Any]], required: tuple[str, ...] = ()) -> SearchStrategy[Config]:
    """Return objects with some of the known fields, and sometimes unknown ones."""
    unknown = st.dictionaries(_keys().filter(lambda key: key not in known), json_values(), max_size=2)
    fields = st.fixed_dictionaries(
        {name: known[name] for name in required},
        optional={name: strategy for name, strategy in known.items() if name not in required},
    )
    return st.builds(lambda set_fields, others: {**set_fields, **others}, fields, st.just({}) | unknown)


def _rules() -> SearchStrategy[list[Any]]:
    return _some(
        _open_object({"target": st.just("") | chats(), "time": time_ranges(), "value": numbers()}),
    )


_LISTS: dict[tuple[str, str], SearchStrategy[list[Any]]] = {
    ("bot_overrides", "platforms"): _some(accounts()),
    ("config_overrides.chat", "talk_value_rules"): _rules(),
    ("config_overrides.chat", "auto_chat_value_rules"): _rules(),
    ("config_overrides.expression", "learning_list"): _some(
        st.builds(lambda chat, use: [chat, use], st.just("") | chats(), st.sampled_from(("enable", "disable")))
    ),
    ("config_overrides.expression", "expression_groups"): _some(_some(st.just("*") | chats())),
    ("config_overrides.expression", "allow_reflect"): _some(accounts() | chats()),
    ("config_overrides.experimental", "chat_prompts"): _some(
        st.builds("{}:{}".format, chats(), texts().filter(bool)),
    ),
    ("config_overrides.message_receive", "ban_msgs_regex"): _some(regexes()),
    ("config_overrides.keyword_reaction", "keyword_rules"): _some(
        _open_object({"keywords": _some(texts()), "reaction": texts()})
    ),
    ("config_overrides.keyword_reaction", "regex_rules"): _some(
        _open_object({"regex": _some(regexes()), "reaction": texts()})
    ),
}


@cache
def _value(path: str, name: str) -> SearchStrategy[Any]:
    kind, _default, max_length = FIELDS[path][name]
    if name == "base_url":
        return st.just("") | st.builds("https://{}.example/v1".format, _WORDS)
    if kind == "array":
        return _LISTS.get((path, name), _some(texts()))
    simple: dict[str, SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "integer": integers(),
        "number": numbers(),
        "object": st.dictionaries(_keys(), json_values(), max_size=2),
        "string": texts(max_length).filter(lambda text: text != MASK),
    }
    return simple[kind]


@cache
def _known_object(path: str) -> SearchStrategy[Config]:
    return _open_object({name: _value(path, name) for name in FIELDS[path]})


def _named(path: str, **others: SearchStrategy[Any]) -> SearchStrategy[list[Config]]:
    """Return lists of items with distinct names."""
    known = {name: _value(path, name) for name in FIELDS[path]}
    # `provider_name` is left out: it reads back as `api_provider`.
    known.pop("provider_name", None)
    item = _open_object({**known, "name": texts(100).filter(bool), **others}, required=("name",))
    return st.lists(item, max_size=3, unique_by=lambda each: folded(each["name"]))


@st.composite
def _models(draw: st.DrawFn) -> Config:
    """Draw a section `model` whose tasks name its own models."""
    model = "config_overrides.model"
    providers = draw(_named(f"{model}.api_providers[]"))
    provider = st.sampled_from([each["name"] for each in providers]) if providers else texts(100)
    models = draw(_named(f"{model}.models[]", api_provider=provider))
    names = _some(st.sampled_from([each["name"] for each in models])) if models else st.just([])
    task = f"{model}.model_task_config.*"
    fields = {name: _value(task, name) for name in FIELDS[task]} | {"model_list": names}
    tasks = draw(_open_object({name: _open_object(fields) for name in TASKS}))
    section = draw(
        _open_object(
            {
                "models": st.just(models),
                "api_providers": st.just(providers),
                "model_task_config": st.just(tasks),
            }
        )
    )
    if "models" not in section:
        section.pop("model_task_config", None)
    return section


@cache
def configs() -> SearchStrategy[Config]:
    """Return configs that match the schema."""
    prefix = "config_overrides."
    sections = {
        path.removeprefix(prefix): _known_object(path)
        for path in FIELDS
        if path.startswith(prefix) and not path.startswith(f"{prefix}model")
    }
    return _open_object(
        {
            "persona": texts() | _known_object("persona"),
            "bot_overrides": _known_object("bot_overrides"),
            "config_overrides": _open_object({**sections, "model": _models()}),
        }
    )

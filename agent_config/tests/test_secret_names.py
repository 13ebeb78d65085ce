"""The rule about secrets, and their sealing, masking, omission, comparison and opening."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_config import merging, secrets, system
from agent_config.document import MASK, SEALED
from agent_config.errors import BadConfig
from agent_config.layers import Layer, resolve
from agent_config.patches import masked_patch
from agent_config.secret_names import (
    CARRIERS,
    DOCUMENTED,
    NOT_SECRETS,
    RUN_TOGETHER,
    SECRET_NAMES,
    STRUCTURE,
    names,
)
from tests.support.config_fields import FIELDS
from tests.support.configs import Config

pytestmark = pytest.mark.embedded
thoroughly = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
MARK = "mark-of-a-secret"

# One name for each pattern, and the spellings in which people write them.
NAMES = [pattern.strip("*").strip("_") for pattern in (*CARRIERS, *SECRET_NAMES, *RUN_TOGETHER)]
SPELLINGS = [
    "accessToken",
    "access-token",
    "ACCESS_TOKEN",
    "access.token",
    "access token",
    "X-Api-Key",
    "x_api_key",
    "apikey",
    "apiKey",
    "APIKey",
    "APIkey",
    "openaiApiKeys",
    "Ａpi＿Ｋey",
    "api\u200b_key",
    "Proxy-Authorization",
    "Set-Cookie",
    "clientSecret",
    "passWord",
    "dbPasswd",
    "githubPat",
    "slackWebhookUrl",
    "webhook",
    "privateKeyPem",
    "defaultHeaders",
    "extra-headers",
    "我的密码",
]
NO_SECRETS = [
    *(
        pattern.replace("*", "x") if "*_" in pattern or "_*_" in pattern else pattern.strip("*")
        for pattern in NOT_SECRETS
    ),
    "maxTokens",
    "max-new-tokens",
    "keywords",
    "key_words",
    "keyword_rules",
    "keyboard",
    "monkey",
    "regex",
    "pattern",
    "author",
    "auth_type",
    "auth_header_name",
    "key_file",
    "api_server_key_file",
    "tokenizer_mode",
    "envelope",
    "queries",
    "rag_synonym_search_top_k",
]


def below(path: str, value: Any) -> Config:
    """Return a config with a value at a documented path."""
    for step in reversed(path.replace("[]", ".[]").split(".")):
        value = [{"name": "n", **value} if isinstance(value, dict) else value] if step == "[]" else {step: value}
    config: Config = value
    return config


def hidden(config: Config) -> list[str]:
    """Return all forms of a document that are shown, or stored in clear, as JSON."""
    sealed = secrets.sealed(config, {})
    seen = [
        secrets.masked(config),
        secrets.masked(sealed),
        secrets.omitted(config),
        sealed,
        masked_patch({}, sealed),
        masked_patch(sealed, {}),
        masked_patch({}, config),
        secrets.masked_patch([{"op": "add", "path": "", "value": config}]),
        secrets.masked_audit({"config": config}),
        secrets.masked({"agent_defaults": config}),
    ]
    return [json.dumps(shown, ensure_ascii=False) for shown in seen]


def wrappings(name: str, value: Any) -> Iterator[Config]:
    """Yield documents that have a value below a name, at several depths."""
    yield {name: value}
    yield {"config_overrides": {"own": {name: value}}}
    yield {"list": [{"name": "a", name: value}, {name: value}]}
    yield {name: {"deeper": {"still": [{"there": value}]}}}
    yield {name: [{"name": value}, value]}
    yield {name: [[value]]}


class TestRule:
    @pytest.mark.parametrize("path", DOCUMENTED)
    def test_a_text_or_list_at_a_documented_path_is_hidden(self, path: str) -> None:
        for value in (MARK, [MARK], {"any": MARK}, {"any": {"deeper": [MARK, 1]}}):
            config = below(path, value)
            assert not any(MARK in shown for shown in hidden(config)), config
            assert secrets.opened(secrets.sealed(config, {})) == config

    @pytest.mark.parametrize("name", [*NAMES, *SPELLINGS])
    def test_everything_below_a_secrets_name_is_hidden(self, name: str) -> None:
        for value in (MARK, [MARK], [MARK, 1]):
            for config in wrappings(name, value):
                assert not any(MARK in shown for shown in hidden(config)), config
                assert secrets.opened(secrets.sealed(config, {})) == config

    @pytest.mark.parametrize("name", NO_SECRETS)
    def test_other_names_hide_nothing(self, name: str) -> None:
        config = {name: MARK, "x": [{name: [MARK]}]}

        assert secrets.masked(config) == config
        assert secrets.sealed(config, {}) == config

    @pytest.mark.parametrize("value", [4096, 0, 1.5, True, False, None, "", [], [1, 2], {}, {"a": 1}, [[]]])
    def test_values_that_are_no_texts_are_never_secrets(self, value: Any) -> None:
        for name in ("api_key", "headers", "password"):
            assert secrets.sealed({name: value}, {}) == {name: value}

    def test_known_fields_are_secrets_only_where_documented(self) -> None:
        fields = {(place, name) for place, fields in FIELDS.items() for name in fields}
        found = {name for place, name in fields if names()[name]}

        assert found == {"api_key", "auth_token"}
        assert not any(names()[name] for name in STRUCTURE)

    def test_built_in_defaults_have_no_secrets(self) -> None:
        def hidden_names(value: Any) -> set[str]:
            if isinstance(value, dict):
                return {key for key in value if names()[key]} | set().union(*map(hidden_names, value.values()))
            return set().union(*map(hidden_names, value)) if isinstance(value, list) else set()

        assert hidden_names(system.defaults().layer.config) <= {"auth_token"}

    def test_very_long_names_are_secrets_and_not_cached(self) -> None:
        assert names()["x" * 101]
        assert "x" * 101 not in names()

    def test_cache_of_names_is_bounded(self, settings: Any) -> None:
        settings.SECRET_NAMES = ("of_this_test",)
        for number in range(20_000):
            names()[f"name{number}"]

        assert len(names()) <= 10_000


class TestOperatorsNames:
    @pytest.mark.parametrize(
        ("pattern", "name"),
        [
            ("license_number", "licenseNumber"),
            ("licenseNumber", "license_number"),
            ("license-number", "LICENSE NUMBER"),
            ("*_pin", "door_pin"),
            ("sess*", "SESSDATA"),
            ("max_tokens", "maxTokens"),
        ],
    )
    def test_operators_names_are_secrets(self, settings: Any, pattern: str, name: str) -> None:
        config = {"a": {name: MARK}}
        assert secrets.masked(config) == config

        settings.SECRET_NAMES = ("other", pattern)

        assert secrets.masked(config) == {"a": {name: MASK}}

    def test_operators_patterns_do_not_match_structural_names(self, settings: Any) -> None:
        settings.SECRET_NAMES = tuple(f"*{name}*" for name in STRUCTURE)
        config = {"config_overrides": {"model": {"models": [{"name": "m"}]}, "voice": {"x": "y"}}, "persona": "kind"}

        assert secrets.masked(config) == config

    def test_sealed_values_stay_hidden_after_a_name_is_removed(self, settings: Any) -> None:
        settings.SECRET_NAMES = ("door_pin",)
        stored = secrets.sealed({"door_pin": MARK, "other": {"door_pin": [MARK]}}, {})
        settings.SECRET_NAMES = ()

        shown = secrets.masked(stored)

        assert shown == {"door_pin": MASK, "other": {"door_pin": [MASK]}}
        assert secrets.sealed(secrets.unmasked(shown, stored), stored) == stored
        assert secrets.opened(stored) == {"door_pin": MARK, "other": {"door_pin": [MARK]}}


class TestMasks:
    def kept(self, sent: Any, stored: Any) -> Any:
        """Return the stored document, secrets in clear, after `sent` was merged into `stored`."""
        before = secrets.sealed(stored, {})
        return secrets.opened(secrets.sealed(secrets.unmasked(sent, before), before))

    def refused(self, sent: Any, stored: Any, *paths: str) -> None:
        with pytest.raises(BadConfig) as refusal:
            secrets.unmasked(sent, secrets.sealed(stored, {}))
        assert list(refusal.value.errors) == list(paths)

    @pytest.mark.parametrize("mask", [MASK, [MASK]])
    @pytest.mark.parametrize("stored", ["a", ["a"], ["a", "b"], ["a", 5]])
    def test_a_mask_keeps_a_text_and_a_list_of_any_length(self, mask: Any, stored: Any) -> None:
        assert self.kept({"tokens": mask}, {"tokens": stored}) == {"tokens": stored}

    def test_a_list_reads_as_one_mask_whatever_its_length(self) -> None:
        for length in (1, 2, 50):
            stored = secrets.sealed({"tokens": ["a"] * length}, {})
            assert secrets.masked(stored) == {"tokens": [MASK]}

    @pytest.mark.parametrize("sent", [[MASK, "b"], ["b", MASK], [MASK, MASK], [MASK, 5]])
    def test_a_mask_among_other_items_is_refused(self, sent: Any) -> None:
        self.refused({"tokens": sent}, {"tokens": ["a", "b"]}, "tokens")

    @pytest.mark.parametrize("mask", [MASK, [MASK]])
    @pytest.mark.parametrize("stored", [{}, {"tokens": ""}, {"tokens": []}, {"tokens": 5}, {"tokens": {"a": "b"}}])
    def test_a_mask_where_nothing_is_stored_is_refused(self, mask: Any, stored: Any) -> None:
        self.refused({"tokens": mask}, stored, "tokens")

    def test_all_wrong_masks_are_named(self) -> None:
        sent = {"key": MASK, "a": [{"headers": {"x": [MASK, "y"]}}], "b": {SEALED: "gAAAAx"}}

        self.refused(sent, {}, f"b.{SEALED}", "key", "a[0].headers.x")

    def test_objects_with_a_sealed_key_but_no_token_are_accepted(self) -> None:
        config = {"free": {SEALED: "x"}, "headers": {"x": {SEALED: "y"}, "z": {SEALED: {SEALED: "z"}}}}

        stored = secrets.sealed(secrets.unmasked(config, {}), {})

        assert stored["free"] == {SEALED: "x"}
        assert secrets.opened(stored) == config
        assert secrets.unmasked(secrets.masked(stored), stored) == stored

    TOKEN = secrets.sealed({"key": "x"}, {})["key"][SEALED]

    @pytest.mark.parametrize(
        "sent", [{SEALED: TOKEN}, {SEALED: f"[{TOKEN}]"}, {SEALED: TOKEN, "more": 1}, [[{SEALED: TOKEN}]]]
    )
    def test_what_looks_sealed_is_refused_everywhere(self, sent: Any) -> None:
        for config in ({"headers": {"x": sent}}, {"free": sent}, {"list": [sent]}):
            with pytest.raises(BadConfig):
                secrets.unmasked(config, {})

    STORED: Config = {
        "servers": [
            {"name": "a", "url": "https://a", "token": "of a", "headers": {"x": "of a"}},
            {"name": "b", "url": "https://b", "token": "of b"},
        ],
        "ids": [{"id": 1, "key": "of 1"}, {"id": 2, "key": "of 2"}],
        "hooks": [{"to": "https://a", "key": "of a"}, {"to": "https://b", "key": "of b"}],
        "alike": [{"key": "first"}, {"key": "second"}],
    }

    def test_mask_in_a_list_follows_name_id_or_content(self) -> None:
        shown = secrets.masked(secrets.sealed(self.STORED, {}))

        for key in ("servers", "ids", "hooks"):
            sent = {key: list(reversed(shown[key]))}
            assert self.kept(sent, self.STORED) == {key: list(reversed(self.STORED[key]))}
            assert self.kept({key: shown[key][1:]}, self.STORED) == {key: self.STORED[key][1:]}

    def test_mask_in_a_changed_nameless_object_follows_its_position(self) -> None:
        sent = [{"to": "https://a", "key": MASK}, {"to": "https://c", "key": MASK}]

        assert self.kept({"hooks": sent}, self.STORED)["hooks"][1] == {"to": "https://c", "key": "of b"}

    @pytest.mark.parametrize(
        ("sent", "path"),
        [
            ({"servers": [{"name": "c", "token": MASK}]}, "servers[0].token"),
            ({"servers": [{"name": "b", "token": MASK, "headers": {"x": MASK}}]}, "servers[0].headers.x"),
            ({"ids": [{"id": 3, "key": MASK}]}, "ids[0].key"),
            ({"ids": [{"id": "1", "key": MASK}]}, "ids[0].key"),
            ({"hooks": [{"to": "https://c", "key": MASK}]}, "hooks[0].key"),
            ({"alike": [{"key": MASK}]}, "alike[0].key"),
            ({"alike": [{"key": MASK}] * 3}, "alike[0].key"),
        ],
    )
    def test_ambiguous_mask_is_refused(self, sent: Any, path: str) -> None:
        with pytest.raises(BadConfig) as refusal:
            secrets.unmasked(sent, secrets.sealed(self.STORED, {}))
        assert next(iter(refusal.value.errors)) == path


class TestMerging:
    """A sealed secret is merged as a text, never key by key."""

    STORED = {"headers": {"a": "old", "b": {"c": "old"}}}

    @pytest.mark.parametrize(
        "sent", [{"a": {"deeper": "new"}}, {"b": "new"}, {"b": ["new"]}, {"a": None}, {"a": {"d": "x"}, "b": "y"}]
    )
    def test_sealed_secret_and_object_replace_each_other(self, sent: Config) -> None:
        stored, sealed = (secrets.sealed(config, {}) for config in (self.STORED, {"headers": sent}))
        in_clear = merging.merge(self.STORED, {"headers": sent})

        assert secrets.opened(merging.merge(stored, {"headers": sent})) == in_clear
        if None not in sent.values():
            layers = [Layer("", stored), Layer("", sealed)]
            assert secrets.opened(resolve(layers)) == resolve([Layer("", self.STORED), Layer("", {"headers": sent})])


# ---- any nesting

_numbers = itertools.count(1)
_free = ["a", "list", "section", "text", "max_tokens", "name", "id", "model", "headers_off"]
_telling = ["api_key", "headers", "accessToken", "env", "password", "tokens", "default_query"]
_texts = st.builds(lambda: f"value-{next(_numbers)}-end")
_scalars = st.one_of(_texts, st.integers(0, 9), st.booleans(), st.just(""))


def _nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.sampled_from(_free + _telling), children, max_size=4)
    )


documents = st.dictionaries(
    st.sampled_from(_free + _telling), st.recursive(_scalars, _nested, max_leaves=12), max_size=5
)


def texts_of(value: Any, *, is_hidden: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield each text of a document, and whether it is below a secret's name."""
    if isinstance(value, str) and value:
        yield value, is_hidden
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from texts_of(member, is_hidden=is_hidden or key in _telling)
    elif isinstance(value, list):
        for member in value:
            yield from texts_of(member, is_hidden=is_hidden)


class TestAnyNesting:
    @thoroughly
    @given(documents)
    def test_secrets_are_shown_nowhere_and_other_texts_everywhere(self, document: Config) -> None:
        shown = json.dumps(secrets.masked(secrets.sealed(document, {})))
        for text, is_hidden in texts_of(document):
            assert (text in shown) != is_hidden, text
            if is_hidden:
                assert not any(text in seen for seen in hidden(document))

    @thoroughly
    @given(documents)
    def test_opened_document_equals_the_original(self, document: Config) -> None:
        sealed = secrets.sealed(document, {})
        original = copy.deepcopy(sealed)

        assert json.dumps(secrets.opened(sealed)) == json.dumps(document)
        assert sealed == original

    @thoroughly
    @given(documents)
    def test_sending_back_a_masked_document_changes_nothing(self, document: Config) -> None:
        stored = secrets.sealed(document, {})
        sent = secrets.masked(stored)

        meant = secrets.unmasked(sent, stored)

        assert secrets.sealed(merging.merge({}, meant), stored) == stored
        assert secrets.sealed(merging.merge(stored, meant), stored) == merging.merge(stored, stored)

    @thoroughly
    @given(documents)
    def test_sending_equal_secrets_in_clear_changes_nothing(self, document: Config) -> None:
        stored = secrets.sealed(document, {})

        assert secrets.sealed(document, stored) == stored

    @thoroughly
    @given(documents, documents)
    def test_a_mask_is_never_stored_in_a_secrets_place(self, stored: Config, sent: Config) -> None:
        masked = secrets.masked(sent)
        before = secrets.sealed(stored, {})
        try:
            after = secrets.opened(secrets.sealed(secrets.unmasked(masked, before), before))
        except BadConfig:
            pass
        else:
            assert MASK not in json.dumps(after)
            hidden_before = {text for text, is_hidden in texts_of(stored) if is_hidden}
            assert {text for text, is_hidden in texts_of(after) if is_hidden} <= hidden_before

"""The import of configs from another system, and sending an imported config back as it is read."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agent_config import merging
from agent_config.bulk_import import ImportedConfig, import_config
from agent_config.document import SECTIONS
from agent_config.schema import Place
from agent_config.secrets import masked, opened
from agent_config.tests.test_schema_validation import FOREIGN, placed, section, shown
from agents import services
from agents.bulk_import import import_agents
from agents.models import Agent, ConfigVersion
from core.models import AuditEntry, FeedEntry
from tests.support.config_fields import FIELDS
from tests.support.config_strategies import configs, json_values
from tests.support.configs import MASK, Config, model, provider
from tests.support.examples import examples
from tests.support.people import OPERATOR, Person

pytestmark = pytest.mark.embedded

PROVIDERS, MODELS = "config_overrides.model.api_providers", "config_overrides.model.models"
SECRETS = ("config_overrides.model.api_providers[].api_key", "config_overrides.model.api_providers[].base_url")
thoroughly = examples(8)
_numbers = itertools.count(1)


def text(config: Any) -> str:
    return json.dumps(config)


def import_with_warnings(config: Config, *warned_of: str) -> Config:
    """Import a config and return it. Nothing may be left out, and exactly these places get warnings."""
    found = import_config(config)
    assert found.left_out == {}
    assert list(found.warnings) == list(warned_of)
    assert all(sentence for sentences in found.warnings.values() for sentence in sentences)
    return found.config


def left_out(config: Config, *places: str) -> Config:
    """Import a config and return it. Exactly these places must be left out, and none may get a warning."""
    found = import_config(config)
    assert found.warnings == {}
    assert list(found.left_out) == list(places)
    assert all(sentence for sentences in found.left_out.values() for sentence in sentences)
    return found.config


def secret(place: str) -> bool:
    return place.endswith((".api_key", ".base_url", ".auth_token"))


class TestKept:
    @pytest.mark.parametrize("config", [{}, {"own": {"a": [1]}}, {"persona": "kind"}, {"persona": {"states": ["a"]}}])
    def test_valid_config_is_kept(self, config: Config) -> None:
        assert text(import_with_warnings(config)) == text(config)

    @pytest.mark.parametrize("path", FIELDS)
    def test_value_of_another_type_is_kept_with_a_warning(self, path: str) -> None:
        is_merged_by_name = path.endswith(("models[]", "api_providers[]"))
        for name, (kind, _default, _length) in FIELDS[path].items():
            for wrong in FOREIGN[kind]:
                place = shown(path, name)
                is_structure = is_merged_by_name and name == "name"
                is_list_of_named = f"{path}.{name}" in (PROVIDERS, MODELS)
                if not (is_structure or is_list_of_named or name == "provider_name" or secret(place)):
                    config = placed(path, {"name": "a", name: wrong})
                    assert text(import_with_warnings(config, place)) == text(config), (name, wrong)

    @pytest.mark.parametrize("path", FIELDS)
    def test_too_long_text_is_kept_with_a_warning(self, path: str) -> None:
        for name, (_kind, _default, length) in FIELDS[path].items():
            if length and name != "provider_name":
                config = placed(path, {"name": "a", name: "长" * (length + 1)})
                assert import_with_warnings(config, shown(path, name)) == config

    @pytest.mark.parametrize(
        ("config", "place"),
        [
            (section("chat", talk_value_rules=[{"time": "8:00-9:00"}]), "chat.talk_value_rules[0].time"),
            (section("chat", talk_value_rules=["x"]), "chat.talk_value_rules[0]"),
            (section("expression", allow_reflect=["qq:1", "qq"]), "expression.allow_reflect[1]"),
            (section("message_receive", ban_msgs_regex=["ok", "(a+)+"]), "message_receive.ban_msgs_regex[1]"),
            (section("model", model_task_config={"vlm": 5}), "model.model_task_config.vlm"),
            (section("model", model_task_config=[]), "model.model_task_config"),
        ],
    )
    def test_wrong_format_is_kept_with_a_warning(self, config: Config, place: str) -> None:
        assert import_with_warnings(config, f"config_overrides.{place}") == config

    def test_secrets_that_are_texts_lists_or_null_are_kept(self) -> None:
        items = [provider("a", api_key="sk-a", base_url=""), provider("b", api_key=["sk-b"])]
        config = {**model(api_providers=items)}
        config["config_overrides"]["maim_message"] = {"auth_token": ["tok"]}

        assert import_with_warnings(config, f"{PROVIDERS}[1].api_key") == config

    def test_names_of_the_systems_items_are_kept_with_a_warning(self, system_models: None) -> None:
        config = model(
            api_providers=[provider("mine"), provider("ünïversal")],
            models=[
                {"name": "SYSTEM-MODEL", "api_provider": "mine"},
                {"name": "own", "api_provider": "ÜNÏVERSAL"},
                {"name": "fine", "api_provider": "mine"},
            ],
        )

        assert (
            import_with_warnings(config, f"{PROVIDERS}[1].name", f"{MODELS}[0].name", f"{MODELS}[1].api_provider")
            == config
        )

    def test_too_large_config_is_kept_with_a_warning(self) -> None:
        large = {"own": "x" * (256 * 1024)}
        many = {"own": list(range(5001))}

        assert import_with_warnings(large, "config") == large
        assert import_with_warnings(many, "config") == many
        assert import_with_warnings({"own": "x" * (255 * 1024)})

    def test_each_warning_has_its_path(self) -> None:
        config = {"persona": {"states": [1, "x", 2]}, **section("chat", talk_value="x")}

        assert (
            import_with_warnings(config, "persona.states[0]", "persona.states[2]", "config_overrides.chat.talk_value")
            == config
        )


class TestLeftOut:
    @pytest.mark.parametrize("persona", [5, True, [], ["kind"], 0.5])
    def test_persona_that_is_neither_text_nor_object_is_left_out(self, persona: Any) -> None:
        assert left_out({"persona": persona, "own": 1}, "persona") == {"own": 1}

    @pytest.mark.parametrize("wrong", [5, "x", [], True])
    def test_section_that_is_no_object_is_left_out(self, wrong: Any) -> None:
        assert left_out(
            {"bot_overrides": wrong, "config_overrides": wrong, "a": 1}, "bot_overrides", "config_overrides"
        )

        sections = import_config({"config_overrides": {**dict.fromkeys(SECTIONS, wrong), "own": wrong}})
        assert sorted(sections.left_out) == [f"config_overrides.{name}" for name in SECTIONS]
        assert (sections.config, sections.warnings) == ({"config_overrides": {"own": wrong}}, {})

    @pytest.mark.parametrize("wrong", [5, "x", {}, {"0": {"name": "a"}}, True])
    def test_named_list_that_is_no_list_is_left_out(self, wrong: Any) -> None:
        found = import_config(model(models=wrong, api_providers=wrong, own=1))

        assert sorted(found.left_out) == [PROVIDERS, MODELS]
        assert (found.config, found.warnings) == (model(own=1), {})

    @pytest.mark.parametrize("kind", ["models", "api_providers"])
    def test_items_without_a_distinct_name_are_left_out(self, kind: str) -> None:
        first, second = {"name": "a", "n": 1}, {"name": "b", "n": 2}
        items = ["x", first, {}, None, {"name": ""}, second, {"name": 5}, {"name": None}, {"name": "a", "n": 3}, second]

        found = import_config(model(**{kind: items}))

        places = ("[0]", "[2].name", "[3]", "[4].name", "[6].name", "[7].name", "[8].name", "[9].name")
        assert sorted(found.left_out) == sorted(f"config_overrides.model.{kind}{place}" for place in places)
        assert (found.config, found.warnings) == (model(**{kind: [first, second]}), {})

    def test_names_that_differ_in_case_are_both_kept(self) -> None:
        config = model(models=[{"name": "a"}, {"name": "A"}])

        assert import_with_warnings(config) == config

    @pytest.mark.parametrize("wrong", [{"$sealed": "x"}, {"a": 1}, 5, True, 0.5])
    def test_secrets_that_are_neither_text_nor_list_are_left_out(self, wrong: Any) -> None:
        config = model(api_providers=[provider(api_key=wrong, base_url=wrong)])
        config["config_overrides"]["maim_message"] = {"auth_token": wrong, "own": 1}

        token = "config_overrides.maim_message.auth_token"
        found = left_out(config, f"{PROVIDERS}[0].api_key", f"{PROVIDERS}[0].base_url", token)

        assert found == {"config_overrides": {"model": {"api_providers": [provider()]}, "maim_message": {"own": 1}}}

    def test_config_with_too_many_faults_is_left_out(self) -> None:
        lists = {"ban_words": [1] * 5000, "ban_msgs_regex": [1] * 5000}

        assert left_out({"own": 1, **section("message_receive", **lists)}, "config") == {}

    def test_wrong_items_of_a_too_long_list_are_left_out(self) -> None:
        found = import_config(model(models=[{"name": "a"}] * 5001, own=1))

        assert MODELS in found.left_out
        assert found.config == model(own=1)


class TestPlaces:
    """Reported places are those in the imported config, whatever is left out of it."""

    def test_warnings_after_left_out_items_keep_their_paths(self, system_models: None) -> None:
        items = [5, provider("a", timeout="x"), {}, provider("a"), provider("Ünïversal", max_retry="y")]
        models = [{}, {"name": "own", "provider_name": "Ünïversal"}, {"name": "own"}, {"name": "two", "price_in": "z"}]

        found = import_config(model(api_providers=items, models=models))

        assert sorted(found.left_out) == sorted(
            [
                f"{PROVIDERS}[0]",
                f"{PROVIDERS}[2].name",
                f"{PROVIDERS}[3].name",
                f"{MODELS}[0].name",
                f"{MODELS}[2].name",
            ]
        )
        assert sorted(found.warnings) == sorted(
            [
                f"{PROVIDERS}[1].timeout",
                f"{PROVIDERS}[4].max_retry",
                f"{PROVIDERS}[4].name",
                f"{MODELS}[1].provider_name",
                f"{MODELS}[3].price_in",
            ]
        )
        assert found.config == model(
            api_providers=[items[1], items[4]],
            models=[{"api_provider": "Ünïversal", "name": "own"}, models[3]],
        )

    def test_secrets_after_left_out_items_keep_their_paths(self) -> None:
        items = [None, provider("a", api_key={"x": 1}), {}, provider("b", api_key={"x": 1}, timeout="x")]

        found = import_config(model(api_providers=items))

        assert sorted(found.left_out) == [
            f"{PROVIDERS}[0]",
            f"{PROVIDERS}[1].api_key",
            f"{PROVIDERS}[2].name",
            f"{PROVIDERS}[3].api_key",
        ]
        assert list(found.warnings) == [f"{PROVIDERS}[3].timeout"]
        assert found.config == model(api_providers=[provider("a"), provider("b", timeout="x")])

    def test_left_out_item_gets_no_other_warning(self, system_models: None) -> None:
        again = provider("a", api_key={"x": 1})

        found = import_config(model(api_providers=[provider("a"), again]))

        assert list(found.left_out) == [f"{PROVIDERS}[1].name"]


class TestStoredForm:
    def test_nulls_are_not_stored(self) -> None:
        config: Config = {
            "persona": None,
            "own": {"a": None, "b": [None, {"c": None, "d": 1}]},
            **model(models=[{"name": "a", "price_in": None}], api_providers=None),
        }

        assert import_with_warnings(config) == {"own": {"b": [None, {"d": 1}]}, **model(models=[{"name": "a"}])}

    @pytest.mark.parametrize(
        ("item", "spelled"),
        [
            ({"name": "a", "provider_name": "x"}, {"name": "a", "api_provider": "x"}),
            ({"name": "a", "provider_name": "x", "api_provider": "y"}, {"name": "a", "api_provider": "y"}),
            ({"name": "a", "api_provider": "y"}, {"name": "a", "api_provider": "y"}),
        ],
    )
    def test_provider_name_is_stored_as_api_provider(self, item: Config, spelled: Config) -> None:
        assert import_with_warnings(model(models=[item])) == model(models=[spelled])

    def test_provider_name_of_another_type_is_kept_too(self) -> None:
        found = import_with_warnings(model(models=[{"name": "a", "provider_name": 5}]), f"{MODELS}[0].provider_name")

        assert found == model(models=[{"name": "a", "api_provider": 5}])

    @pytest.mark.parametrize(
        "config",
        [
            {"persona": 5, "own": None},
            model(models=["x", {}, {"name": "a", "provider_name": "b"}, {"name": "a"}]),
            model(api_providers=[5, provider(api_key={"a": 1})]),
            section("chat", talk_value="x", talk_value_rules=[{"time": None}]),
        ],
    )
    def test_imported_document_is_not_changed(self, config: Config) -> None:
        before = copy.deepcopy(config)

        found = import_config(config)
        found.config.setdefault("config_overrides", {})["changed"] = True

        assert text(config) == text(before)


# ---- any config


def faulty() -> SearchStrategy[Config]:
    """Return configs in which some values are replaced by any others, and some items of lists occur twice."""
    return configs().flatmap(_spoiled)


@st.composite
def _spoiled(draw: st.DrawFn, config: Config) -> Config:
    config = copy.deepcopy(config)
    values = (
        st.none() | json_values() | st.sampled_from(["x" * 501, MASK, [MASK], {"$sealed": "x"}, [[]], [{}], [None]])
    )
    for _ in range(draw(st.integers(1, 6))):
        places = list(_places(config, ()))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder: Any = config
        for step in way:
            holder = holder[step]
        if isinstance(holder, list) and isinstance(last, int) and draw(st.booleans()):
            holder.insert(draw(st.integers(0, len(holder))), copy.deepcopy(holder[last]))
        else:
            holder[last] = copy.deepcopy(draw(values))
    return config


def _places(value: Any, place: Place) -> Iterator[Place]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        yield (*place, step)
        if len(place) < 6:
            yield from _places(member, (*place, step))


class TestAnyConfig:
    @thoroughly
    @given(config=configs())
    def test_valid_config_is_stored_as_if_it_were_sent(self, config: Config) -> None:
        assert text(import_with_warnings(config)) == text(merging.merge({}, config)) == text(config)

    @thoroughly
    @given(config=faulty())
    def test_import_is_idempotent(self, config: Config) -> None:
        before = text(config)
        once = import_config(config)

        again = import_config(once.config)

        assert text(config) == before
        assert (text(again.config), again.left_out) == (text(once.config), {})

    @thoroughly
    @given(config=faulty())
    def test_only_reported_values_are_left_out(self, config: Config) -> None:
        found = import_config(config)

        if not found.left_out:
            assert text(found.config) == text(merging.merge({}, config))


@pytest.mark.django_db
class TestSendingBack:
    """An imported config can be sent back as it is read, and that changes nothing."""

    @thoroughly
    @given(config=configs() | faulty())
    def test_any_imported_config_can_be_sent_back(self, alice: Person, config: Config) -> None:
        can_be_sent_back(alice, import_config(config))

    @pytest.mark.parametrize("path", FIELDS)
    def test_wrong_types_can_be_sent_back(self, alice: Person, path: str) -> None:
        foreign = {name: FOREIGN[kind] for name, (kind, _default, _length) in FIELDS[path].items()}
        for wrong in foreign.pop("name", ()):  # by itself: an item without a name is left out whole
            can_be_sent_back(alice, import_config(placed(path, {"name": wrong})))
        for number in range(max(map(len, foreign.values()), default=0)):
            wrong = {name: values[number % len(values)] for name, values in foreign.items()}
            can_be_sent_back(alice, import_config(placed(path, {"name": "a", **wrong})))

    def test_names_of_the_systems_items_can_be_sent_back(self, alice: Person, system_models: None) -> None:
        config = model(
            api_providers=[provider("ünïversal", api_key="sk-mine")],
            models=[{"name": "system-model"}, {"name": "own", "provider_name": "Ünïversal"}],
        )

        can_be_sent_back(alice, import_config(config))

    def test_task_with_a_missing_model_can_be_sent_back(self, alice: Person) -> None:
        can_be_sent_back(alice, import_config(model(model_task_config={"vlm": {"model_list": ["gone"]}})))

    def test_too_large_config_can_be_sent_back(self, alice: Person) -> None:
        can_be_sent_back(alice, import_config({"own": "x" * (256 * 1024)}))
        can_be_sent_back(alice, import_config({"own": [1] * 6_000}))

    def test_namesakes_with_an_operators_provider_can_be_sent_back(self, alice: Person, system_models: None) -> None:
        models = [{"name": "a", "api_provider": "Ünïversal"}, {"name": "A", "api_provider": "mine"}]

        can_be_sent_back(alice, import_config(model(models=models)))


def can_be_sent_back(alice: Person, found: ImportedConfig) -> None:
    agent = Agent(tenant=alice.tenant, config=found.config)
    agent.set_name(f"adopted {next(_numbers)}")
    config = copy.deepcopy(agent.config)
    import_agents(actor=OPERATOR, new=[agent], changed=[])
    before = state(agent)
    read = masked(Agent.unscoped.get(pk=agent.pk).config)

    services.update_agent(actor=alice.actor, agent=agent, changes={"config": read})

    assert state(agent) == before
    assert text(opened(Agent.unscoped.get(pk=agent.pk).config)) == text(config)


def state(agent: Agent) -> str:
    """Return all that a write of the agent changes."""
    rows = [
        list(Agent.unscoped.filter(pk=agent.pk).values()),
        list(ConfigVersion.unscoped.filter(agent=agent).order_by("pk").values()),
        list(FeedEntry.objects.filter(subject=agent.pk).order_by("pk").values()),
        list(AuditEntry.objects.filter(object_id=agent.pk).order_by("pk").values()),
    ]
    return json.dumps(rows, default=str)

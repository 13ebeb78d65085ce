"""The addresses of a secret: beside it, around it, those of its model's provider, and those of its process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_config import addresses
from agent_config.document import MASK
from agent_config.errors import BadConfig
from agent_config.layers import Layer, resolve
from agent_config.updates import apply_update
from tests.support.configs import Config, model, provider, secret_provider

pytestmark = pytest.mark.embedded

URL, OTHER, EVIL = "https://own.example", "https://other.example", "https://evil.example"


def refused(stored: Config, sent: Config, **options: Any) -> set[str]:
    """Return the paths for which a change is refused; of a stored config whose secrets are sealed."""
    sealed = apply_update({}, stored, below=[]).config
    try:
        apply_update(sealed, sent, below=[], **options)
    except BadConfig as error:
        return set(error.errors)
    return set()


def refused_of_plugin(stored: Config, result: Config) -> set[str]:
    """Return the paths of a plugin's secrets that may not be kept."""
    try:
        addresses.check_plugin_moved({}, stored, result)
    except BadConfig as error:
        return set(error.errors)
    return set()


class TestModels:
    """A secret of a model goes to the address of its provider."""

    HEADER = "config_overrides.model.models[0].extra_params.headers.X-Own"
    OWN = {"name": "m", "api_provider": "p", "extra_params": {"headers": {"X-Own": "sk-own"}}}
    STORED = model(
        api_providers=[provider("p", base_url=URL), provider("q", base_url=OTHER), provider("same", base_url=URL)],
        models=[OWN],
    )

    @pytest.mark.parametrize(
        "sent",
        [
            model(api_providers=[provider("p", base_url=EVIL)]),
            model(api_providers=[provider("p", base_url=URL, proxy=EVIL)]),
            model(api_providers=[provider("p", base_url=None)]),
            model(api_providers=[]),
            model(api_providers=[provider("P", base_url=EVIL), provider("p")]),
            model(models=[{"name": "m", "api_provider": "q"}]),
            model(models=[{"name": "m", "provider_name": "q"}]),
            model(models=[{"name": "m", "api_provider": None}]),
            model(models=[{"name": "m", "api_provider": "of another layer"}]),
            model(models=[{"name": "m", "extra_params": {"base_url": EVIL}}]),
            model(proxy=EVIL),
            {"config_overrides": {"https_proxy": EVIL}},
            {"proxies": {"https": EVIL}},
        ],
    )
    def test_other_address_needs_the_key_again(self, sent: Config) -> None:
        assert refused(self.STORED, sent) == {self.HEADER}
        assert refused(self.STORED, sent, may_move_secrets=True) == set()

    @pytest.mark.parametrize("key", ["headers", "query", "extra_headers", "api_key"])
    def test_other_address_needs_secrets_of_parameters_again(self, key: str) -> None:
        own = {**self.OWN, "extra_params": {key: "sk-own"}}
        stored = model(api_providers=[provider("p", base_url=URL)], models=[own])

        assert refused(stored, model(api_providers=[provider("p", base_url=EVIL)])) == {
            f"config_overrides.model.models[0].extra_params.{key}"
        }

    def test_a_provider_that_hides_one_of_another_layer_is_another(self) -> None:
        stored = model(models=[self.OWN])

        assert refused(stored, model(api_providers=[provider("p", base_url=EVIL)])) == {self.HEADER}

    def test_under_another_name_nothing_is_kept(self) -> None:
        renamed = {**self.OWN, "name": "n", "extra_params": {"headers": {"X-Own": MASK}}}

        assert refused(self.STORED, model(models=[renamed])) == {self.HEADER}

    @pytest.mark.parametrize(
        "sent",
        [
            model(models=[{"name": "m", "temperature": 1}]),
            model(models=[{"name": "m", "api_provider": "same"}]),
            model(models=[{**OWN, "api_provider": "q"}]),
            model(api_providers=[provider("q", base_url=EVIL), provider("p", timeout=5)]),
            model(api_providers=[provider("p", base_url=EVIL)], models=[OWN]),
            {"own": {"proxy": EVIL}},
        ],
    )
    def test_unchanged_address_is_accepted(self, sent: Config) -> None:
        assert refused(self.STORED, sent) == set()


class TestNesting:
    """However deep an address stands beside a secret, it is that secret's."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"conn": {"url": URL}}, {"conn": {"url": EVIL}}),
            ({"conn": {"to": URL}}, {"conn": {"to": EVIL}}),
            ({"conn": {"a": [{"b": {"host": "own"}}]}}, {"conn": {"a": [{"b": {"host": "evil"}}]}}),
            ({}, {"conn": {"url": EVIL}}),
            ({"conn": {"url": URL}}, {"conn": {"url": None}}),
            ({"proxies": {"https": "own"}}, {"proxies": {"https": "evil"}}),
            ({"network": {"https_proxy": "own"}}, {"network": {"https_proxy": "evil"}}),
            ({"port": 1}, {"port": 2}),
            ({"conn": {"hostPort": "1"}}, {"conn": {"hostPort": "2"}}),
            ({"url_2": "own"}, {"url_2": "evil"}),
            ({"ip": "10.0.0.1"}, {"ip": "10.6.6.6"}),
            ({"x": URL}, {"x": EVIL}),
        ],
    )
    @pytest.mark.parametrize("secret", ["token", "headers"])
    def test_other_address_needs_the_secret_again(self, before: Config, after: Config, secret: str) -> None:
        stored = {"svc": {**before, secret: "sk-own"}}

        assert refused(stored, {"svc": after}) == {f"svc.{secret}"}
        assert refused(stored, {"svc": {**after, secret: "sk-new"}}) == set()
        assert refused(stored, {"svc": {"speed": 3}}) == set()

    def test_object_with_its_own_address_is_independent(self) -> None:
        stored = {"news": {"url": URL, "key": "sk-1"}, "weather": {"conn": {"url": URL}, "key": "sk-2"}}
        moved = {**stored, "news": {"url": EVIL, "key": "sk-1"}}

        assert refused_of_plugin(stored, moved) == {"news.key"}

    @pytest.mark.parametrize("direct", [{"token": "sk-3"}, {"auth": {"token": "sk-3"}}])
    def test_object_without_address_belongs_to_those_beside_it(self, direct: Config) -> None:
        stored = {"news": {"url": URL, "key": "sk-1"}, **direct}

        assert len(refused_of_plugin(stored, {**stored, "news": {"url": EVIL, "key": "sk-1"}})) == 2

    def test_a_secret_that_is_added_takes_no_address_away_from_another(self) -> None:
        stored = {"svc": {"conn": {"url": URL}, "auth": {"token": "sk-own"}}}

        assert refused(stored, {"svc": {"conn": {"url": EVIL, "password": "x"}}}) == {"svc.auth.token"}

    def test_parts_of_a_tenants_config_are_independent(self) -> None:
        stored = {"crm": {"key": "sk-1"}, "branding": {"logo_url": URL}}

        addresses.check_tenant_moved({}, stored, {**stored, "branding": {"logo_url": OTHER}})
        with pytest.raises(BadConfig):
            addresses.check_tenant_moved({}, stored, {**stored, "crm": {"key": "sk-1", "url": EVIL}})

    def test_the_bots_own_server_may_listen_elsewhere(self) -> None:
        stored = {"config_overrides": {"maim_message": {"auth_token": ["t"], "host": "127.0.0.1", "port": 1}}}
        path = "config_overrides.maim_message.auth_token"

        assert refused(stored, {"config_overrides": {"maim_message": {"port": 2}}}) == set()
        assert refused(stored, {"config_overrides": {"maim_message": {"host": "10.6.6.6"}}}) == {path}


class TestProcesses:
    """The command line and the variables of a process decide where its environment's secrets go."""

    STORED = {
        "name": "s",
        "command": "serve",
        "args": ["-v"],
        "env": {"API_KEY": "sk-own", "PATH": "/bin", "GH_TOKEN": "sk-2"},
    }
    ENV = "config_overrides.mcp.servers[0].env"

    def refused(self, **changes: Any) -> set[str]:
        """Change the server, with masks for its environment. Return the paths that are refused."""
        env = dict.fromkeys(self.STORED["env"], MASK) | changes.pop("env", {})
        env = {name: value for name, value in env.items() if value is not None}
        sent = {**self.STORED, **changes, "env": env}
        sent = {key: value for key, value in sent.items() if value is not None}
        stored, sent = ({"config_overrides": {"mcp": {"servers": [each]}}} for each in (self.STORED, sent))
        return refused(stored, sent)

    @pytest.mark.parametrize("name", ["NODE_OPTIONS", "LD_PRELOAD", "BASH_ENV", "HTTPS_PROXY", "PYTHONPATH", "OWN"])
    def test_new_variable_needs_the_secrets_again(self, name: str) -> None:
        assert self.refused(env={name: "evil"}) >= {f"{self.ENV}.API_KEY", f"{self.ENV}.GH_TOKEN"}

    @pytest.mark.parametrize("value", ["/evil", None])
    def test_changed_or_removed_variable_needs_the_secrets_again(self, value: str | None) -> None:
        assert self.refused(env={"PATH": value}) == {f"{self.ENV}.API_KEY", f"{self.ENV}.GH_TOKEN"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"command": "evil"},
            {"args": ["-v", "--eval"]},
            {"args": None},
            {"cwd": "/evil"},
            {"runtime": {"image": "evil"}},
            {"transport": "evil"},
        ],
    )
    def test_other_command_line_needs_all_variables_again(self, changes: Config) -> None:
        assert self.refused(**changes) == {f"{self.ENV}.{name}" for name in self.STORED["env"]}

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"description": "new", "enabled": False, "timeout": 5},
            {"env": {"API_KEY": "sk-new"}},
            {"env": {"GH_TOKEN": None}},
            {"env": {"PATH": "/evil", "API_KEY": "sk-new", "GH_TOKEN": "sk-new"}},
        ],
    )
    def test_unchanged_process_is_accepted(self, changes: Config) -> None:
        assert self.refused(**changes) == set()

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([{"name": "A_KEY", "value": "sk"}], [{"name": "A_KEY", "value": "sk"}, {"name": "PATH", "value": "x"}]),
            (["A_KEY=sk", {"deep": "sk"}], ["A_KEY=sk", {"deep": "sk"}, "PATH=x"]),
        ],
    )
    def test_list_is_an_environment_too(self, before: Any, after: Any) -> None:
        assert refused_of_plugin({"env": before, "token": "t"}, {"env": after, "token": "t"}) >= {"token"}
        assert len(refused_of_plugin({"env": before}, {"env": after})) >= 1


class TestLayers:
    """A layer that is not an operator's gives no address to a secret below it."""

    @pytest.mark.parametrize(
        ("lower", "upper"),
        [
            ({"svc": {"token": "t", "conn": {"url": URL}}}, {"svc": {"conn": {"url": EVIL}}}),
            ({"svc": {"token": "t"}}, {"svc": {"conn": {"deep": [{"url": EVIL}]}}}),
            ({"svc": {"token": "t", "proxies": {"http": "a"}}}, {"svc": {"proxies": {"https": "evil.example"}}}),
            ({"svc": {"token": "t", "url": URL}}, {"svc": {"ip": "evil.example"}}),
            ({"svc": {"auth": {"token": "t"}}}, {"svc": {"conn": {"url": EVIL, "key": "x"}}}),
            ({"svc": {"env": {"KEY": "t"}}}, {"svc": {"env": {"NODE_OPTIONS": "evil.example"}}}),
            ({"svc": {"env": {"KEY": "t"}}}, {"svc": {"cwd": "evil.example"}}),
            ({"svc": {"env": {"KEY": "t"}}}, {"svc": {"transport": "evil.example"}}),
            (model(api_providers=[secret_provider()]), model(proxy=EVIL)),
            (model(api_providers=[secret_provider()]), {**model(api_providers=[provider("q")]), "proxy": EVIL}),
            (model(api_providers=[secret_provider()]), {"config_overrides": {"proxies": {"https": "evil.example"}}}),
            ({"token": "t"}, {"conn": {"url": EVIL}}),
        ],
    )
    def test_redirecting_address_is_left_out_and_refused(self, lower: Config, upper: Config) -> None:
        theirs = Layer("default", lower, is_trusted=True)

        assert "evil.example" not in json.dumps(resolve([theirs, Layer("agent", upper)]))
        assert "evil.example" in json.dumps(resolve([theirs, Layer("template", upper, is_trusted=True)]))
        with pytest.raises(BadConfig):
            apply_update({}, upper, below=[theirs])

    @pytest.mark.parametrize(
        ("lower", "upper"),
        [
            ({"svc": {"token": "t", "url": URL}}, {"svc": {"token": "mine", "url": OTHER}}),
            ({"svc": {"a": {"url": URL, "key": "t"}}}, {"svc": {"b": {"url": OTHER, "key": "mine"}}}),
            ({"svc": {"a": {"url": URL, "key": "t"}}}, {"svc": {"a": {"speed": 1}}, "own": {"url": OTHER}}),
            (model(api_providers=[secret_provider()]), model(api_providers=[provider("q", base_url=OTHER)])),
            (
                {"config_overrides": {"maim_message": {"auth_token": ["t"]}}},
                {"config_overrides": {"maim_message": {"port": 1}}},
            ),
        ],
    )
    def test_address_without_secret_below_stays(self, lower: Config, upper: Config) -> None:
        theirs = Layer("default", lower, is_trusted=True)
        warm = resolve([theirs, Layer("template", upper, is_trusted=True)])

        assert resolve([theirs, Layer("agent", upper)]) == warm
        apply_update({}, upper, below=[theirs])


class TestNames:
    """A name that looks like an operator's is the operator's."""

    THEIRS = Layer(
        "default",
        model(
            api_providers=[provider("Theirs", api_key="k", base_url=URL)],
            models=[{"name": "m1", "api_provider": "Theirs"}],
        ),
        is_trusted=True,
    )
    LOOKALIKES = ("Theirs", "THEIRS", "Theirs ", " theirs\t", "Ｔｈｅｉｒｓ", "Thei\u200brs", "Ｔheirs\u3000")

    @pytest.mark.parametrize("name", LOOKALIKES)
    def test_lookalike_name_is_refused_for_a_provider_and_its_use(self, name: str) -> None:
        for sent in (
            model(api_providers=[provider(name, base_url=EVIL)]),
            model(models=[{"name": "mine", "api_provider": name}]),
        ):
            with pytest.raises(BadConfig):
                apply_update({}, sent, below=[self.THEIRS])

    @pytest.mark.parametrize("name", ["M1", "m1 ", "ｍ１", "m¹"])
    def test_lookalike_name_is_refused_for_a_model(self, name: str) -> None:
        with pytest.raises(BadConfig):
            apply_update({}, model(models=[{"name": name}]), below=[self.THEIRS])

    @pytest.mark.parametrize("name", LOOKALIKES)
    @pytest.mark.parametrize("used", LOOKALIKES)
    def test_earlier_lookalike_name_leads_to_no_key(self, name: str, used: str) -> None:
        mine = model(api_providers=[provider(name, base_url=EVIL)], models=[{"name": "mine", "api_provider": used}])

        resolved = resolve([self.THEIRS, Layer("agent", mine)])

        assert "api_key" not in json.dumps(resolved)
        borrowed = resolve([self.THEIRS, Layer("agent", model(models=[{"name": "mine", "api_provider": used}]))])
        assert [item["name"] for item in borrowed["config_overrides"]["model"]["models"]] == ["m1"]

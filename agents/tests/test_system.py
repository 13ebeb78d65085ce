"""/system/models and /system/bot-defaults: without any secret (docs/contract.md sections 7 and 8)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import SurfaceClient
from tests.support.people import Person, make_agent

pytestmark = [pytest.mark.embedded, pytest.mark.django_db]
MODELS = """
[inner]
version = "1"

[[api_providers]]
name = "Mine"
base_url = "https://mine.example/v1"
api_key = "sk-secret"
client_type = "gemini"
max_retry = 2

[[api_providers]]
name = "Bare"
api_key = "sk-secret"

[[models]]
name = "m"
model_identifier = "m-1"
api_provider = "Mine"
price_in = 0.5
extra_params = { enable_thinking = false, api_key = "sk-secret", headers = { access_token = "sk-secret" } }

[model_task_config.replyer]
model_list = ["m"]
max_tokens = 800
"""
DEFAULTS = """
[inner]
version = "7"

[bot]
nickname = "麦麦"

[maim_message]
auth_token = ["sk-secret"]
api_server_allowed_api_keys = ["sk-secret"]
port = 8090
key_file = "/etc/maim/key.pem"

[own]
password = "sk-secret"
keywords = ["a"]
"""


@pytest.fixture(params=["public", "internal"])
def read(request: pytest.FixtureRequest, alice: Person, internal: SurfaceClient) -> Any:
    """A function that reads `models` or `bot-defaults`, on each surface in turn."""

    def read_data(what: str) -> dict[str, Any]:
        on_public = request.param == "public"
        client, version = (alice.client, "v1") if on_public else (internal, "v2")
        response = client.get(f"/api/{version}/system/{what}")
        assert response.status_code == 200, response.content
        assert b"sk-secret" not in response.content
        body = response.json()
        data: dict[str, Any] = body if on_public else body["data"]
        return data

    return read_data


class File:
    """An operator's TOML file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0

    def write(self, text: str) -> None:
        """Write the file with a later modification time than before, however coarse the file system's clock."""
        self.path.write_text(text, encoding="utf-8")
        self._written += 1
        os.utime(self.path, (self._written, self._written))


@pytest.fixture
def models_file(tmp_path: Path, settings: Any) -> File:
    """Return the file that MAIMBOT_MODEL_CONFIG_PATH names."""
    settings.MODEL_CONFIG_PATH = tmp_path / "model_config.toml"
    return File(settings.MODEL_CONFIG_PATH)


@pytest.fixture
def defaults_file(tmp_path: Path, settings: Any) -> File:
    """Return the file that MAIMBOT_BOT_CONFIG_TEMPLATE_PATH names."""
    settings.BOT_CONFIG_PATH = tmp_path / "bot_config.toml"
    return File(settings.BOT_CONFIG_PATH)


def test_built_in_files_are_the_default(read: Any) -> None:
    models, defaults = read("models"), read("bot-defaults")

    assert list(models) == ["providers", "models", "defaults"]
    assert models["providers"]
    assert {provider["is_server_provider"] for provider in models["providers"]} == {True}
    assert all(list(row) == ["name", "client_type", "base_url", "is_server_provider"] for row in models["providers"])
    names = {provider["name"] for provider in models["providers"]}
    assert {model["api_provider"] for model in models["models"]} <= names
    assert "replyer" in models["defaults"]
    assert "bot" in defaults
    assert "inner" not in defaults


def test_the_operators_models_are_shown_without_their_secrets(read: Any, models_file: File) -> None:
    models_file.write(MODELS)

    assert read("models") == {
        "providers": [
            {
                "name": "Mine",
                "client_type": "gemini",
                "base_url": "https://mine.example/v1",
                "is_server_provider": True,
            },
            {"name": "Bare", "client_type": "openai", "base_url": None, "is_server_provider": True},
        ],
        "models": [
            {
                "name": "m",
                "model_identifier": "m-1",
                "api_provider": "Mine",
                "price_in": 0.5,
                "extra_params": {"enable_thinking": False, "headers": {}},
            }
        ],
        "defaults": {"replyer": {"model_list": ["m"], "max_tokens": 800}},
    }


def test_the_operators_defaults_are_shown_without_their_secrets(read: Any, defaults_file: File) -> None:
    defaults_file.write(DEFAULTS)

    assert read("bot-defaults") == {
        "bot": {"nickname": "麦麦"},
        "maim_message": {"port": 8090, "key_file": "/etc/maim/key.pem"},
        "own": {"keywords": ["a"]},
    }


WITH_SECRETS = """
[webui]
password = "sk-secret"
accessToken = "sk-secret"
port = 8000

[webui.headers]
"X-Any" = "sk-secret"

[[mcp.servers]]
name = "search"
url = "https://search.example"
env = { KEY = "sk-secret" }
authorization = { mode = "bearer", bearer_token = "sk-secret" }
"""


def test_a_bots_sections_are_shown_without_headers_environments_and_tokens(read: Any, defaults_file: File) -> None:
    defaults_file.write(WITH_SECRETS)

    assert read("bot-defaults") == {
        "webui": {"port": 8000, "headers": {}},
        "mcp": {"servers": [{"name": "search", "url": "https://search.example", "env": {}, "authorization": {}}]},
    }


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://user:sk-secret@llm.example:8443/v1", "https://llm.example:8443/v1"),
        ("https://llm.example/v1?key=sk-secret", "https://llm.example/v1"),
        ("https://sk-secret@llm.example", "https://llm.example"),
        ("https://llm.example/@me/v1", "https://llm.example/@me/v1"),
        ("https://a:sk-secret@[::1]:80/x@y?z@w", "https://[::1]:80/x@y"),
    ],
)
def test_an_address_is_shown_without_credentials(read: Any, models_file: File, address: str, told: str) -> None:
    models_file.write(f'[[api_providers]]\nname = "p"\nbase_url = "{address}"')

    assert read("models")["providers"][0]["base_url"] == told


def test_the_operators_secrets_reach_bots_that_ask_for_them_and_nobody_else(
    defaults_file: File, models_file: File, alice: Person, internal: SurfaceClient
) -> None:
    defaults_file.write(WITH_SECRETS)
    models_file.write(
        MODELS.replace('"sk-secret"\nclient_type', '"sk-secret"\ndefault_headers = {A = "sk-secret"}\nclient_type')
    )
    path = f"agents/{make_agent(alice.tenant).id}/config/effective"

    for answer in (
        alice.client.get(f"/api/v1/{path}"),
        alice.client.get(f"/api/v1/{path}?explain=1&reveal_secrets=1"),
        internal.get(f"/api/v2/{path}"),
        internal.get(f"/api/v2/{path}?explain=1"),
    ):
        assert answer.status_code == 200
        assert b"sk-secret" not in answer.content
    for query in ("", "&explain=1"):
        config = internal.get(f"/api/v2/{path}?reveal_secrets=1{query}").json()["data"]["config"]["config_overrides"]
        assert config["webui"]["accessToken"] == config["webui"]["headers"]["X-Any"] == "sk-secret"
        assert config["mcp"]["servers"][0]["authorization"]["bearer_token"] == "sk-secret"
        assert config["model"]["api_providers"][0]["default_headers"] == {"A": "sk-secret"}
        assert config["model"]["models"][0]["extra_params"]["headers"] == {"access_token": "sk-secret"}


def test_file_with_sealed_objects_is_not_in_use(read: Any, defaults_file: File) -> None:
    defaults_file.write('[own]\nx = { "$sealed" = "gAAAAAx" }')

    assert "own" not in read("bot-defaults")


def test_a_changed_file_is_read_again(read: Any, models_file: File, defaults_file: File) -> None:
    models_file.write(MODELS)
    defaults_file.write(DEFAULTS)
    read("models"), read("bot-defaults")

    models_file.write('[[models]]\nname = "new"\n')
    defaults_file.write("[new]\na = 1\n")

    assert read("models") == {"providers": [], "models": [{"name": "new"}], "defaults": {}}
    assert read("bot-defaults") == {"new": {"a": 1}}


@pytest.mark.parametrize(
    "broken",
    [
        "this is not TOML",
        "api_providers = 5",
        'api_providers = ["a name alone"]',
        "[[api_providers]]\nbase_url = 'https://nameless.example'",
        "[models]\nname = 'a table, not a list of them'",
        "[[models]]\nname = 5",
        "model_task_config = 5",
        "[model_task_config]\ntemperature = nan",
    ],
)
def test_last_valid_content_of_a_broken_file_is_in_use(read: Any, models_file: File, broken: str) -> None:
    models_file.write(MODELS)
    good = read("models")

    models_file.write(broken)
    assert read("models") == good

    models_file.write(MODELS.replace('"m-1"', '"m-2"'))
    assert read("models")["models"][0]["model_identifier"] == "m-2"


def test_last_valid_content_of_a_missing_file_is_in_use(read: Any, defaults_file: File) -> None:
    defaults_file.write(DEFAULTS)
    good = read("bot-defaults")

    defaults_file.path.unlink()
    assert read("bot-defaults") == good


def test_built_in_file_is_in_use_for_one_that_was_never_valid(
    read: Any, models_file: File, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    models_file.write("this is not TOML")
    for _ in range(3):
        names = [provider["name"] for provider in read("models")["providers"]]

    complaints = [record for record in caplog.records if record.name == "maim.config"]
    assert len(complaints) == 1, "once for each time it was written"
    assert str(models_file.path) in complaints[0].getMessage()
    settings.MODEL_CONFIG_PATH = None
    assert names == [provider["name"] for provider in read("models")["providers"]]


def test_empty_file_has_no_models_and_defaults(read: Any, models_file: File, defaults_file: File) -> None:
    models_file.write("")
    defaults_file.write("")

    assert read("models") == {"providers": [], "models": [], "defaults": {}}
    assert read("bot-defaults") == {}


def test_public_surface_needs_a_token(public: SurfaceClient) -> None:
    for what in ("models", "bot-defaults"):
        assert public.get(f"/api/v1/system/{what}").status_code == 401


class TestReady:
    """Operators are told at /ready of a file of theirs that is not in use; traffic may come all the same."""

    @staticmethod
    def answer(internal: SurfaceClient) -> dict[str, Any]:
        response = internal.get("/ready")
        assert response.status_code == 200, response.content
        body: dict[str, Any] = response.json()
        assert body["status"] == "healthy"
        return body

    def test_valid_files_give_no_warnings(
        self, internal: SurfaceClient, models_file: File, defaults_file: File
    ) -> None:
        models_file.write(MODELS)
        defaults_file.write(DEFAULTS)

        assert list(self.answer(internal)) == ["status", "timestamp", "version", "services"]

    def test_broken_file_gives_a_warning_until_it_is_fixed(
        self, internal: SurfaceClient, models_file: File, defaults_file: File
    ) -> None:
        models_file.write(MODELS)
        defaults_file.write(DEFAULTS)
        self.answer(internal)

        models_file.write(MODELS.replace('"sk-secret"', '"sk-secret', 1))
        (warning,) = self.answer(internal)["warnings"]
        assert warning.startswith("model_config.toml is not in use: ")
        assert "line" in warning
        assert "sk-secret" not in warning

        models_file.write(MODELS)
        assert "warnings" not in self.answer(internal)

    @pytest.mark.parametrize(
        ("encoding", "reason"),
        [
            ("gbk", "this file is in GBK; save it as UTF-8"),
            ("utf-16", "this file is in UTF-16; save it as UTF-8"),
        ],
    )
    def test_file_of_another_encoding_gives_a_warning_in_english(
        self, internal: SurfaceClient, models_file: File, defaults_file: File, encoding: str, reason: str
    ) -> None:
        models_file.write(MODELS)
        defaults_file.path.write_bytes('[bot]\nnickname = "麦麦"\n'.encode(encoding))
        internal.get("/api/v2/system/bot-defaults")  # in Chinese, before the log is read

        assert self.answer(internal)["warnings"] == [f"bot_config.toml is not in use: {reason}"]

    def test_file_with_a_byte_order_mark_is_in_use(
        self, internal: SurfaceClient, models_file: File, defaults_file: File
    ) -> None:
        models_file.write("\ufeff" + MODELS)
        defaults_file.write("\ufeff" + DEFAULTS)

        assert "warnings" not in self.answer(internal)

    def test_each_broken_file_gives_a_warning(
        self, internal: SurfaceClient, models_file: File, defaults_file: File
    ) -> None:
        models_file.write("[[models]]\nname = 5")

        warnings = self.answer(internal)["warnings"]

        assert [warning.partition(" ")[0] for warning in warnings] == ["bot_config.toml", "model_config.toml"]
        assert "models must be a list of tables" in warnings[1]

"""The operator's TOML files: what is odd in them is told, and `${NAME}` is taken from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_config import system

pytestmark = pytest.mark.embedded


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> tuple[Path, Path]:
    settings.BOT_CONFIG_PATH, settings.MODEL_CONFIG_PATH = tmp_path / "bot.toml", tmp_path / "model.toml"
    (tmp_path / "bot.toml").write_text("")
    (tmp_path / "model.toml").write_text("")
    return tmp_path / "bot.toml", tmp_path / "model.toml"


def test_odd_values_are_told(files: tuple[Path, Path]) -> None:
    bot, model = files
    bot.write_text('[chat]\ntalk_value = "much"\n[message_receive]\nban_msgs_regex = ["(a+)+$"]\n')
    model.write_text('[[models]]\nname = "m"\nmodel_identifier = "m"\napi_provider = "p"\n'
                     '[model_task_config.replyer]\nmodel_list = ["m", "n"]\n')  # fmt: skip

    found = [sentence.partition(": ")[0] for sentence in system.problems()]

    assert found == [
        "config_overrides.chat.talk_value",
        "config_overrides.message_receive.ban_msgs_regex[0]",
        "config_overrides.model.model_task_config.replyer.model_list[1]",
        "config_overrides.model.models[0].api_provider",
    ]


def test_built_in_files_have_nothing_odd(settings: Any) -> None:
    settings.BOT_CONFIG_PATH = settings.MODEL_CONFIG_PATH = None

    assert system.problems() == []


def test_variable_is_taken_from_the_environment(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_P", "sk-5f1b2c3d4e")
    files[1].write_text('[[api_providers]]\nname = "p"\napi_key = "${KEY_OF_P}"\n')

    [provider] = system.defaults().layer.config["config_overrides"]["model"]["api_providers"]
    assert provider["api_key"] == "sk-5f1b2c3d4e"


def test_file_with_a_variable_that_is_not_set_is_not_in_use(files: tuple[Path, Path]) -> None:
    files[1].write_text('[[api_providers]]\nname = "p"\napi_key = "${NO_SUCH_KEY}"\n')

    assert system.problems()[0] == "model.toml is not in use: ${NO_SUCH_KEY} is not set in the environment"

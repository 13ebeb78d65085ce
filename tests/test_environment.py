"""Settings from the environment: defaults, errors, and generated secrets."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from core.setting_types import AuthRate
from maim.environment import Environment, InvalidEnvironment, load
from tests.support.instances import WAIT
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

SECRET = "not to be printed, and long enough to be a secret"
OTHER_SECRET = "nor is this one, which is long enough just as well"
FERNET_KEY = "bm90IHRvIGJlIHByaW50ZWQsIDMyIGJ5dGVzIGxvbmc="
OTHER_FERNET_KEY = "bm9yIGlzIHRoaXMgb25lLCAzMiBieXRlcyBsb25nIC4="
KEY_PEPPERS = "1:" + "s" * 40
Load = Callable[..., Environment]


@pytest.fixture
def load_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Load the environment with exactly these variables."""
    for name in [name for name in os.environ if is_ours(name)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def load_with(**variables: str) -> Environment:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load()

    return load_with


def is_ours(name: str) -> bool:
    return name.removesuffix("_FILE") in Environment.model_fields


def manage(command: str, directory: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a management command with only these variables."""
    inherited = {name: value for name, value in os.environ.items() if not is_ours(name)}
    return subprocess.Popen(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env={**inherited, "MAIM_DATA_DIR": str(directory), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def problems(load_environment: Load, **variables: str) -> list[str]:
    """Return the lines of the error about these variables."""
    with pytest.raises(InvalidEnvironment) as raised:
        load_environment(**variables)
    return [line.strip() for line in str(raised.value).splitlines()]


class TestDefaults:
    def test_every_variable_is_optional(self, load_environment: Load) -> None:
        environment = load_environment()

        assert environment.public_bind == ("0.0.0.0", 8880)
        assert environment.internal_bind == ("127.0.0.1", 8000)
        assert str(environment.MAIM_DATA_DIR) == "var"
        assert environment.database_url == f"sqlite:///{Path.cwd() / 'var' / 'maim.sqlite3'}"
        assert environment.REDIS_URL is None
        assert environment.MAIM_WAIT_FOR_DATABASE == 60
        assert environment.MAIM_CORS_ORIGINS == []
        assert environment.MAIM_PUBLIC_URL is None
        assert environment.MAIM_TRUSTED_PROXIES == []
        assert environment.MAIM_INTERNAL_HOSTS == []
        assert environment.MAIM_REGISTRATION == "open"
        assert environment.auth_rate == AuthRate(10, 60)
        assert environment.MAIM_WORKERS == 1
        assert environment.MAIM_REMEMBERED_KEYS == 100_000
        assert environment.MAIM_SERVE_STALE_SECONDS == 0
        assert environment.MAIM_LIMITS_FAIL == "closed"
        assert environment.MAIM_LOG_FORMAT == "console"
        assert environment.MAIM_ACCESS_TOKEN_HOURS == 8 * 24
        assert environment.MAIM_USAGE_LOG_DAYS == 30
        assert environment.MAIMBOT_MODEL_CONFIG_PATH is None
        assert environment.MAIMBOT_BOT_CONFIG_TEMPLATE_PATH is None

    def test_empty_variable_counts_as_missing(self, load_environment: Load) -> None:
        assert load_environment(**dict.fromkeys(Environment.model_fields, "")) == load_environment()

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("MAIM_PUBLIC_BIND", "[::1]:80", "[::1]:80"),
            ("REDIS_URL", "rediss://:p%40ss@cache:6380/2", "rediss://:p%40ss@cache:6380/2"),
            ("MAIM_CORS_ORIGINS", "https://A.example, http://b:3000/", ["https://a.example", "http://b:3000"]),
            ("MAIM_PUBLIC_URL", "https://Maim.example.com/", "https://maim.example.com"),
            ("MAIM_TRUSTED_PROXIES", "10.0.0.0/8,::1", ["10.0.0.0/8", "::1"]),
            ("MAIM_INTERNAL_HOSTS", "maim.Internal,bots.lan,", ["maim.internal", "bots.lan"]),
            ("MAIM_REGISTRATION", "invited", "invited"),
            ("MAIM_LOG_FORMAT", "json", "json"),
            ("MAIM_DATA_DIR", "/srv/maim", Path("/srv/maim")),
            ("MAIM_TIME_ZONE", "Asia/Shanghai", "Asia/Shanghai"),
            ("MAIM_REMEMBERED_KEYS", "1000", 1000),
            ("MAIM_SERVE_STALE_SECONDS", "86400", 86_400),
            ("MAIM_LIMITS_FAIL", "open", "open"),
        ],
    )
    def test_valid_value_is_accepted(self, load_environment: Load, name: str, text: str, value: Any) -> None:
        assert getattr(load_environment(**{name: text}), name) == value

    def test_rate_of_sign_ins_is_parsed(self, load_environment: Load) -> None:
        assert load_environment(MAIM_AUTH_RATE="3, 100").auth_rate == AuthRate(3, 100)
        assert load_environment(MAIM_AUTH_RATE="off").auth_rate is None

    def test_peppers_of_keys_have_ids(self, load_environment: Load) -> None:
        environment = load_environment(
            MAIM_KEY_PEPPERS=f"12:{SECRET.replace(',', ';')},1:{OTHER_SECRET.replace(',', ';')}"
        )

        assert list(environment.key_peppers()) == [12, 1]

    def test_names_of_secrets_are_patterns(self, load_environment: Load) -> None:
        assert load_environment(MAIM_SECRET_NAMES="licenseNumber, *_pin,, 许可证").MAIM_SECRET_NAMES == [
            "licenseNumber",
            "*_pin",
            "许可证",
        ]

    @pytest.mark.parametrize(
        ("text", "keys"),
        [
            (FERNET_KEY, (FERNET_KEY,)),
            (f"{FERNET_KEY}, {OTHER_FERNET_KEY}", (FERNET_KEY, OTHER_FERNET_KEY)),
        ],
    )
    def test_encryption_keys_are_newest_first(self, load_environment: Load, text: str, keys: tuple[str, ...]) -> None:
        environment = load_environment(MAIM_ENCRYPTION_KEYS=text)

        assert environment.encryption_keys() == keys
        assert [len(Fernet(key).encrypt(b"")) for key in keys] == [100] * len(keys)


class TestWrongValues:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            (
                "MAIM_PUBLIC_BIND",
                ["8880", "localhost:8880", "0.0.0.0:0", "0.0.0.0:65536", "256.0.0.1:80", "unix:/maim"],
            ),
            ("MAIM_SECRET_NAMES", ["*", "**", "a", "a b", "token[s]", "to?en", "a.b"]),
            ("MAIM_INTERNAL_BIND", ["::1:8000", "127.0.0.1:", "127.0.0.1:http"]),
            ("REDIS_URL", ["localhost:6379", "http://h", "redis://", "redis://h:port", "unix:///tmp/redis.sock"]),
            ("MAIM_SECRET_KEY", ["short"]),
            ("MAIM_KEY_SECRETS", ["1:short"]),
            ("MAIM_KEY_PEPPERS", [SECRET, f"1:{SECRET[:9]}", f"x:{'s' * 40}", f"1:{'s' * 40},2:{'t' * 40}"]),
            (
                "MAIM_ENCRYPTION_KEYS",
                ["x" * 44, FERNET_KEY[:-2], f"{FERNET_KEY},", f"{FERNET_KEY},{SECRET}", "YWJj", "小明" * 22],
            ),
            ("MAIM_CORS_ORIGINS", ["*", "example.com", "https://a.example/path", "https://a.example,ftp://b"]),
            ("MAIM_PUBLIC_URL", ["maim.example.com", "https://maim.example.com/console", "https://"]),
            ("MAIM_TRUSTED_PROXIES", ["proxy", "10.0.0.1/8", "10.0.0.0/33"]),
            ("MAIM_INTERNAL_HOSTS", ["*", "http://maim", "maim:8000"]),
            ("MAIM_REGISTRATION", ["Open", "yes"]),
            ("MAIM_AUTH_RATE", ["10", "10,0", "-1,60", "none", "10,60,5"]),
            ("MAIM_WORKERS", ["0", "-1", "65", "two", "1.5"]),
            ("MAIM_REMEMBERED_KEYS", ["999", "10000001", "many", "1e5"]),
            ("MAIM_SERVE_STALE_SECONDS", ["-1", "86401", "1.5", "1m"]),
            ("MAIM_LIMITS_FAIL", ["Open", "shut"]),
            ("MAIM_LOG_FORMAT", ["JSON", "text"]),
            ("MAIM_ACCESS_TOKEN_HOURS", ["0", "1d", "8785"]),
            ("MAIM_USAGE_LOG_DAYS", ["0", "forever"]),
            ("MAIM_TIME_ZONE", ["Shanghai", "Asia", "+08:00", "../UTC"]),
            ("MAIM_WAIT_FOR_DATABASE", ["-1", "86401", "1m"]),
            ("MAIMBOT_MODEL_CONFIG_PATH", ["/nowhere/models.toml", "/"]),
            ("MAIMBOT_BOT_CONFIG_TEMPLATE_PATH", ["/nowhere/bot.toml"]),
        ],
    )
    def test_wrong_value_is_reported_with_its_variable(
        self, load_environment: Load, name: str, values: list[str]
    ) -> None:
        for value in values:
            found = problems(load_environment, **{name: value})
            assert {line.partition(":")[0] for line in found} == {name}, value
            assert not any("Input" in line or line.endswith("is not valid") for line in found), "a library's sentence"

    @pytest.mark.parametrize("url", ["postgres://db/maim", "maim", "mysql://u:pa/ss@db/maim"])
    def test_other_database_is_refused(self, load_environment: Load, url: str) -> None:
        found = problems(
            load_environment,
            DATABASE_URL=url,
            MAIM_SECRET_KEY=SECRET,
            MAIM_KEY_PEPPERS=KEY_PEPPERS,
            MAIM_ENCRYPTION_KEYS=FERNET_KEY,
        )

        assert [line.partition(":")[0] for line in found] == ["DATABASE_URL"]

    def test_database_requires_the_secrets(self, load_environment: Load) -> None:
        found = problems(load_environment, DATABASE_URL="mysql://maim:maim@db/maim")

        assert [line.partition(": required when DATABASE_URL")[0] for line in found] == [
            "MAIM_SECRET_KEY",
            "MAIM_KEY_PEPPERS",
            "MAIM_ENCRYPTION_KEYS",
        ]

    def test_surfaces_must_differ_in_their_port(self, load_environment: Load) -> None:
        (line,) = problems(load_environment, MAIM_PUBLIC_BIND="10.0.0.1:9000", MAIM_INTERNAL_BIND="10.0.0.2:9000")

        assert line.startswith("MAIM_PUBLIC_BIND and MAIM_INTERNAL_BIND: must differ")

    def test_several_workers_require_redis(self, load_environment: Load) -> None:
        (line,) = problems(load_environment, MAIM_WORKERS="2")

        assert line.startswith("MAIM_WORKERS: more than one needs REDIS_URL")
        assert load_environment(MAIM_WORKERS="2", REDIS_URL="redis://cache").MAIM_WORKERS == 2

    @pytest.mark.parametrize("command", ["check", "serve", "migrate"])
    def test_command_stops_with_one_message_about_all_wrong_values(self, tmp_path: Path, command: str) -> None:
        values = {
            "MAIM_PUBLIC_BIND": "0.0.0.0:8000",
            "DATABASE_URL": "mysql://maim:topsecret/@db:3306/maim",
            "REDIS_URL": "redis://:topsecret/@cache",
            "MAIM_KEY_PEPPERS": "1:topsecret",
            "MAIM_ENCRYPTION_KEYS": "topsecret",
            "MAIM_SECRET_KEY_FILE": str(tmp_path / "missing"),
            "MAIM_CORS_ORIGINS": "*",
            "MAIM_AUTH_RATE": "often",
            "MAIM_WORKERS": "many",
            "MAIM_REMEMBERED_KEYS": "all",
            "MAIM_SERVE_STALE_SECONDS": "forever",
            "MAIM_LIMITS_FAIL": "never",
            "MAIM_LOG_FORMAT": "xml",
        }

        process = manage(command, tmp_path, **values)
        printed, errors = process.communicate(timeout=WAIT)

        assert process.returncode == 1
        heading, *lines = errors.splitlines()
        assert heading == "maim cannot start, the environment is wrong:"
        named = [name for line in lines for name in re.findall(r"\b[A-Z_]{6,}\b", line.partition(": ")[0])]
        assert sorted(named) == sorted([*values, "MAIM_INTERNAL_BIND"])
        assert "topsecret" not in printed + errors

    def test_data_directory_that_cannot_be_created_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        process = manage("check", tmp_path / "file" / "var")
        errors = process.communicate(timeout=WAIT)[1]

        assert errors.splitlines()[1:] == ["  MAIM_DATA_DIR: cannot be made (Not a directory)"]


class TestSecrets:
    def test_secrets_are_generated_once_and_readable_by_the_owner_only(
        self, load_environment: Load, tmp_path: Path
    ) -> None:
        data = tmp_path / "deep" / "var"

        first = load_environment(MAIM_DATA_DIR=str(data))
        key, peppers, encryption_keys = first.secret_key(), first.key_peppers(), first.encryption_keys()
        second = load()

        assert (second.secret_key(), second.key_peppers()) == (key, peppers)
        assert second.encryption_keys() == encryption_keys
        assert len(key) >= 32
        assert [(pepper_id, len(pepper) >= 32) for pepper_id, pepper in peppers.items()] == [(1, True)]
        assert key != peppers[1]
        assert [Fernet(each).decrypt(Fernet(each).encrypt(b"a text")) for each in encryption_keys] == [b"a text"]
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {
            "secret_key": 0o600,
            "key_secrets": 0o600,
            "encryption_keys": 0o600,
        }

    def test_processes_that_start_at_once_share_the_secrets(self, tmp_path: Path) -> None:
        store = (
            "import os, sys; from maim.environment import load\n"
            "for line in sys.stdin:\n"
            "    os.environ['MAIM_DATA_DIR'] = line.strip(); e = load()\n"
            "    print(e.secret_key(), e.key_peppers()[1], *e.encryption_keys(), flush=True)\n"
        )
        environment = {name: value for name, value in os.environ.items() if not is_ours(name)}
        with ExitStack() as stack:
            command = [sys.executable, "-c", store]
            pipe = subprocess.PIPE
            processes = [
                stack.enter_context(
                    subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1)
                )
                for _ in range(3)
            ]
            for number in range(20):
                data = tmp_path / str(number)
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write(f"{data}\n")
                stored = {process.stdout.readline() for process in processes if process.stdout}

                assert len(stored) == 1
                assert len(stored.pop().split()) == 3
                assert sorted(path.name for path in data.iterdir()) == ["encryption_keys", "key_secrets", "secret_key"]

    def test_given_secrets_are_not_generated(self, load_environment: Load) -> None:
        environment = load_environment(
            MAIM_SECRET_KEY=SECRET, MAIM_KEY_PEPPERS="3:" + "s" * 40, MAIM_ENCRYPTION_KEYS=FERNET_KEY
        )

        assert environment.secret_key() == SECRET
        assert environment.encryption_keys() == (FERNET_KEY,)
        assert environment.key_peppers() == {3: "s" * 40}
        assert not environment.MAIM_DATA_DIR.exists()

    def test_secrets_may_be_given_as_files(self, load_environment: Load, tmp_path: Path) -> None:
        texts = {"key": SECRET, "keys": KEY_PEPPERS, "fernet": FERNET_KEY, "url": "mysql://maim:maim@db/maim"}
        for name, text in texts.items():
            (tmp_path / name).write_text(text + "\n")

        environment = load_environment(
            MAIM_SECRET_KEY_FILE=str(tmp_path / "key"),
            MAIM_KEY_PEPPERS_FILE=str(tmp_path / "keys"),
            MAIM_ENCRYPTION_KEYS_FILE=str(tmp_path / "fernet"),
            DATABASE_URL_FILE=str(tmp_path / "url"),
            MAIM_SECRET_KEY="",  # a compose file passes unset variables like this
        )

        assert environment.secret_key() == SECRET
        assert environment.key_peppers() == {1: "s" * 40}
        assert environment.encryption_keys() == (FERNET_KEY,)
        assert environment.database_url == "mysql://maim:maim@db/maim"

    def test_variable_wins_over_its_file(self, load_environment: Load, tmp_path: Path) -> None:
        environment = load_environment(MAIM_SECRET_KEY=SECRET, MAIM_SECRET_KEY_FILE=str(tmp_path / "missing"))

        assert environment.secret_key() == SECRET

    def test_unreadable_file_is_reported(self, load_environment: Load, tmp_path: Path) -> None:
        (tmp_path / "binary").write_bytes(b"\xff\xfe")

        found = problems(
            load_environment,
            MAIM_SECRET_KEY_FILE=str(tmp_path / "missing"),
            MAIM_KEY_PEPPERS_FILE=str(tmp_path / "binary"),
        )

        assert found == [
            "MAIM_SECRET_KEY_FILE: cannot be read (No such file or directory)",
            "MAIM_KEY_PEPPERS_FILE: cannot be read (it is not text)",
        ]

    def test_peppers_may_be_given_by_their_former_name(self, load_environment: Load, tmp_path: Path) -> None:
        environment = load_environment(MAIM_KEY_SECRETS=KEY_PEPPERS)

        assert environment.key_peppers() == {1: "s" * 40}
        assert not environment.MAIM_DATA_DIR.exists()

    @pytest.mark.parametrize("name", ["MAIM_KEY_SECRETS", "MAIM_KEY_SECRETS_FILE", "MAIM_KEY_PEPPERS_FILE"])
    def test_peppers_by_any_name_suffice_for_a_database(
        self, load_environment: Load, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "keys").write_text(KEY_PEPPERS)
        value = str(tmp_path / "keys") if name.endswith("_FILE") else KEY_PEPPERS

        environment = load_environment(
            DATABASE_URL="mysql://maim:maim@db/maim",
            MAIM_SECRET_KEY=SECRET,
            MAIM_ENCRYPTION_KEYS=FERNET_KEY,
            **{name: value},
        )

        assert environment.key_peppers() == {1: "s" * 40}

    def test_peppers_by_both_names_must_be_the_same(self, load_environment: Load) -> None:
        both = load_environment(MAIM_KEY_PEPPERS=KEY_PEPPERS, MAIM_KEY_SECRETS=KEY_PEPPERS)
        (line,) = problems(load_environment, MAIM_KEY_PEPPERS=KEY_PEPPERS, MAIM_KEY_SECRETS="1:" + "t" * 40)

        assert both.key_peppers() == {1: "s" * 40}
        assert line.startswith("MAIM_KEY_SECRETS: is the former name of MAIM_KEY_PEPPERS")

    def test_repr_contains_no_secret(self, load_environment: Load) -> None:
        environment = load_environment(
            MAIM_SECRET_KEY=SECRET, MAIM_KEY_PEPPERS=KEY_PEPPERS, MAIM_ENCRYPTION_KEYS=FERNET_KEY
        )

        assert SECRET not in repr(environment)
        assert "s" * 40 not in repr(environment)
        assert FERNET_KEY not in repr(environment)

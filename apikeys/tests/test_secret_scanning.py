"""The claims of docs/secret-scanning.md, checked against maim."""

from __future__ import annotations

import base64
import random
import re
import string
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from accounts import token_format
from apikeys import keyformat
from apikeys.keyformat import MalformedKey
from core import ids
from tests.support.instances import WAIT
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

PAGE = (ROOT / "docs/secret-scanning.md").read_text()
ALPHABET = string.ascii_letters + string.digits
RANDOM = random.Random(20_261)  # the same noise each time


def blocks(language: str) -> list[str]:
    """The page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


NEW_KEYS, OLD_KEYS, TOKENS = (re.compile(block.strip()) for block in blocks("regex"))


@cache
def documented(name: str = "is_key") -> Callable[[str], bool]:
    """One of the page's own functions."""
    names: dict[str, Any] = {}
    for code in blocks("python"):
        exec(code, names)
    check: Callable[[str], bool] = names[name]
    return check


def is_hit(text: str) -> bool:
    """Return whether a scanner that follows the page takes a text for a key."""
    return NEW_KEYS.fullmatch(text) is not None and documented()(text)


def is_new_key(text: str) -> bool:
    """Return whether maim takes a text for a new key."""
    try:
        return keyformat.parse(text).version == "v2"
    except MalformedKey:
        return False


def a_key() -> str:
    return keyformat.generate(ids.tenant_id(), ids.agent_id())


@pytest.fixture(scope="module")
def keys() -> list[str]:
    """A thousand keys, each of another agent of another tenant."""
    return [a_key() for _ in range(1000)]


def test_every_key_is_found_and_passes(keys: list[str]) -> None:
    assert [key for key in keys if not is_hit(key)] == []


@pytest.mark.parametrize(
    "around", ["{}", '{{"key": "{}\\n"}}', "?key%3D{}%26x=1", "MAIM_KEY_{}", "AAAA{}AAAA", "{0}{0}", "中{}文"]
)
def test_keys_are_found_whatever_is_around_them(keys: list[str], around: str) -> None:
    for key in keys[:50]:
        assert set(NEW_KEYS.findall(around.format(key))) == {key}


def test_grep_finds_the_same(keys: list[str]) -> None:
    noise = [key[:-1] for key in keys]
    text = "\n".join(line for pair in zip(keys, noise, strict=True) for line in pair)

    grep = subprocess.run(
        ["grep", "-oE", NEW_KEYS.pattern], input=text, capture_output=True, text=True, check=True, timeout=WAIT
    )

    assert grep.stdout.splitlines() == keys


def test_every_changed_character_is_noticed(keys: list[str]) -> None:
    key = keys[0]

    for place in range(len(key)):
        for char in ALPHABET + "+/=-_ ":
            mutated = key[:place] + char + key[place + 1 :]
            assert is_hit(mutated) == (mutated == key), place


def test_scanner_and_maim_agree_on_ten_thousand_mutations(keys: list[str]) -> None:
    for _ in range(10_000):
        text = list(RANDOM.choice(keys))
        for _ in range(RANDOM.randint(0, 3)):
            text[RANDOM.randrange(len(text))] = RANDOM.choice(ALPHABET)
        mutated = "".join(text)
        assert is_hit(mutated) == is_new_key(mutated)


def test_look_alikes_with_a_wrong_checksum_match_the_pattern_and_no_more() -> None:
    for _ in range(1000):
        payload = f"{ids.tenant_id()}_{ids.agent_id()}_{RANDOM.randbytes(21).hex()}_v2"
        text = "mmc_" + base64.b64encode(payload.encode()).decode()
        assert NEW_KEYS.fullmatch(text)
        assert not documented()(text)


def test_noise_is_not_found() -> None:
    printable = "".join(RANDOM.choices(string.printable, k=200_000))
    encoded = base64.b64encode(RANDOM.randbytes(200_000)).decode()
    prefixed = " ".join("mmc_" + base64.b64encode(RANDOM.randbytes(84)).decode() for _ in range(2000))
    ours = " ".join("mmc_dGVuYW50X" + "".join(RANDOM.choices(ALPHABET, k=103)) for _ in range(2000))

    for noise in (printable, encoded, prefixed, ours):
        assert NEW_KEYS.findall(noise) == []
        assert OLD_KEYS.findall(noise) == []


def test_old_keys_have_a_pattern_of_their_own(keys: list[str]) -> None:
    for key in keys:
        payload = f"{ids.tenant_id()}_{ids.agent_id()}_{RANDOM.randbytes(8).hex()}_v1"
        old = "mmc_" + base64.b64encode(payload.encode()).decode()
        assert OLD_KEYS.fullmatch(old)
        assert keyformat.parse(old).version == "v1"
        assert not NEW_KEYS.search(old)
        assert not OLD_KEYS.search(key)


def test_the_fixed_beginning_is_that_of_every_key(keys: list[str]) -> None:
    (beginning,) = re.findall(r"can look for `(\w+)`", PAGE)

    assert all(key.startswith(beginning) for key in keys)
    assert all(pattern.pattern.startswith(beginning) for pattern in (NEW_KEYS, OLD_KEYS))


def test_personal_access_tokens_have_a_pattern_of_their_own(keys: list[str]) -> None:
    for key in keys:
        token = token_format.generate()
        assert TOKENS.findall(f"TOKEN_{token}.") == [token]
        assert documented("is_token")(token)
        assert not documented("is_token")(f"mat_{RANDOM.randbytes(36).hex()}")
        assert not TOKENS.search(key)

"""The format of API keys (docs/contract.md section 5)."""

from __future__ import annotations

import base64
import string
import zlib
from collections.abc import Callable

import pytest

from apikeys import keyformat
from apikeys.keyformat import MalformedKey, ParsedKey

pytestmark = pytest.mark.embedded

TENANT_ID, AGENT_ID = "tenant_3f0c9a71b2de", "agent_0123456789ab"
OLD_RANDOM = "0123456789abcdef"
ALPHABET = string.ascii_letters + string.digits + "+/"


def encoded(payload: str) -> str:
    return "mmc_" + base64.b64encode(payload.encode()).decode()


def old_key(random: str = OLD_RANDOM, tenant_id: str = TENANT_ID, agent_id: str = AGENT_ID) -> str:
    """Return a secret as the old system made them."""
    return encoded(f"{tenant_id}_{agent_id}_{random}_v1")


def is_key(text: str) -> bool:
    try:
        keyformat.parse(text)
    except MalformedKey:
        return False
    return True


def test_a_new_key_is_always_116_characters_without_padding() -> None:
    for _ in range(100):
        secret = keyformat.generate(TENANT_ID, AGENT_ID)
        assert len(secret) == 116
        assert secret.startswith("mmc_")
        assert set(secret[4:]) <= set(ALPHABET)


def test_new_key_contains_its_tenant_and_agent() -> None:
    parsed = keyformat.parse(keyformat.generate(TENANT_ID, AGENT_ID))

    assert (parsed.tenant_id, parsed.agent_id, parsed.version) == (TENANT_ID, AGENT_ID, "v2")
    assert len(parsed.random) == 42


def test_a_new_keys_random_part_ends_with_the_checksum_of_what_precedes_it() -> None:
    payload = base64.b64decode(keyformat.generate(TENANT_ID, AGENT_ID)[4:]).decode()

    unchecked, checksum = payload.removesuffix("_v2")[:-8], payload.removesuffix("_v2")[-8:]
    assert checksum == f"{zlib.crc32(unchecked.encode()):08x}"


def test_no_two_keys_are_the_same() -> None:
    assert len({keyformat.generate(TENANT_ID, AGENT_ID) for _ in range(1000)}) == 1000


def test_old_key_is_well_formed_without_a_checksum() -> None:
    secret = old_key()

    assert secret.endswith("==")
    assert keyformat.parse(secret) == ParsedKey(TENANT_ID, AGENT_ID, OLD_RANDOM, "v1")


UUIDS = ("0b0e5d1c-54c5-4a43-9d3b-6a8f5d0f9f11", "7C9E6679742540DE944BE07FC1F90AE7")


@pytest.mark.parametrize("random", [OLD_RANDOM, "0123456789abcdef" * 2, "0b0e5d1c-54c5-4a43"])
def test_a_key_of_an_earlier_revision_with_uuids_is_read(random: str) -> None:
    secret = old_key(random, *UUIDS)

    assert keyformat.parse(secret) == ParsedKey(*UUIDS, random, "v1")


@pytest.mark.parametrize(
    "payload",
    [
        f"{UUIDS[0]}_{OLD_RANDOM}_v1",
        f"{UUIDS[0]}_{UUIDS[1]}_v1",
        f"{UUIDS[0]}_{UUIDS[1]}_{OLD_RANDOM}_v2",
        f"{UUIDS[0]}_{UUIDS[1]}_{OLD_RANDOM}",
        f"{UUIDS[0]}_{UUIDS[1][:-1]}_{OLD_RANDOM}_v1",
        f"{UUIDS[0]}_{UUIDS[1]}_{'x' * 65}_v1",
        f"{UUIDS[0]}_{UUIDS[1]}_{OLD_RANDOM}_v1 ",
        f"{TENANT_ID}_{UUIDS[1]}_{OLD_RANDOM}_v1",
    ],
)
def test_similar_text_with_uuids_is_malformed(payload: str) -> None:
    assert not is_key(encoded(payload))


def test_every_changed_character_of_a_new_key_is_noticed() -> None:
    secret = keyformat.generate(TENANT_ID, AGENT_ID)

    survivors = [
        changed
        for place in range(len(secret))
        for other in ALPHABET + "=-_ \n\x00é"
        if (changed := secret[:place] + other + secret[place + 1 :]) != secret and is_key(changed)
    ]

    assert survivors == []


def test_every_missing_doubled_or_swapped_character_of_a_new_key_is_noticed() -> None:
    secret = keyformat.generate(TENANT_ID, AGENT_ID)

    for place in range(len(secret)):
        assert not is_key(secret[:place] + secret[place + 1 :])
        assert not is_key(secret[:place] + secret[place] + secret[place:])
        swapped = secret[:place] + secret[place + 1 : place + 2] + secret[place : place + 1] + secret[place + 2 :]
        assert swapped == secret or not is_key(swapped)


@pytest.mark.parametrize("make", [old_key, lambda: keyformat.generate(TENANT_ID, AGENT_ID)])
@pytest.mark.parametrize("change", ["{}x", "{}=", "{} ", " {}", "{}\n", "\n{}", "{}\x00", "{}mmc_", "{}{}", "mmc_{}"])
def test_text_around_a_key_makes_it_malformed(make: Callable[[], str], change: str) -> None:
    secret = make()
    assert is_key(secret)

    assert not is_key(change.replace("{}", secret))


def test_the_padding_of_an_old_key_is_part_of_it() -> None:
    bare = old_key().rstrip("=")

    assert [padding for padding in ("", "=", "==", "===", "====") if is_key(bare + padding)] == ["=="]


def test_the_unused_bits_of_an_old_keys_last_character_do_not_make_a_second_key() -> None:
    secret = old_key()
    place = len(secret) - 3

    assert [other for other in ALPHABET if is_key(secret[:place] + other + secret[place + 1 :])] == [secret[place]]


@pytest.mark.parametrize("place", [4, 20, 60])
@pytest.mark.parametrize("junk", ["\n", " ", "\t", "-", "_", "=", "é", "小"])
def test_text_inside_a_key_makes_it_malformed(place: int, junk: str) -> None:
    secret = keyformat.generate(TENANT_ID, AGENT_ID)

    assert not is_key(secret[:place] + junk + secret[place:])


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "tenant",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}_v3",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}_v2",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}_v1\n",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}_V1",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM[:-1]}_v1",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}0_v1",
        f"{TENANT_ID}_{AGENT_ID}_{OLD_RANDOM.upper()}_v1",
        f"{AGENT_ID}_{TENANT_ID}_{OLD_RANDOM}_v1",
        f"{TENANT_ID}_{TENANT_ID}_{OLD_RANDOM}_v1",
        f"tenant_3f0c9a71b2d_{AGENT_ID}_{OLD_RANDOM}_v1",
        f"tenant_3f0c9a71b2dg_{AGENT_ID}_{OLD_RANDOM}_v1",
        f"tenant_３f0c9a71b2de_{AGENT_ID}_{OLD_RANDOM}_v1",
        f" {TENANT_ID}_{AGENT_ID}_{OLD_RANDOM}_v1",
        f"{TENANT_ID}_{AGENT_ID}_{'0' * 42}_v2",
        f"{TENANT_ID}_{AGENT_ID}_{'0' * 42}_v1",
    ],
)
def test_other_payload_is_malformed(payload: str) -> None:
    assert not is_key(encoded(payload))


@pytest.mark.parametrize("text", ["", "mmc_", "mmc_=", "mmc_====", "MMC_", "sk-123", "小明", "mmc_" + "A" * 1_000_000])
def test_other_text_is_malformed(text: str) -> None:
    assert not is_key(text)


def test_another_alphabet_of_base64_is_refused() -> None:
    raw = bytes(range(256))[-60:]  # encodes to both of the characters that the alphabets differ in
    assert base64.b64encode(raw) != base64.urlsafe_b64encode(raw)

    assert not is_key("mmc_" + base64.urlsafe_b64encode(raw).decode())
    assert not is_key("mmc_" + base64.b32encode(old_key().encode()).decode())
    assert not is_key(old_key().swapcase().replace("MMC_", "mmc_"))


def test_error_never_repeats_the_key() -> None:
    secret = keyformat.generate(TENANT_ID, AGENT_ID)

    with pytest.raises(MalformedKey) as refusal:
        keyformat.parse(secret + "x")

    assert secret[4:20] not in str(refusal.value)


def test_a_masked_key_shows_the_last_four_characters_of_its_random_part() -> None:
    parsed = keyformat.parse(old_key())

    assert keyformat.masked(parsed.hint) == "mmc_…cdef"


@pytest.mark.parametrize("text", ["mmc_…cdef", "…cdef", "mmc_...cdef", "mmc_********cdef", " mmc_…cdef "])
def test_the_masked_forms_that_people_type_have_the_hint(text: str) -> None:
    assert keyformat.hint_in(text) == "cdef"


@pytest.mark.parametrize("text", ["", "cdef", "mmc_cdef", "mmc_…cde", "mmc_…cdefg", "mmc_…cdé1", old_key()])
def test_other_texts_have_no_hint(text: str) -> None:
    assert keyformat.hint_in(text) is None

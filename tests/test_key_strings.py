"""A hundred thousand mutations of keys: none is valid, and malformed ones cost no query."""

from __future__ import annotations

import base64
import random
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apikeys import keyformat, verification
from apikeys.keyformat import PREFIX, MalformedKey
from apikeys.verification import MALFORMED, UNKNOWN, VerificationRequest
from tests.support.bots import Bot
from tests.support.people import Person, make_agent, make_key
from tests.support.server import MaimServer

pytestmark = pytest.mark.embedded

TEXTS = 100_000
TEXTS_OVER_HTTP = 20_000
BATCH_SIZE = 100
BATCH_PATH = "/api/v2/auth/validate-api-keys"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
ODD_CHARACTERS = [
    "\u00e9",
    "🤖",
    "\u200b",
    "\ufeff",
    "Ａ",
    "ﬁ",
    "İ",
    "\u0301",
    "\n",
    " ",
    "\t",
    "\x00",
    "%",
    "'",
    "\\",
    "-",
    "_",
]

Mutation = Callable[[random.Random, str], str]


def payload_of(secret: str) -> str:
    return base64.b64decode(secret.removeprefix(PREFIX)).decode()


def encode(payload: str) -> str:
    return PREFIX + base64.b64encode(payload.encode()).decode()


def with_checksum(unchecked: str) -> str:
    """Return a key of the current version with this payload and the right checksum."""
    return encode(f"{unchecked}{zlib.crc32(unchecked.encode()):08x}_v2")


# ---- malformed keys, which are refused without a query


def flip_bit(rng: random.Random, secret: str) -> str:
    position = rng.randrange(len(secret))
    return secret[:position] + chr(ord(secret[position]) ^ 1 << rng.randrange(7)) + secret[position + 1 :]


def flip_bit_of_payload(rng: random.Random, secret: str) -> str:
    return encode(flip_bit(rng, payload_of(secret)))


def truncate(rng: random.Random, secret: str) -> str:
    return secret[: rng.randrange(len(secret))]


def truncate_start(rng: random.Random, secret: str) -> str:
    return secret[rng.randrange(1, len(secret)) :]


def truncate_payload(rng: random.Random, secret: str) -> str:
    return encode(payload_of(secret)[: -rng.randrange(1, 84)])


def lengthen(rng: random.Random, secret: str) -> str:
    return secret + "".join(rng.choices(ALPHABET, k=rng.choice([1, 2, 3, 4, 80, 100, 3000])))


def repeat(rng: random.Random, secret: str) -> str:
    return secret + rng.choice(["", " ", ",", "\n", "="]) + secret


def change_case_of_letter(rng: random.Random, secret: str) -> str:
    position = rng.choice([position for position, letter in enumerate(secret) if letter.isalpha()])
    return secret[:position] + secret[position].swapcase() + secret[position + 1 :]


def change_case(rng: random.Random, secret: str) -> str:
    return rng.choice([str.upper, str.lower, str.swapcase, str.title])(secret)


def change_prefix(rng: random.Random, secret: str) -> str:
    prefix = rng.choice(["", "mmc", "mmc-", "MMC_", "mmc__", " mmc_", "sk_", "Bearer mmc_", "mmc_mmc_", "ｍｍｃ_"])
    return prefix + secret.removeprefix(PREFIX)


def add_padding(rng: random.Random, secret: str) -> str:
    return secret + "=" * rng.randrange(1, 5)


def encode_differently(rng: random.Random, secret: str) -> str:
    payload = payload_of(secret).encode()
    return PREFIX + rng.choice(
        [
            base64.urlsafe_b64encode(payload + b"?>~").decode(),
            base64.b32encode(payload).decode(),
            base64.b85encode(payload).decode(),
            base64.b64encode(base64.b64encode(payload)).decode(),
            base64.encodebytes(payload).decode(),
            payload.hex(),
            payload.decode(),
        ]
    )


def swap_characters(rng: random.Random, secret: str) -> str:
    first, second = sorted(rng.sample(range(len(secret)), 2))
    return secret[:first] + secret[second] + secret[first + 1 : second] + secret[first] + secret[second + 1 :]


def insert_odd_character(rng: random.Random, secret: str) -> str:
    position = rng.randrange(len(secret) + 1)
    return secret[:position] + rng.choice(ODD_CHARACTERS) + secret[position + rng.randrange(2) :]


def random_text(rng: random.Random, secret: str) -> str:
    letters = (chr(rng.choice([rng.randrange(0x80), rng.randrange(0xD800)])) for _ in range(len(secret)))
    return rng.choice(["", PREFIX]) + "".join(letters)


def random_base64(rng: random.Random, secret: str) -> str:
    return PREFIX + base64.b64encode(rng.randbytes(rng.choice([0, 1, 2, 3, 63, 66, 84, 84, 84, 146]))).decode()


def change_version(rng: random.Random, secret: str) -> str:
    return encode(payload_of(secret).removesuffix("v2") + rng.choice(["v1", "v3", "v02", "v2 ", "V2", ""]))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    flip_bit_of_payload,
    truncate,
    truncate_start,
    truncate_payload,
    lengthen,
    repeat,
    change_case_of_letter,
    change_case,
    change_prefix,
    add_padding,
    encode_differently,
    swap_characters,
    insert_odd_character,
    random_text,
    random_base64,
    change_version,
)

# ---- well-formed keys that are not in the database


def other_random_part(rng: random.Random, secret: str) -> str:
    tenant_and_agent = payload_of(secret)[:39]
    return with_checksum(f"{tenant_and_agent}{rng.randbytes(17).hex()}")


def other_tenant(rng: random.Random, secret: str) -> str:
    return with_checksum(f"tenant_{rng.randbytes(6).hex()}{payload_of(secret)[19:73]}")


def as_version_1(rng: random.Random, secret: str) -> str:
    return encode(f"{payload_of(secret)[:39]}{rng.randbytes(8).hex()}_v1")


WELL_FORMED: tuple[Mutation, ...] = (other_random_part, other_tenant, as_version_1)


def mutations_of(rng: random.Random, originals: list[str], mutations: tuple[Mutation, ...]) -> Iterator[str]:
    """Yield mutations of secrets for ever, but none of the secrets themselves."""
    known = set(originals)
    while True:
        for mutate in mutations:
            text = mutate(rng, rng.choice(originals))
            if text not in known:
                yield text


@pytest.fixture
def seed() -> int:
    """The seed, which failures report. Return it here to repeat a failure."""
    return secrets.randbits(32)


@pytest.fixture
def originals(alice: Person) -> list[str]:
    agent = make_agent(alice.tenant)
    return [make_key(agent).secret for _ in range(10)]


class TestInProcess:
    def test_malformed_key_is_refused_without_a_query(self, originals: list[str], seed: int) -> None:
        texts = list(islice(mutations_of(random.Random(seed), originals, MUTATIONS), TEXTS))

        with CaptureQueriesContext(connection) as queries:
            codes = Counter(
                verdict.code for verdict in verification.verify_all([VerificationRequest(text) for text in texts])
            )

        assert codes == {MALFORMED: TEXTS}, f"seed {seed}"
        assert len(queries) == 0

    def test_well_formed_invented_key_is_unknown(self, originals: list[str], seed: int) -> None:
        texts = list(islice(mutations_of(random.Random(seed), originals, WELL_FORMED), 3000))

        for start in range(0, len(texts), BATCH_SIZE):
            with CaptureQueriesContext(connection) as queries:
                verdicts = verification.verify_all(
                    [VerificationRequest(text) for text in texts[start : start + BATCH_SIZE]]
                )
            assert {verdict.code for verdict in verdicts} == {UNKNOWN}, f"seed {seed}"
            assert len(queries) == 1

    def test_only_the_real_keys_are_valid(self, originals: list[str], seed: int) -> None:
        texts = [*islice(mutations_of(random.Random(seed), originals, MUTATIONS + WELL_FORMED), 100), *originals]

        verdicts = verification.verify_all([VerificationRequest(text) for text in texts])

        assert [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.is_valid] == originals

    @pytest.mark.parametrize("mutate", MUTATIONS)
    def test_every_mutation_is_malformed(self, originals: list[str], seed: int, mutate: Mutation) -> None:
        texts = list(islice(mutations_of(random.Random(seed), originals, (mutate,)), 100))

        for text in texts:
            with pytest.raises(MalformedKey) as error:
                keyformat.parse(text)
            assert len(text) < 20 or text not in str(error.value)
        assert len(set(texts)) > 4


class TestOverHTTP:
    @pytest.fixture
    def originals(self, server: MaimServer) -> list[str]:
        with server.client("internal") as v2:
            tenant = {"tenant_name": f"tenant {secrets.token_hex(4)}", "tenant_type": "enterprise"}
            owner = {"tenant_id": v2.post("/api/v2/tenants", json=tenant).json()["data"]["id"]}
            owner["agent_id"] = v2.post("/api/v2/agents", json={**owner, "name": "agent"}).json()["data"]["id"]
            created = [v2.post("/api/v2/api-keys", json={**owner, "name": f"key {number}"}) for number in range(10)]
        return [response.json()["data"]["api_key"] for response in created]

    @pytest.fixture
    def bot(self, server: MaimServer) -> Iterator[Bot]:
        with Bot(server.internal_port) as bot:
            yield bot

    def test_batches_of_mutations_are_refused(self, bot: Bot, originals: list[str], seed: int) -> None:
        texts_to_send = mutations_of(random.Random(seed), originals, MUTATIONS + WELL_FORMED)
        texts = [text for text in islice(texts_to_send, TEXTS_OVER_HTTP) if "\x00" not in text]

        codes: Counter[str] = Counter()
        for start in range(0, len(texts), BATCH_SIZE):
            batch = texts[start : start + BATCH_SIZE]
            response = bot.post(BATCH_PATH, {"items": [{"api_key": text} for text in batch]})
            assert response.status == 200, f"seed {seed}"
            items = response.data["items"]
            assert [item["success"] for item in items] == [False] * len(batch), f"seed {seed}"
            codes.update(item["data"]["code"] for item in items)

        assert set(codes) == {MALFORMED, UNKNOWN}
        assert [each.code for each in map(bot.validate, originals)] == ["VALID"] * len(originals)

    @pytest.mark.parametrize("endpoint", ["validate-api-key", "check-permission", "parse-api-key"])
    def test_single_mutations_are_refused(self, bot: Bot, originals: list[str], seed: int, endpoint: str) -> None:
        # They include NUL, which JSON bodies may not have, and texts that are too long for the fast path.
        texts = islice(mutations_of(random.Random(seed), originals, MUTATIONS), 1000)

        for text in texts:
            response = bot.post(f"/api/v2/auth/{endpoint}", {"api_key": text, "permission": "chat"})
            expected = (400, "VALIDATION_ERROR") if "\x00" in text else (200, MALFORMED)
            assert (response.status, response.body["error_code"]) == expected, f"seed {seed}: {text!r}"

"""A hundred thousand texts that are almost keys: none is taken for one, and junk costs no query."""

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

NUMBER = 100_000
OVER_HTTP = 20_000
AT_ONCE = 100
BATCH = "/api/v2/auth/validate-api-keys"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
ODD = ["\u00e9", "🤖", "\u200b", "\ufeff", "Ａ", "ﬁ", "İ", "\u0301", "\n", " ", "\t", "\x00", "%", "'", "\\", "-", "_"]

Mutation = Callable[[random.Random, str], str]


def payload_of(secret: str) -> str:
    return base64.b64decode(secret.removeprefix(PREFIX)).decode()


def written(payload: str) -> str:
    return PREFIX + base64.b64encode(payload.encode()).decode()


def checked(unchecked: str) -> str:
    """A key of the current version that says this, its checksum right."""
    return written(f"{unchecked}{zlib.crc32(unchecked.encode()):08x}_v2")


# ---- what is refused offline


def flip_a_bit(chance: random.Random, secret: str) -> str:
    place = chance.randrange(len(secret))
    return secret[:place] + chr(ord(secret[place]) ^ 1 << chance.randrange(7)) + secret[place + 1 :]


def flip_a_bit_inside(chance: random.Random, secret: str) -> str:
    return written(flip_a_bit(chance, payload_of(secret)))


def cut(chance: random.Random, secret: str) -> str:
    return secret[: chance.randrange(len(secret))]


def cut_in_front(chance: random.Random, secret: str) -> str:
    return secret[chance.randrange(1, len(secret)) :]


def cut_inside(chance: random.Random, secret: str) -> str:
    return written(payload_of(secret)[: -chance.randrange(1, 84)])


def lengthen(chance: random.Random, secret: str) -> str:
    return secret + "".join(chance.choices(ALPHABET, k=chance.choice([1, 2, 3, 4, 80, 100, 3000])))


def double(chance: random.Random, secret: str) -> str:
    return secret + chance.choice(["", " ", ",", "\n", "="]) + secret


def change_a_letters_case(chance: random.Random, secret: str) -> str:
    place = chance.choice([place for place, letter in enumerate(secret) if letter.isalpha()])
    return secret[:place] + secret[place].swapcase() + secret[place + 1 :]


def change_all_case(chance: random.Random, secret: str) -> str:
    return chance.choice([str.upper, str.lower, str.swapcase, str.title])(secret)


def change_the_prefix(chance: random.Random, secret: str) -> str:
    prefix = chance.choice(["", "mmc", "mmc-", "MMC_", "mmc__", " mmc_", "sk_", "Bearer mmc_", "mmc_mmc_", "ｍｍｃ_"])
    return prefix + secret.removeprefix(PREFIX)


def pad(chance: random.Random, secret: str) -> str:
    return secret + "=" * chance.randrange(1, 5)


def spell_in_another_base64(chance: random.Random, secret: str) -> str:
    payload = payload_of(secret).encode()
    return PREFIX + chance.choice(
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


def swap_two(chance: random.Random, secret: str) -> str:
    one, other = sorted(chance.sample(range(len(secret)), 2))
    return secret[:one] + secret[other] + secret[one + 1 : other] + secret[one] + secret[other + 1 :]


def put_in_something_odd(chance: random.Random, secret: str) -> str:
    place = chance.randrange(len(secret) + 1)
    return secret[:place] + chance.choice(ODD) + secret[place + chance.randrange(2) :]


def take_any_text(chance: random.Random, secret: str) -> str:
    letters = (chr(chance.choice([chance.randrange(0x80), chance.randrange(0xD800)])) for _ in range(len(secret)))
    return chance.choice(["", PREFIX]) + "".join(letters)


def take_any_base64(chance: random.Random, secret: str) -> str:
    return PREFIX + base64.b64encode(chance.randbytes(chance.choice([0, 1, 2, 3, 63, 66, 84, 84, 84, 146]))).decode()


def call_it_v1(chance: random.Random, secret: str) -> str:
    return written(payload_of(secret).removesuffix("v2") + chance.choice(["v1", "v3", "v02", "v2 ", "V2", ""]))


MUTATIONS: tuple[Mutation, ...] = (
    flip_a_bit,
    flip_a_bit_inside,
    cut,
    cut_in_front,
    cut_inside,
    lengthen,
    double,
    change_a_letters_case,
    change_all_case,
    change_the_prefix,
    pad,
    spell_in_another_base64,
    swap_two,
    put_in_something_odd,
    take_any_text,
    take_any_base64,
    call_it_v1,
)

# ---- what only the database knows not to be keys


def draw_another(chance: random.Random, secret: str) -> str:
    tenant_and_agent = payload_of(secret)[:39]
    return checked(f"{tenant_and_agent}{chance.randbytes(17).hex()}")


def say_another_tenant(chance: random.Random, secret: str) -> str:
    return checked(f"tenant_{chance.randbytes(6).hex()}{payload_of(secret)[19:73]}")


def take_it_for_an_old_one(chance: random.Random, secret: str) -> str:
    return written(f"{payload_of(secret)[:39]}{chance.randbytes(8).hex()}_v1")


WELL_FORMED: tuple[Mutation, ...] = (draw_another, say_another_tenant, take_it_for_an_old_one)


def mutated(chance: random.Random, originals: list[str], mutations: tuple[Mutation, ...]) -> Iterator[str]:
    """Mutations of real secrets without end; never one of them."""
    known = set(originals)
    while True:
        for mutate in mutations:
            text = mutate(chance, chance.choice(originals))
            if text not in known:
                yield text


@pytest.fixture
def seed() -> int:
    """To be given to Random in place of a new one to see a failure again."""
    return secrets.randbits(32)


@pytest.fixture
def originals(alice: Person) -> list[str]:
    agent = make_agent(alice.tenant)
    return [make_key(agent).secret for _ in range(10)]


class TestInProcess:
    def test_what_is_malformed_is_refused_without_a_query(self, originals: list[str], seed: int) -> None:
        texts = list(islice(mutated(random.Random(seed), originals, MUTATIONS), NUMBER))

        with CaptureQueriesContext(connection) as queries:
            found = Counter(
                verdict.code for verdict in verification.verify_all([VerificationRequest(text) for text in texts])
            )

        assert found == {MALFORMED: NUMBER}, f"seed {seed}"
        assert len(queries) == 0

    def test_what_is_well_formed_and_invented_is_unknown(self, originals: list[str], seed: int) -> None:
        texts = list(islice(mutated(random.Random(seed), originals, WELL_FORMED), 3000))

        for start in range(0, len(texts), AT_ONCE):
            with CaptureQueriesContext(connection) as queries:
                verdicts = verification.verify_all(
                    [VerificationRequest(text) for text in texts[start : start + AT_ONCE]]
                )
            assert {verdict.code for verdict in verdicts} == {UNKNOWN}, f"seed {seed}"
            assert len(queries) == 1

    def test_the_real_ones_are_good_among_them(self, originals: list[str], seed: int) -> None:
        texts = [*islice(mutated(random.Random(seed), originals, MUTATIONS + WELL_FORMED), 100), *originals]

        verdicts = verification.verify_all([VerificationRequest(text) for text in texts])

        assert [text for text, verdict in zip(texts, verdicts, strict=True) if verdict.is_valid] == originals

    @pytest.mark.parametrize("mutate", MUTATIONS)
    def test_every_mutation_makes_texts_that_are_no_keys(
        self, originals: list[str], seed: int, mutate: Mutation
    ) -> None:
        texts = list(islice(mutated(random.Random(seed), originals, (mutate,)), 100))

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
            made = [v2.post("/api/v2/api-keys", json={**owner, "name": f"key {number}"}) for number in range(10)]
        return [answer.json()["data"]["api_key"] for answer in made]

    @pytest.fixture
    def bot(self, server: MaimServer) -> Iterator[Bot]:
        with Bot(server.internal_port) as bot:
            yield bot

    def test_in_batches(self, bot: Bot, originals: list[str], seed: int) -> None:
        sent = mutated(random.Random(seed), originals, MUTATIONS + WELL_FORMED)
        texts = [text for text in islice(sent, OVER_HTTP) if "\x00" not in text]

        found: Counter[str] = Counter()
        for start in range(0, len(texts), AT_ONCE):
            batch = texts[start : start + AT_ONCE]
            told = bot.ask(BATCH, {"items": [{"api_key": text} for text in batch]})
            assert told.status == 200, f"seed {seed}"
            items = told.data["items"]
            assert [item["success"] for item in items] == [False] * len(batch), f"seed {seed}"
            found.update(item["data"]["code"] for item in items)

        assert set(found) == {MALFORMED, UNKNOWN}
        assert [each.code for each in map(bot.validate, originals)] == ["VALID"] * len(originals)

    @pytest.mark.parametrize("question", ["validate-api-key", "check-permission", "parse-api-key"])
    def test_one_by_one(self, bot: Bot, originals: list[str], seed: int, question: str) -> None:
        # Also with NUL in them, which no JSON of ours may have, and longer than a short cut takes.
        texts = islice(mutated(random.Random(seed), originals, MUTATIONS), 1000)

        for text in texts:
            told = bot.ask(f"/api/v2/auth/{question}", {"api_key": text, "permission": "chat"})
            expected = (400, "VALIDATION_ERROR") if "\x00" in text else (200, MALFORMED)
            assert (told.status, told.body["error_code"]) == expected, f"seed {seed}: {text!r}"

"""The time from a revocation to the first refusal."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import httpx

from bench.databases import Key
from bench.load import TIMEOUT_SECONDS
from bench.peers.contestants import Contestant, send
from tests.support.instances import wait_until

# So many verifications succeed before the key is revoked, so that whoever caches it has it.
BEFORE = 5


@dataclass(frozen=True)
class Refusal:
    """The seconds from the sending of a revocation to its answer, and to the first refusal.

    `accepted_after` is the number of verifications that were sent after the answer and accepted all the same.
    """

    to_answer: float
    to_refusal: float
    accepted_after: int


def revoke(base: str, contestant: Contestant, key: Key) -> Refusal:
    """Revoke a key while it is verified again and again."""
    verifications: list[tuple[float, float, bool]] = []  # when each was sent and answered, and whether accepted
    is_over = threading.Event()

    def verify(client: httpx.Client) -> bool:
        return contestant.is_accepted(send(client, contestant.verify(key)))

    def verify_until_over() -> None:
        with httpx.Client(base_url=base, timeout=TIMEOUT_SECONDS) as client:
            while not is_over.is_set():
                sent = time.monotonic()
                is_accepted = verify(client)
                verifications.append((sent, time.monotonic(), is_accepted))

    thread = threading.Thread(target=verify_until_over)
    thread.start()
    try:
        with httpx.Client(base_url=base, timeout=TIMEOUT_SECONDS) as client:
            verify(client)  # so that it is connected
            wait_until(lambda: len(verifications) >= BEFORE, "the key is verified")
            began = time.monotonic()
            send(client, contestant.revoke(key)).raise_for_status()
            answered = time.monotonic()
        wait_until(lambda: not verifications[-1][2], "the key is refused")
    finally:
        is_over.set()
        thread.join()
    refused = next(received for _sent, received, is_accepted in verifications if not is_accepted)
    accepted_after = sum(is_accepted for sent, _received, is_accepted in verifications if sent > answered)
    return Refusal(answered - began, refused - began, accepted_after)

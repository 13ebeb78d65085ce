"""Files of secrets, which are written before the transaction that issues them commits."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import OperationalError

from core.commands.files import SecretFile
from core.errors import Conflict


@contextmanager
def nearly_full_disk(size: int) -> Iterator[None]:
    """Let files grow to a size, as on a disk that is nearly full: what fits is written, and no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the file, which does not exist."""
    return tmp_path / "secrets"


def write(path: Path, secrets: bytes, error: BaseException | None = None) -> None:
    """Write secrets into a new file, and end with an error."""
    with SecretFile(path) as file:
        file.write(secrets)
        if error is not None:
            raise error


def test_secret_that_is_written_in_part_is_an_error(path: Path) -> None:
    with nearly_full_disk(8), pytest.raises(OSError, match="File too large") as raised:
        write(path, b"a long secret\n")

    assert raised.value.filename == str(path)
    assert not path.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OperationalError()])
def test_secret_stays_where_its_transaction_may_have_committed(path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        write(path, b"secret\n", error)

    assert path.read_bytes() == b"secret\n"


def test_secret_of_a_transaction_that_was_rolled_back_goes(path: Path) -> None:
    with pytest.raises(Conflict):
        write(path, b"secret\n", Conflict("a rule forbids it"))

    assert not path.exists()


def test_secrets_of_a_transaction_that_is_run_again_replace_the_former(path: Path) -> None:
    with SecretFile(path) as file:
        file.write(b"of the victim of a deadlock\n")
        file.write(b"secret\n")
        file.mark_committed()

    assert path.read_bytes() == b"secret\n"

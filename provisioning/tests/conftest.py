"""The file that is applied, and the people whom it names."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from accounts.models import User
from tests.support.commands import Outcome, run
from tests.support.people import Person, register

Apply = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the file."""
    return tmp_path / "maim.yaml"


@pytest.fixture
def apply(file: Path) -> Apply:
    """Apply a document, or YAML as it is written, or the file as it is if there is none."""

    def apply(content: Any, *options: str, stdin: StringIO | None = None) -> Outcome:
        if content is not None:
            text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
            file.write_text(text, encoding="utf-8")
        return run("apply", "-f", str(file), *options, stdin=stdin)

    return apply


@pytest.fixture
def people(alice: Person, charlie: Person) -> list[Person]:
    """Alice; Bob, who has confirmed his address; and Charlie, who says that Bob's other address is his."""
    bob = register("bob")
    confirmed = {"email": "bob@acme.example", "email_folded": "bob@acme.example", "verified_email": "bob@acme.example"}
    User.objects.filter(pk=bob.user.pk).update(**confirmed)
    said = {"email": "robert@acme.example", "email_folded": "robert@acme.example"}
    User.objects.filter(pk=charlie.user.pk).update(**said)
    return [alice, bob, charlie]

"""Comparisons of texts, numbers and enums, which use `==` because `is` compares objects.

Equal texts need not be the same object: one from JSON, a pickle or the database is another object than the
constant. A check by `is` would then pass or fail by chance.
"""

from __future__ import annotations

import ast
import builtins
import json
import pickle
import re
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

import pytest

from apikeys.tests.facts import facts
from apikeys.verification import ADDRESS_NOT_ALLOWED, DISABLED, EXPIRED, NOT_ACTIVE, VALID, Verdict, VerdictCode
from core.actor import Actor, ActorKind
from core.errors import NotFound
from tenants.access import get_tenant
from tenants.models import TenantType
from tenants.roles import Access
from tenants.services import create_tenant
from tests.support.people import Person

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)

CLASS_NAME = re.compile("[A-Z]+[a-z][A-Za-z]*")
SINGLETONS = {"None", "True", "False", "NotImplemented", "Ellipsis"}
# Objects that exist once in a process and are never serialized.
SENTINELS = {
    "UTC",  # datetime's own; another timezone of the same offset is only converted once more
    "_NOWHERE",  # agent_config.schema.validation
    "_NOTHING",  # agent_config.patches and validators
    "OMITTED",  # agent_config.secret_paths
    "_ENDED",  # legacy.bridge.follower
    "TAKEN",  # core.tests.test_db
    "_UNCHANGED",  # agent_config.maibot.repairs
}
# Comparisons where equal objects have to be told apart.
IDENTITY_COMPARISONS = {
    "agent_config/secret_paths.py": {"new is not member", "new is not item", "result is value"},
    "agent_config/secrets.py": {
        "rewritten(config, lambda _secret: OMITTED) is not config",
        "result is not config",
    },
    "agent_config/trust.py": {"owner is layer"},
    "agent_config/system.py": {"self.content is other.content"},
    "apikeys/tests/test_engine_away.py": {"connection.connection is not before"},
    "bench/seed.py": {"field is not model._meta.auto_field"},
    "bench/services.py": {"self._running is not service"},
    "legacy/bridge/sync.py": {"mirror is self.tenants"},
    "legacy/bridge/row_diff.py": {"target is existing"},
    "legacy/removals.py": {"importer is self._importers.users"},
    "core/tests/test_db.py": {"connection.connection is not broken"},
    "maim/server/tests/test_application.py": {"connection.sock is first"},
    "maim/server/tests/test_verdict_counts.py": {"threading.current_thread() is not threading.main_thread()"},
    "accounts/tests/test_credential_races.py": {
        "change is not set_password_in_shell",
        "threading.current_thread() is not threading.main_thread()",
    },
    "tests/support/config_leaks.py": {"config is malformed[8]", "client is deployment.v1"},
    "tests/long/access_checks.py": {
        "each is not operand",
        "each is not keyword",
        "value is node",
        "each is node",
    },
    "tests/test_personal_tokens.py": {"view.check_permissions is not BaseView.check_permissions"},
    "tests/test_round_trips.py": {"fields is FULL"},
    "tests/test_primary.py": {"first is not second", "connection.connection is not before"},
    "tests/test_concurrency.py": {"response is not winner"},
    "tests/test_sign_in_load.py": {"future is not rejected"},
}


def is_a_class_or_singleton(node: ast.expr) -> bool:
    text = ast.unparse(node)
    is_class = isinstance(getattr(builtins, text, None), type) or CLASS_NAME.fullmatch(text) is not None
    return text in SINGLETONS | SENTINELS or is_class or text.startswith("type(")


@cache
def identity_comparisons(path: Path) -> list[tuple[int, str]]:
    """Return the line and text of each `is` in a module that may compare equal values."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare):
            continue
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
            is_identity = isinstance(operator, ast.Is | ast.IsNot)
            if is_identity and not (is_a_class_or_singleton(left) or is_a_class_or_singleton(right)):
                found.append((node.lineno, ast.unparse(node)))
    return found


MODULES = sorted(
    path for path in ROOT.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


@pytest.mark.embedded
def test_no_module_compares_values_by_identity() -> None:
    found = {
        (name, line, text)
        for path in MODULES
        for line, text in identity_comparisons(path)
        if text not in IDENTITY_COMPARISONS.get(name := str(path.relative_to(ROOT)), ())
    }

    assert not found


@pytest.mark.embedded
def test_every_listed_exception_exists() -> None:
    existing = {str(path.relative_to(ROOT)): {text for _line, text in identity_comparisons(path)} for path in MODULES}

    assert {name: texts - existing.get(name, set()) for name, texts in IDENTITY_COMPARISONS.items()} == {
        name: set() for name in IDENTITY_COMPARISONS
    }


def equal_but_not_identical(code: T) -> T:
    """Return an equal text that is another object, like one from JSON."""
    copy: T = json.loads(json.dumps({"code": code}))["code"]
    assert copy == code
    assert id(copy) != id(code)
    return copy


@pytest.mark.embedded
class TestVerdictCodes:
    @pytest.mark.parametrize("code", [VALID, DISABLED, EXPIRED, NOT_ACTIVE])
    @pytest.mark.parametrize("address", [None, "10.1.2.3", "11.1.2.3"])
    @pytest.mark.parametrize("end", [None, NOON])
    def test_copied_code_has_the_same_verdict(
        self, code: VerdictCode, address: str | None, end: datetime | None
    ) -> None:
        caller = None if address is None else ip_address(address)
        networks = (ip_network("10.0.0.0/8"),)
        original = facts(static_code=code, networks=networks, valid_until=end)
        copied = facts(static_code=equal_but_not_identical(code), networks=networks, valid_until=end)

        for now in (NOON.replace(hour=11), NOON):
            assert copied.code_at(now, caller) == original.code_at(now, caller)
        assert copied.code_at(NOON.replace(hour=11), ip_address("11.1.2.3")) != VALID

    def test_network_is_checked_with_a_copied_code(self) -> None:
        key = facts(static_code=equal_but_not_identical(VALID), networks=(ip_network("10.0.0.0/8"),))

        assert key.code_at(NOON, ip_address("11.1.2.3")) == ADDRESS_NOT_ALLOWED
        assert key.code_at(NOON, ip_address("10.1.2.3")) == VALID
        assert Verdict(equal_but_not_identical(VALID), key).is_valid

    def test_codes_are_texts_in_every_response(self) -> None:
        for code in VerdictCode:
            assert (str(code), f"{code}", json.loads(json.dumps(code))) == (code.value,) * 3
            assert pickle.loads(pickle.dumps(code)) == code


@pytest.mark.embedded
def test_actor_kind_as_plain_text_has_the_same_rules(alice: Person, charlie: Person) -> None:
    kind = equal_but_not_identical(ActorKind.USER)
    owner, stranger = (Actor(kind=kind, id=person.user.id) for person in (alice, charlie))

    assert get_tenant(owner, alice.tenant.id, Access.MANAGE_TENANT) == alice.tenant
    with pytest.raises(NotFound):
        get_tenant(stranger, alice.tenant.id, Access.READ)
    created = create_tenant(actor=stranger, tenant_name="made", tenant_type=TenantType.PERSONAL, owner_id=alice.user.id)
    assert created.owner_id == charlie.user.id

"""Mutation tests of the access checks: without any one of them, a test fails.

Each check is removed from a copy of the tree, and the tests of permissions run there. A check is a guard that raises or
returns nothing, a call of another check, a condition of trust, a keyword of a filter, or a right that a role lacks.
"""

from __future__ import annotations

import ast
import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tenants.models import Role
from tenants.roles import ALLOWED, Access
from tests.support.server import ROOT

MODULES = ("accounts/access.py", "tenants/access.py", "agents/access.py", "apikeys/access.py", "operations/access.py")
ROLES = "tenants/roles.py"
TESTS = (
    *(
        "tests/test_permissions.py",
        "tests/test_personal_tokens.py",
        "tests/test_scoping.py",
        "tests/test_round_trips.py",
    ),
    *("accounts/tests", "tenants/tests", "agents/tests/test_secret_rights.py", "apikeys/tests", "operations/tests"),
)
# How much is read of an agent that may be accessed is no check; that it may be is checked after it.
NO_CHECKS = {"_select_with_tenant(agent_id) if actor.is_trusted else _select(agent_id)"}
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "var", "__pycache__", ".*_cache")


class Mutation(NamedTuple):
    """The text of a module without one of its checks."""

    module: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}: {self.name}"


def without_checks(module: str) -> Iterator[Mutation]:
    """Return the mutations of a module, in the order of its lines."""
    tree = ast.parse((ROOT / module).read_text())
    for number, node in enumerate(ast.walk(tree)):
        for name, changed in changes_of(node):
            mutated = copy.deepcopy(tree)
            replace(mutated, list(ast.walk(mutated))[number], changed)
            line = getattr(node, "lineno", 0)
            yield Mutation(module, f"line {line}: {name}", ast.unparse(ast.fix_missing_locations(mutated)))


def changes_of(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Return the ways to remove a check that this node is: a description, and what stands in its place."""
    text = ast.unparse(node).splitlines()[0] if isinstance(node, ast.stmt | ast.expr) else ""
    if isinstance(node, ast.If) and is_guard(node):
        yield f"no {text}", ast.Pass()
    if isinstance(node, ast.If) and is_distrust(node.test):
        yield f"never {text}", ast.Pass()
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and not isinstance(node.value.func, ast.Attribute)
    ):
        yield f"no {text}", ast.Pass()
    if isinstance(node, ast.IfExp) and "is_trusted" in ast.unparse(node.test) and text not in NO_CHECKS:
        yield f"everybody is trusted: {text}", node.body
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) and "actor." in text:
        for index, operand in enumerate(node.values):
            if not is_distrust(operand):
                rest = [each for each in node.values if each is not operand]
                yield f"without {ast.unparse(node.values[index])}", ast.BoolOp(ast.And(), [*rest, ast.Constant(True)])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "filter":
        for keyword in node.keywords:
            if keyword.arg in ("user", "user_id", "tenant_id", "tenant_id__in"):
                kept = [each for each in node.keywords if each is not keyword]
                yield f"{text} without {keyword.arg}", ast.Call(node.func, node.args, kept)


def is_guard(node: ast.If) -> bool:
    """Return whether all that a statement does is to refuse: to raise an error, or to return nothing."""
    refusals = (ast.Raise,)
    (last,) = node.body[-1:]
    nothing = (
        isinstance(last, ast.Return) and last.value is not None and ast.unparse(last.value).endswith(("none()", "[]"))
    )
    return len(node.body) == 1 and not node.orelse and (isinstance(last, refusals) or nothing)


def is_distrust(test: ast.AST) -> bool:
    return ast.unparse(test).startswith("not actor.is_trusted")


def replace(tree: ast.AST, node: ast.AST, changed: ast.AST) -> None:
    """Put a node in the place of another one."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, changed)
            elif isinstance(value, list) and any(each is node for each in value):
                setattr(parent, field, [changed if each is node else each for each in value])


def with_rights() -> Iterator[Mutation]:
    """Return the mutations of the table of roles in which one role has one right more."""
    text = (ROOT / ROLES).read_text()
    for role in Role:
        for access in Access:
            if access not in ALLOWED[role]:
                yield Mutation(
                    ROLES,
                    f"{role.value} may {access.name}",
                    f"{text}\nALLOWED[Role.{role.name}] |= {{Access.{access.name}}}\n",
                )


MUTATIONS = [*(each for module in MODULES for each in without_checks(module)), *with_rights()]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("access") / "maim", ignore=LEFT_OUT))


def test_unchanged_copy_passes(tree: Path) -> None:
    assert failures(tree) == ""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_tests_fail_without_the_check(mutation: Mutation, tree: Path) -> None:
    module = tree / mutation.module
    original = module.read_text()
    module.write_text(mutation.text)
    try:
        found = failures(tree)
    finally:
        module.write_text(original)
    print(f"\n{mutation}\n  {found}")

    assert found


def failures(tree: Path) -> str:
    """Run the tests in a copy of the tree up to the first that fails, and return its name."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "MAIM", "DJANGO"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not single", "-p", "no:cacheprovider", *TESTS],
        cwd=tree,
        env={**environment, "MAIM_DATA_DIR": str(tree / "var")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (0, 1, 2, 4), ended.stdout + ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "; ".join(lines) or ("" if ended.returncode == 0 else ended.stdout[-500:])

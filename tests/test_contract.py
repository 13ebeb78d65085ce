"""The contract, whose endpoints, fields, codes and example are those of the code.

Every section and every decision that the code cites exists.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from functools import cache
from typing import Any

import pytest

from apikeys import keyformat
from tests.support.envelope import ENVELOPE
from tests.support.server import ROOT

pytestmark = pytest.mark.embedded

CONTRACT = (ROOT / "docs/contract.md").read_text()
SECTIONS = {
    int(number): text
    for number, text in re.findall(r"^## (\d+)\. (.*?)(?=^## |\Z)", CONTRACT, re.MULTILINE | re.DOTALL)
}

_CITED = re.compile(r"contract\.md,? sections? (?P<numbers>\d+(?:(?:, | and | to )\d+)*)")
_LOOSE = re.compile(r'contract\.md(?!,? sections? \d|")')  # a path in quotes is no citation
_DECISION = re.compile(r"decisions/(\d{4}[\w-]*)")


# ---- citations


THIS = ROOT / "tests/test_contract.py"
NOT_OURS = {"var"}


@cache
def sources() -> dict[str, str]:
    """Return the Python files of the repository except this one, by path."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in NOT_OURS]
    paths = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths if path != THIS}


def cited_sections(text: str) -> set[int]:
    """Return the numbers of the sections that a text cites. `6 to 8` cites three."""
    cited: set[int] = set()
    for match in _CITED.finditer(text):
        for part in re.split(r", | and ", match["numbers"]):
            first, _, last = part.partition(" to ")
            cited.update(range(int(first), int(last or first) + 1))
    return cited


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("(docs/contract.md section 4)", {4}),
        ("docs/contract.md, section 4", {4}),
        ("docs/contract.md sections 2, 3 and 5", {2, 3, 5}),
        ("docs/contract.md sections 6 to 8 and 17", {6, 7, 8, 17}),
    ],
)
def test_citations_are_parsed(text: str, sections: set[int]) -> None:
    assert cited_sections(text) == sections


def test_sections_are_numbered_without_gaps_and_listed_at_the_top() -> None:
    listed = re.findall(r"^(\d+)\. \[(.+)\]\(#", CONTRACT, re.MULTILINE)

    assert list(SECTIONS) == list(range(1, len(SECTIONS) + 1))
    assert [(int(number), title) for number, title in listed] == [
        (number, text.partition("\n")[0]) for number, text in SECTIONS.items()
    ]


def test_every_cited_section_of_the_contract_exists() -> None:
    unknown = {name: cited_sections(text) - SECTIONS.keys() for name, text in sources().items()}

    assert {name: numbers for name, numbers in unknown.items() if numbers} == {}
    assert sum(bool(cited_sections(text)) for text in sources().values()) > 40


def test_every_citation_of_the_contract_names_a_section() -> None:
    assert [name for name, text in sources().items() if _LOOSE.search(text)] == []


def test_every_cited_decision_exists() -> None:
    decisions = {page.stem for page in (ROOT / "docs/decisions").glob("*.md")}
    cited = {name: set(_DECISION.findall(text)) for name, text in sources().items()}

    assert {name: pages - decisions for name, pages in cited.items() if pages - decisions} == {}
    assert any(cited.values())


def test_no_page_outside_the_repository_is_cited() -> None:
    outside = re.compile(r"CONTRACT\.md|DESIGN\.md|\.\./shared")

    assert [name for name, text in sources().items() if outside.search(text)] == []


# ---- endpoints, fields, codes


@cache
def openapi(surface: str) -> dict[str, Any]:
    """Return the committed document of a surface, which tests/test_openapi.py compares with the code."""
    document: dict[str, Any] = json.loads((ROOT / f"docs/openapi/{surface}.json").read_text())
    return document


def endpoints(number: int, base: str) -> set[str]:
    """Return the endpoints that a section names, as `METHOD /path`. Paths that are not below /api are below `base`."""
    found = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s]*)`", SECTIONS[number])
    return {f"{method} {path if path.startswith('/api/') else base + path}" for method, path in found}


@pytest.mark.parametrize(
    ("surface", "number", "base"), [("public", 7, "/api/v1"), ("internal", 8, "/api/v2")], ids=["public", "internal"]
)
def test_contract_has_exactly_the_endpoints(surface: str, number: int, base: str) -> None:
    served = {
        f"{method.upper()} {path}"
        for path, methods in openapi(surface)["paths"].items()
        for method in methods
        if path.startswith("/api/")
    }

    assert endpoints(number, base) == served


@pytest.mark.parametrize("surface", ["public", "internal"])
def test_every_service_endpoint_is_in_the_contract(surface: str) -> None:
    served = {f"GET {path}" for path in openapi(surface)["paths"] if not path.startswith("/api/")}

    assert served <= endpoints(18, "")


def fields(surface: str, endpoint: str) -> list[str]:
    """Return the fields of the object in an endpoint's response, which may be in an envelope and in a list."""
    method, path = endpoint.split()
    responses = openapi(surface)["paths"][path][method.lower()]["responses"]
    schema = _resolved(surface, responses["200"]["content"]["application/json"]["schema"])
    if list(schema.get("properties", {})) == ENVELOPE:
        schema = _resolved(surface, schema["properties"]["data"])
    if schema.get("type") == "array":
        schema = _resolved(surface, schema["items"])
    return list(schema["properties"])


def _resolved(surface: str, schema: dict[str, Any]) -> dict[str, Any]:
    while reference := schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", ())), None):
        schema = openapi(surface)["components"]["schemas"][reference.rpartition("/")[2]]
    if "oneOf" in schema:
        return _resolved(surface, schema["oneOf"][0])
    return schema


@pytest.mark.parametrize(
    ("named", "surface", "endpoint"),
    [
        ("user", "public", "POST /api/v1/auth/register"),
        ("tenant", "public", "GET /api/v1/tenants/{tenant_id}"),
        ("tenant", "internal", "GET /api/v2/tenants/{tenant_id}"),
        ("agent on v1", "public", "GET /api/v1/agents/{agent_id}"),
        ("agent on v2", "internal", "GET /api/v2/agents/{agent_id}"),
        ("key on v1", "public", "GET /api/v1/agents/{agent_id}/api_keys/{key_id}"),
        ("key in the envelope", "public", "GET /api/v1/api-keys/{key_id}"),
        ("key in the envelope", "internal", "GET /api/v2/api-keys/{key_id}"),
        ("template", "public", "GET /api/v1/templates/{template_id}"),
        ("template", "internal", "GET /api/v2/templates/{template_id}"),
        ("version of a config", "public", "GET /api/v1/agents/{agent_id}/config/versions"),
        ("personal access token", "public", "GET /api/v1/auth/tokens"),
        ("plugin setting", "public", "POST /api/v1/plugins/settings"),
        ("plugin setting", "internal", "POST /api/v1/plugins/settings"),
    ],
)
def test_fields_of_an_object_equal_the_openapi_document(named: str, surface: str, endpoint: str) -> None:
    row = re.search(rf"^\| {named} \| (.*) \|$", SECTIONS[9], re.MULTILINE)

    assert row is not None
    assert re.findall(r"`(\w+)`", row[1]) == fields(surface, endpoint)


def test_envelope_has_the_keys_of_the_contract_in_order() -> None:
    table = SECTIONS[8].partition("| key | type | |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == ENVELOPE


def test_contract_has_exactly_the_codes() -> None:
    documented = set(re.findall(r"^\| `([A-Z]+(?:_[A-Z0-9]+)*)`", SECTIONS[3], re.MULTILINE))
    verdicts = set(re.findall(r"^\|.*\| `(AUTH_\d{3})`", SECTIONS[4], re.MULTILINE))

    product = "\n".join(text for name, text in sources().items() if "tests/" not in name and "migrations/" not in name)
    numbered = set(re.findall(r'"((?:AUTH|TENANT|AGENT|KEY|ACTIVITY|SYS)_\d{3})"', product))
    worded = set(re.findall(r'^    code(?:: str)? = "([A-Z_]+)"$', product, re.MULTILINE))
    assert len(numbered) > 15
    assert len(worded) > 8
    assert {code for code in documented if not code.startswith("AUTH_0")} | verdicts == numbered | worded


def test_example_of_a_key_is_a_well_formed_key() -> None:
    example = dict(
        re.findall(r"^(\w+)  +(\S+)", SECTIONS[5].partition("```text\n")[2].partition("```")[0], re.MULTILINE)
    )
    unchecked = f"{example['tenant_id']}_{example['agent_id']}_{example['random']}"

    assert example["checksum"] == f"{zlib.crc32(unchecked.encode()):08x}"
    assert example["payload"] == f"{unchecked}{example['checksum']}_v2"
    assert b64decode(example["key"].removeprefix("mmc_")).decode() == example["payload"]
    parsed = keyformat.parse(example["key"])
    assert (parsed.tenant_id, parsed.agent_id) == (example["tenant_id"], example["agent_id"])
    assert keyformat.masked(parsed.hint) == example["masked"]

"""Each value in docs/config-fields.md, sent to a surface: what is stored of it, warned of and refused is what it says.

After a change of the schema that is meant: `make openapi`, and read the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from agents.tests import field_table
from agents.tests.api import AgentApi
from agents.tests.field_table import EXIT_CODES, PAGE, REFUSED, SAMPLES, WARNED, Row
from tests.support.configs import Config

pytestmark = pytest.mark.embedded

ROWS = field_table.read(PAGE.read_text(encoding="utf-8"))
STRICT = {"HTTP_PREFER": "handling=strict"}
Steps = list[str | int]


def test_page_matches_the_schema(write_snapshots: bool) -> None:
    if write_snapshots:
        PAGE.write_text(field_table.page(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == field_table.page(), "if the change is meant, run: make openapi"


@pytest.mark.django_db
@pytest.mark.parametrize("sample", SAMPLES)
def test_accepted_values_are_stored_with_the_warnings_of_the_table(api: AgentApi, sample: str) -> None:
    kept = [row for row in ROWS if row.outcomes[sample] != REFUSED]
    for bundle in bundles(kept):
        sent = config(bundle, {row.path: SAMPLES[sample] for row in bundle})
        expected = config(bundle, {row.path: EXIT_CODES.get(row.outcomes[sample], SAMPLES[sample]) for row in bundle})
        odd = sorted(written(steps_of(row.path, as_stored=True)) for row in bundle if row.outcomes[sample] == WARNED)

        answer = api.create().try_put(sent)

        assert (answer.status_code, answer["X-Config-Warnings"]) == (200, str(len(odd))), answer.content
        assert text(api.stored()) == text(as_stored(expected))
        state = api.state()
        again = api.data(api.send("PUT", f"/agents/{api.agent_id}", {"config": sent}))
        assert sorted(warning["path"] for warning in again["config_warnings"]) == odd
        assert text(again["config"]) == text(api.get())
        assert api.put(api.get()) == api.get()
        assert api.state() == state, "nothing is changed by sending it again, nor by sending back what is read"
        strict = api.create().try_put(sent, **STRICT)
        assert (strict.status_code, strict["Preference-Applied"]) == (400 if odd else 200, "handling=strict")
        assert api.stored() == ({} if odd else as_stored(expected))


@pytest.mark.django_db
@pytest.mark.parametrize("sample", SAMPLES)
def test_refused_values_are_named_and_not_stored(api: AgentApi, sample: str) -> None:
    api.create({"own": 1})
    before = api.state()
    for bundle in bundles([row for row in ROWS if row.outcomes[sample] == REFUSED]):
        answer = api.try_put(config(bundle, {row.path: SAMPLES[sample] for row in bundle}))

        body = answer.json()
        assert (answer.status_code, body["code"] if api.version == "v1" else body["error_code"]) == (400, "AGENT_004")
        errors = body["errors"] if api.version == "v1" else body["data"]["errors"]
        # Of an item without a name it is the name that is told.
        named = {path.removesuffix("[0].name") + "[0]" if path.endswith("[0].name") else path for path in errors}
        expected = {written(steps_of(row.path)) for row in bundle}
        assert named == {path.removesuffix(".name") for path in expected}
        assert api.state() == before


# ---- configs that hold a sample in each of several places


def steps_of(path: str, *, as_stored: bool = False) -> Steps:
    """Return the steps to the field of a row, through the first item of lists and through one task."""
    steps: Steps = []
    for name in re.sub(r"\[\]", ".[]", path).split("."):
        steps.append(0 if name == "[]" else "vlm" if name == "*" else name)
    if as_stored and steps[-1] == "provider_name":
        steps[-1] = "api_provider"
    return steps


def written(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def bundles(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Return the rows in groups that fit into one config."""
    left = list(rows)
    while left:
        taken: list[Row] = []
        later: list[Row] = []
        for row in left:
            (later if any(clash(row.path, other.path) for other in taken) else taken).append(row)
        yield taken
        left = later


def clash(one: str, other: str) -> bool:
    """Return whether one field contains the other, or defines the model name that the other needs."""
    steps = [steps_of(path, as_stored=True) for path in (one, other)]
    shorter = min(map(len, steps))
    is_a_model_and_its_name = {one.rpartition(".")[2], other.rpartition(".")[2]} == {"name", "model_list[]"}
    return steps[0][:shorter] == steps[1][:shorter] or is_a_model_and_its_name


def config(rows: Iterable[Row], values: dict[str, Any]) -> Config:
    found: Config = {}
    for row in rows:
        holder: Any = found
        steps = steps_of(row.path)
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            if following is None:
                value = values[row.path]
            elif following == 0:
                value = []
            else:
                value = {"name": "a"} if step == 0 and "model" in steps else {}
            if isinstance(holder, list):
                holder[:] = holder or [value]
                if following is None:
                    holder[0] = value
            elif following is None:
                holder[step] = value
            else:
                holder.setdefault(step, value)
            holder = holder[step]
    return found


def as_stored(sent: Config) -> Config:
    """With `provider_name` in its newer spelling."""
    found: Config = json.loads(json.dumps(sent))
    for item in found.get("config_overrides", {}).get("model", {}).get("models", []):
        if "provider_name" in item:
            item["api_provider"] = item.pop("provider_name")
    return found


def text(value: Any) -> str:
    """By which 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)

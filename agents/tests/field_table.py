"""The table in docs/config-fields.md: the values that each field takes, warns about and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from agent_config.schema.formats import TextFormat
from agent_config.schema.objects import MAX_ITEMS, OpenObject, schema_extra
from agent_config.schema.root import Root
from agent_config.schema.sections.models import ModelTasks
from tests.support.server import ROOT

PAGE: Path = ROOT / "docs/config-fields.md"

# The columns: a value of each JSON type, and those that may stand for another.
SAMPLES: dict[str, Any] = {"text": "text", '"1"': "1", "1": 1, "2.5": 2.5, "true": True, "[ ]": [], "{ }": {}}
TAKEN, WARNED, REFUSED = "taken", "**warned**", "refused"
EXIT_CODES: dict[str, Any] = {"stored as 1": 1, "stored as true": True}

_TYPES: dict[Any, tuple[str, dict[str, str]]] = {
    str: ("text", {"text": TAKEN, '"1"': TAKEN}),
    float: ("number", {'"1"': "stored as 1", "1": TAKEN, "2.5": TAKEN}),
    int: ("whole number", {'"1"': "stored as 1", "1": TAKEN, "2.5": WARNED}),
    bool: ("true or false", {"1": "stored as true", "true": TAKEN}),
    list: ("list", {"[ ]": TAKEN}),
    dict: ("object", {"{ }": TAKEN}),
}
_INTRODUCTION = """# What a config's fields hold

What becomes of a value in each known field of a [config](api.md#agent-config), in an agent's config as in a template's
and in a tenant's `agent_defaults`. This page is made from the schema (`make openapi`), and a test sends every value in
it.

- *taken*: stored and read back as it was sent. *stored as* another: a number that is written as a text, and 0 and 1 for
  false and true, are stored as what they mean. A text that says no number is refused for a number.
- *warned*: stored and read back as it was sent, and [told as a warning](api.md#warnings). With
  `Prefer: handling=strict` it is refused.
- *refused*: 400 `AGENT_004` that names the path, and nothing is written.
- `null` removes a field. In a list null is an item as any other.
- `[]` stands for each item of a list, `*` for each task. What this page does not name is kept as it is sent.
- The fields are those of `maibot-0.12`; `GET …/system/config-schema?version=maibot-1.2` has those of MaiBot 1.2.
- A model's `provider_name` is stored as its `api_provider`. Secrets read back as a mask.
"""


class Row(NamedTuple):
    """A field, or an item of a list; `path` as in `config_overrides.model.models[].name`."""

    path: str
    kind: str
    outcomes: dict[str, str]
    remarks: str


def page() -> str:
    """Return the whole page."""
    lines = [_INTRODUCTION, f"| | is | {' | '.join(f'`{name}`' if name != 'text' else name for name in SAMPLES)} | |"]
    lines.append("|---" * (len(SAMPLES) + 3) + "|")
    for row in rows():
        cells = [f"`{row.path}`", row.kind, *row.outcomes.values(), row.remarks]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def read(text: str) -> list[Row]:
    """Return the rows of the page."""
    found = []
    for line in text.splitlines():
        if line.startswith("| `"):
            path, kind, *cells, also = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.append(Row(path.strip("`"), kind, dict(zip(SAMPLES, cells, strict=True)), also))
    return found


def rows() -> Iterator[Row]:
    """Yield the rows for the schema."""
    yield from _rows_of_object(Root, "", is_held=True)


def _rows_of_object(kind: type[OpenObject], path: str, *, is_held: bool) -> Iterator[Row]:
    for name, field in kind.model_fields.items():
        if kind is not ModelTasks:
            yield from _rows(f"{path}.{name}".strip("."), field.annotation, field.metadata, field, is_held=is_held)
        elif name == "vlm":
            yield from _rows(f"{path}.*", field.annotation, field.metadata, field, is_held=is_held)


def _rows(path: str, annotation: Any, metadata: Any, field: FieldInfo | None, *, is_held: bool) -> Iterator[Row]:
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    within = annotation if isinstance(annotation, type) and not get_origin(annotation) else None
    within = within if within is not None and issubclass(within, OpenObject) else None
    origin = dict if within is not None else get_origin(annotation) or annotation
    kind, special = _TYPES[origin]
    outcomes = {name: special.get(name, REFUSED) for name in SAMPLES}
    told = list(_remarks(metadata, {} if field is None else schema_extra(field), outcomes))
    if not is_held:
        outcomes = {name: TAKEN if outcome == TAKEN else WARNED for name, outcome in outcomes.items()}
    kind = _exceptions(path, outcomes, told) or kind
    yield Row(path, kind, outcomes, "; ".join(told))
    if within is not None:
        yield from _rows_of_object(within, path, is_held=is_held)
    elif origin is list:
        is_named = path.endswith((".models", ".api_providers"))
        yield from _rows(f"{path}[]", get_args(annotation)[0], [], None, is_held=is_held and is_named)


def _exceptions(path: str, outcomes: dict[str, str], told: list[str]) -> str | None:
    """Add rules that are not in a field's type; return another kind for the field, or None."""
    texts = {"text": WARNED, '"1"': WARNED}
    if path == "persona":
        outcomes |= dict.fromkeys(texts, TAKEN)
        return "object or text"
    if path.endswith((".models[]", ".api_providers[]")):
        outcomes |= dict.fromkeys(SAMPLES, REFUSED)
        told.append("refused: without a name, or with one that occurs twice")
        return "object"
    if path.endswith(".model_list[]"):
        outcomes |= texts
        told.append("warned of: a name that no model has")
    if path.endswith(".learning_list[][]"):
        outcomes |= texts
        told.append("warned of: a first one that is no chat, nor empty for all")
    if path.endswith((".regex[]", "_regex[]")):
        told.append("refused: what does not compile, or could run for ever")
    return None


def _remarks(metadata: Any, said: dict[str, Any], outcomes: dict[str, str]) -> Iterator[str]:
    """Yield the remarks about a field's limits, and change the outcomes that they affect."""
    for each in metadata:
        if isinstance(each, TextFormat):
            yield f"warned of: other than {each.message.removeprefix('must be ').removeprefix('written ')}"
            outcomes |= {"text": WARNED, '"1"': WARNED}
        length = getattr(each, "max_length", None)
        if length and length != MAX_ITEMS:
            yield f"warned of: over {length} characters"
    low, high = said.get("x-minimum"), said.get("x-maximum")
    if low is not None:
        yield f"warned of: below {low}" + (f" or above {high}" if high is not None else "")
        for name in ("1", "2.5"):
            is_usual = low <= SAMPLES[name] <= (SAMPLES[name] if high is None else high)
            outcomes[name] = outcomes[name] if is_usual else WARNED
    if "x-enum" in said:
        yield f"warned of: other than {', '.join(said['x-enum'])}"
        outcomes |= {"text": WARNED, '"1"': WARNED}

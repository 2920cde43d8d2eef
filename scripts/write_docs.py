"""Write the generated parts of `docs/reference/`: every key, metric, message and command, from the code.

scripts/write_docs.py   # write
scripts/write_docs.py --check  # exit 1 if something is stale (a test runs this)

The prose of a page is written by hand; what stands between `<!-- generated: NAME -->` and `<!-- end -->` is made here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from typer.main import get_command

from inspector.box import Box
from inspector.cli import app
from inspector.command_table import COMMANDS
from inspector.commands.doors import every_command
from inspector.drafts import numbered
from inspector.frame import FileStamp, Frame
from inspector.http.app import described_app
from inspector.ids import Ids
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.labels import CLEAN
from inspector.messages import MESSAGE_TYPES, Body, Evidence, Moment, Uuid, encode, schema_file
from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle
from inspector.settings.described import (
    FORMS,
    REQUIRED,
    accepted,
    first_line,
    key_rows,
    section_models,
    table_name,
    toml_value,
)
from inspector.settings.source import SourceOptions
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

PAGES = Path(__file__).parents[1] / "docs" / "reference"
HELP_COLUMNS = 110
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def annotated_toml() -> str:
    """Return the annotated TOML with every key; keys without a default are commented out, and so are other kinds'."""
    lines = ["```toml"]
    for section, (model, *others) in section_models():
        says = first_line(SourceOptions if others else model)
        table = table_name(section, "# ")
        lines += ["", f"{table}  # {says}"] if len(lines) > 1 else [table]
        lines += key_lines(section, model)
        for other in others:
            lines += ["#", *(f"# {line.removeprefix('# ')}" for line in key_lines("", other, COMMON_KEYS))]
    return "\n".join([*lines, "```"])


COMMON_KEYS = set(SourceOptions.model_fields) - {"kind"}
"""Keys of every kind of source: shown once."""


def key_lines(section: str, model: type[BaseModel], shown: Set[str] = frozenset()) -> Iterator[str]:
    """Yield a line for each key that is not shown yet, what is read first."""
    keys = {key: entry for key, entry in model.model_fields.items() if key not in shown}
    for key in sorted(keys, key=lambda key: key not in ("kind", "path")):
        entry, dotted = keys[key], f"{section}.{key}"
        if dotted in REQUIRED:
            yield f"{key} = {REQUIRED[dotted]}  # {entry.description}"
        elif entry.default is None:
            yield f"# {key} =  # {entry.description}"
        else:
            yield f"{key} = {toml_value(entry.default)}  # {entry.description}"


def key_table() -> str:
    """Return what each key accepts, section by section, and which kinds of source use it where not all do."""
    lines = ["| key | accepts | default |", "| --- | --- | --- |"]
    for row in key_rows():
        kinds = f" ({', '.join(row.kinds)})" if row.kinds else ""
        default = row.default if row.default in ("required", "unset") else f"`{row.default}`"
        accepts = ", ".join(f"`{word}`" for word in row.words) if row.words else row.accepts
        lines.append(f"| `{row.name}` | {accepts}{kinds} | {default} |")
    return "\n".join(lines)


def _pattern(annotated: Any) -> str:
    return str(annotated.__metadata__[0].metadata[0].pattern)


FORMS.update({_pattern(Uuid): "UUID", _pattern(Moment): "time"})  # of messages


def metric_table() -> str:
    """Return every metric with its labels, their values, and the buckets of histograms."""
    card = load_bundle(find_bundle(DEFAULT_BUNDLE)).card
    rows = ["| metric | type | labels | what |", "| --- | --- | --- | --- |"]
    for metric in Metrics(CollectorRegistry(), card.defect_labels, card.severity).registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        kind = "gauge" if metric.type == "info" else metric.type
        values: dict[str, list[str]] = {}
        for sample in metric.samples:
            for label, value in sample.labels.items():
                if value not in values.setdefault(label, []):
                    values[label].append(value)
        buckets = values.pop("le", [])
        labels = "; ".join(f"`{label}`: {', '.join(sorted(found))}" for label, found in values.items())
        edges = f" Buckets: {', '.join(f'{float(edge):g}' for edge in buckets if edge != '+Inf')}." if buckets else ""
        rows.append(f"| `{metric.name}{suffix}` | {kind} | {labels} | {metric.documentation}{edges} |")
    return "\n".join(rows)


def message_tables() -> str:
    """Return every message: what it is, its schema file, and its keys; what all numbered ones have stands once."""
    keys = {topic: list(message_keys(kind)) for topic, kind in MESSAGE_TYPES.items()}
    numbered_topics = [topic for topic, kind in MESSAGE_TYPES.items() if kind in get_args(Body)]
    common = [row for row in keys[numbered_topics[0]] if all(row in keys[topic] for topic in numbered_topics)]
    parts = [_message_section(", ".join(numbered_topics), "These keys stand in each of them.", common)]
    for topic, kind in MESSAGE_TYPES.items():
        text = f"{first_line(kind)} `inspector/schemas/{schema_file(topic)}`"
        own = [row for row in keys[topic] if topic not in numbered_topics or row not in common]
        parts.append(_message_section(topic, text, own))
    return "\n".join(parts)


def _message_section(title: str, text: str, keys: Iterable[tuple[str, str, str]]) -> str:
    rows = [f"| `{name}` | {values} | {what} |" for name, values, what in keys]
    return "\n".join([f"### {title}", "", text, "", "| key | value | what |", "| --- | --- | --- |", *rows, ""])


def message_keys(kind: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of a message in order: name, accepted values, description; nested ones as `frame.epoch`."""
    schema = kind.model_json_schema(by_alias=True, mode="serialization")
    for key, entry in schema["properties"].items():
        inner = schema["$defs"][entry["$ref"].rpartition("/")[2]] if "$ref" in entry else {}
        yield (
            key,
            "object" if inner else accepted(entry, schema),
            entry.get("description", inner.get("description", "")),
        )
        for name, part in inner.get("properties", {}).items():
            yield f"{key}.{name}", accepted(part, schema), part.get("description", "")


def example_defect() -> str:
    """Return a defect message, made by the code that makes them."""
    tile, box = Box(0, 0, 200, 200), Box(84, 0, 29, 188)
    moment = datetime(2026, 3, 1, 3, 0, 0, 125_000, tzinfo=UTC)
    frame = Frame(np.zeros((200, 200), np.uint8), 4, 117, moment, 0.0, "example", "coil-7/000117.jpg", FileStamp(1, 1),
                  independent=True)  # fmt: skip
    defect = Defect("scratches", box, tile, 0.9871, CLEAN, 0.0068, 1)
    rules = TrackRules(Ids("inspector/site/line/cam1"), "site/line/cam1", "neu-fast@1.0+1a2b3c4d5e6f", "0f1e2d3c4b5a",
                       {"scratches": 0.6}, {"scratches": "major"})  # fmt: skip
    drafts = track(TrackState(), Inspection(frame, None, (tile,), (), (defect,)), rules)[1]
    digest = "9f2c1b7a4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8"
    defect_id = drafts[0].body.defect_id  # type: ignore[union-attr]
    evidence = Evidence(sha256=digest, url=f"/evidence/{defect_id}.jpg")
    body = numbered(drafts[0], "5b0d7f0e-3c55-4c8e-9a37-0a3f1f6f2d11", 4711, evidence)
    return "```json\n" + json.dumps(json.loads(encode(body)), indent=1, sort_keys=True) + "\n```"


def command_help() -> str:
    """Return the `--help` of each command, as plain text."""
    parts = []
    for name, command in every_command(get_command(app)):
        command.rich_markup_mode = None  # else a box as wide as the terminal
        context = command.context_class(command, info_name=f"inspector {name}", terminal_width=HELP_COLUMNS)
        parts.append(f"### inspector {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def plant_commands() -> str:
    """Return the table of commands that a running station takes."""
    rows = [
        "| command | keys | over MQTT unless configured | token over HTTP | does |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, kind in COMMANDS.items():
        schema = kind.model.model_json_schema()
        keys = "; ".join(f"`{key}`: {accepted(part, schema)}" for key, part in schema["properties"].items())
        words = ("yes" if kind.default else "no", "yes" if kind.needs_token else "no")
        rows.append(f"| `{name}` | {keys} | {' | '.join(words)} | {kind.summary} |")
    return "\n".join(rows)


PARTS = {
    "configuration": annotated_toml,
    "keys": key_table,
    "metrics": metric_table,
    "messages": message_tables,
    "example-defect": example_defect,
    "command-help": command_help,
    "plant-commands": plant_commands,
}
"""What stands in a block of this name."""


def written(text: str) -> str:
    """Return a page with its generated blocks as they are now.

    Raises:
        KeyError: A block that nothing generates.
    """
    return _BLOCK.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", text)


def main() -> int:
    """Write the pages, or name those that are stale."""
    check = "--check" in sys.argv
    stale = 0
    for page in sorted(PAGES.glob("*.md")):
        before = page.read_text("utf-8")
        after = written(before)
        if before != after:
            stale += 1
            sys.stderr.write(f"{'stale' if check else 'written'}: {page.name}\n")
            if not check:
                page.write_text(after, "utf-8")
    described = PAGES / "openapi.json"
    after = json.dumps(described_app().openapi(), indent=1, ensure_ascii=False) + "\n"
    if not described.is_file() or described.read_text("utf-8") != after:
        stale += 1
        sys.stderr.write(f"{'stale' if check else 'written'}: {described.name}\n")
        if not check:
            described.write_text(after, "utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())

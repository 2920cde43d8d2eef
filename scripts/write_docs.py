"""Write the generated parts of the README: every key with its default, the metric table, an example message.

.venv/bin/python scripts/write_docs.py          # write
.venv/bin/python scripts/write_docs.py --check   # exit 1 if something is stale (a test runs this)
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from inspector.box import Box
from inspector.drafts import numbered
from inspector.frame import FileStamp, Frame
from inspector.ids import Ids
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.labels import CLEAN
from inspector.messages import Evidence, encode
from inspector.settings.sections import Settings
from inspector.telemetry.metrics import Metrics
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

README = Path(__file__).parents[1] / "README.md"
REQUIRED = {"station.site": '"site"', "station.line": '"line"', "station.name": '"cam1"', "source.kind": '"folder"',
            "source.path": '"/srv/frames"'}  # fmt: skip


def toml_value(value: object) -> str:
    """Return a default as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def configuration() -> str:
    """Return the annotated TOML with every key; keys without a default are commented out."""
    lines = ["```toml"]
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)  # noqa: S101 - Settings is ours
        assert issubclass(kind, BaseModel)  # noqa: S101
        lines += ["", f"[{section}]  # {(kind.__doc__ or '').splitlines()[0]}"] if len(lines) > 1 else [f"[{section}]"]
        for key, entry in kind.model_fields.items():
            text = f"  # {entry.description}"
            dotted = f"{section}.{key}"
            if dotted in REQUIRED:
                lines.append(f"{key} = {REQUIRED[dotted]}{text}")
            elif entry.default is None:
                lines.append(f"# {key} ={text}")
            else:
                lines.append(f"{key} = {toml_value(entry.default)}{text}")
    return "\n".join([*lines, "```"])


def metrics() -> str:
    """Return the metric table."""
    found = Metrics(CollectorRegistry(), ("scratches",), {"scratches": "minor"}).registry.collect()
    rows = ["| metric | type | what |", "| --- | --- | --- |"]
    for metric in found:
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        kind = "gauge" if metric.type == "info" else metric.type
        rows.append(f"| `{metric.name}{suffix}` | {kind} | {metric.documentation} |")
    return "\n".join(rows)


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


def written(text: str) -> str:
    """Return the README with its generated parts as they are now."""
    for name, part in (
        ("configuration", configuration()),
        ("example:defect", example_defect()),
        ("metrics", metrics()),
    ):
        pattern = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, part=part: f"{match[1]}\n{part}\n{match[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    before = README.read_text("utf-8")
    after = written(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    README.write_text(after, "utf-8")

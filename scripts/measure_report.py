"""Measure the report of one coil with many defects: a store is generated, and the command is timed on it.

scripts/with-test python scripts/measure_report.py [DEFECTS]    # 200,000 unless given

The bounds are those that docs/reports.md states: 5 s for a coil of 2,000 defects, 30 s for 200,000.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock
from inspector.json_text import canonical_json
from inspector.messages import BoxPx, DefectMessage, Evidence, FrameRef, RunnerUp, Why, moment_fields
from inspector.store.entries import Entry
from inspector.store.schema import COLUMNS
from inspector.store.store import Store
from inspector.strip.record import CoilFacts, CoilRecord, Fingerprints, Stretch

LENGTH_M = 2000.0
WIDTH_MM = 1250.0
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
LABELS = (("scratches", "major"), ("patches", "minor"), ("inclusion", "critical"), ("rolled-in_scale", "minor"))
CONFIG = """
[station]
site = "measured"
line = "strip"
name = "cam1"
[source]
kind = "demo"
[store]
path = "{folder}/state"
[[report.surface_class]]
name = "A"
max_per_100m = {{ critical = 0 }}
"""


def main() -> int:
    """Generate, measure, and print one JSON line; returns 1 if a bound does not hold."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "station.toml"
        config.write_text(CONFIG.format(folder=folder), "utf-8")
        began = time.monotonic()
        generate(folder / "state", count)
        generated_s = time.monotonic() - began
        files = {kind: folder / f"coil.{kind}" for kind in ("html", "json", "csv")}
        command = [sys.executable, "-m", "inspector", "report", "7731", "--config", config]
        for kind, path in files.items():
            command += [f"--{kind}", path]
        began = time.monotonic()
        peak = run_measured(command)
        took_s = time.monotonic() - began
        found = json.loads(files["json"].read_text("utf-8"))
        result = {
            "defects": count,
            "reported": sum(one["count"] for one in found["defects"]),
            "on_map": sum(mark["count"] for mark in found["defect_map"]["marks"]),
            "generated_s": round(generated_s, 1),
            "report_s": round(took_s, 1),
            "peak_mb": peak,
            **{f"{kind}_kb": path.stat().st_size // 1000 for kind, path in files.items()},
        }
    sys.stdout.write(json.dumps(result) + "\n")
    whole = result["reported"] == result["on_map"] == count
    return 0 if whole and took_s <= (5 if count <= 2000 else 30) else 1


def run_measured(command: list[object]) -> int:
    """Run a command and return the most memory it had, MB."""
    code = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(done.returncode)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def generate(folder: Path, count: int) -> None:
    """Make a store with one coil of so many defects, from a seed."""
    store, chance = Store(folder, SystemClock(), 1 << 40), random.Random(7)  # noqa: S311 - seeded, not cryptographic
    record = CoilRecord(
        "7731", BEGAN, BEGAN + timedelta(minutes=20), CoilFacts(width_mm=WIDTH_MM), LENGTH_M, LENGTH_M - 30,
        (Stretch(400.0, 430.0, "paused", 60),), frames_fed=4000, frames_inspected=3940, frames_missed=60,
        position_source="lines", assessed=True, not_assessed=None, fingerprints=Fingerprints("neu@1", "c0ffee", "5afe"),
    )  # fmt: skip
    store.commit([Entry([], {}, coils=[record])])
    base = defect().model_dump(mode="json", by_alias=True)
    columns = ", ".join(COLUMNS)
    insert = f"INSERT INTO records ({columns}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
    with store.database.transaction() as db:
        db.executemany(insert, (row(number, base, chance) for number in range(count)))
    store.close()


def row(number: int, base: dict[str, Any], chance: random.Random) -> tuple[Any, ...]:
    """Return the record of one defect somewhere on the coil, as the store writes it."""
    label, severity = chance.choices(LABELS, (4, 8, 1, 6))[0]
    key = uuid.UUID(int=number + 1)
    position_m = round(chance.uniform(0, LENGTH_M), 3)
    changes = {
        "id": str(key), "defect_id": str(key), "seq": number + 1, "label": label, "severity": severity, "line": number,
        "position_m": position_m, "across_mm": round(chance.uniform(0, WIDTH_MM - 60), 1),
        "score": round(chance.uniform(0.5, 1), 4),
    }  # fmt: skip
    body = {**base, **changes}
    payload = canonical_json(body)
    return (
        key.bytes, number + 1, "defect", body["timestamp_ms"], key.bytes, label, severity, body["score"], "closed", 0,
        payload, zlib.crc32(payload), "7731", number, position_m * 1000,
    )  # fmt: skip


def defect() -> DefectMessage:
    """Return a message about a defect, which the others are made of."""
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, "defect"))
    why = Why(rule="threshold", key="decision.thresholds", threshold=0.5, score=0.9, margin=0.4, hits=1, window=1)
    return DefectMessage.model_construct(
        id=key, store_id="", seq=0, **moment_fields(BEGAN + timedelta(minutes=1)), station="measured/strip/cam1",
        coil_id="7731", bundle="neu@1", config="c0ffee", simulated=True, defect_id=key, phase="closed",
        frame=FrameRef(epoch=1, frame_id=1, source_key=None), box_px=BoxPx(x=10, y=20, width=60, height=40), line=0,
        lines=40, position_m=0.0, position_source="lines", across_mm=0.0, width_mm=30.0, length_mm=20.0,
        scale_source="configuration", label="scratches", score=0.9, runner_up=RunnerUp(label="clean", score=0.1),
        severity="major", alarm=False, why=why, tiles=1, frames=1, evidence=Evidence(sha256=None, url=None),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

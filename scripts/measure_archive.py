"""How long an archive of years takes to answer: Parquet made straight from a seed, then asked.

scripts/measure_archive.py --coils 10000 --defects 20000000 -o DIR   # write (2 GB), then ask
scripts/measure_archive.py -o DIR --ask                              # ask again

Prints one JSON line: the time for one coil, opening the archive included, for coils drawn from the same seed; and for a
Pareto of everything. Needs the extra `archive`. docs/years.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from inspector.years.asking import Archive
from inspector.years.files import arrow_schema, import_arrow, place_of, write_arrow
from inspector.years.gather import DAY_MS, Period
from inspector.years.pareto import BY, pareto

STATION = "mill/line1/top"
COILS_A_DAY = 40
FIRST_DAY = date(2025, 1, 1)
LABELS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
SEVERITIES = ("minor", "major", "critical")
ASKED = 40


def write_archive(folder: Path, seed: int, coils: int, defects: int) -> None:
    """Write coils, `COILS_A_DAY` of them a day, and their defects."""
    pa, chance = import_arrow(), np.random.default_rng(seed)
    each = defects // coils
    for number, first in enumerate(range(0, coils, COILS_A_DAY)):
        day = FIRST_DAY + timedelta(days=number)
        names = np.array([f"C{coil:06d}" for coil in range(first, min(coils, first + COILS_A_DAY))])
        midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        began = midnight_ms + np.arange(len(names)) * (DAY_MS // COILS_A_DAY)
        ended = began + DAY_MS // COILS_A_DAY - 1000
        length_m = chance.uniform(800, 2500, len(names)).round(2)
        rows = {"run": np.arange(first, first + len(names)), "coil_id": names, "began_at": began, "ended_at": ended,
                "length_m": length_m, "inspected_m": length_m, "coverage": np.ones(len(names)),
                "assessed": np.ones(len(names), bool), "defects": np.full(len(names), each)}  # fmt: skip
        _write(pa, folder, "coils", day, rows)
        count = each * len(names)
        which = np.repeat(np.arange(len(names)), each)
        position = chance.random(count)
        kinds = chance.choice(len(LABELS), count, p=(0.3, 0.25, 0.2, 0.1, 0.1, 0.05))
        ids = chance.bytes(16 * count).hex()
        rows = {
            "defect_id": np.array([ids[at : at + 32] for at in range(0, 32 * count, 32)]),
            "seq": np.arange(number * count, (number + 1) * count),
            "captured_at": (began[which] + position * (ended - began)[which]).astype(np.int64),
            "phase": np.full(count, "closed"), "coil_id": names[which], "label": np.array(LABELS)[kinds],
            "score": chance.uniform(0.5, 1, count).round(4), "alarm": chance.random(count) < 0.01,
            "severity": np.array(SEVERITIES)[chance.choice(3, count, p=(0.8, 0.17, 0.03))],
            "position_m": (position * length_m[which]).round(4), "across_mm": chance.uniform(0, 1500, count).round(2),
            "width_mm": chance.exponential(8, count).round(2), "length_mm": chance.exponential(20, count).round(2),
        }  # fmt: skip
        _write(pa, folder, "defects", day, rows)


def _write(pa: Any, folder: Path, table: str, day: date, columns: dict[str, Any]) -> None:
    schema, rows = arrow_schema(table), len(columns["coil_id"])
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    path = place_of(folder, table, STATION, day) / "seeded.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrow(path, pa.Table.from_arrays(arrays, schema=schema))


def ask(folder: Path, seed: int, coils: int) -> dict[str, Any]:
    """Return the times of the questions, in s."""
    chance, took, found = random.Random(seed), [], 0  # noqa: S311 - seeded
    for _ in range(ASKED):
        began = time.perf_counter()
        archive = Archive(folder)  # as a command does: nothing is open
        (run,) = archive.coil_runs(f"C{chance.randrange(coils):06d}")
        found += len(archive.coil_defects(run))
        took.append(time.perf_counter() - began)
    began = time.perf_counter()
    bars = pareto(Archive(folder).count(BY["class"], Period(0, 1 << 53)))
    whole_s = time.perf_counter() - began
    bytes_ = sum(path.stat().st_size for path in folder.glob("*/*/*/*.parquet"))
    return {
        "coils": coils, "defects": sum(bar.defects for bar in bars), "bytes": bytes_, "asked": ASKED,
        "defects_of_these": found, "coil_median_s": round(sorted(took)[ASKED // 2], 3),
        "coil_longest_s": round(max(took), 3), "pareto_of_all_s": round(whole_s, 3),
    }  # fmt: skip


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coils", type=int, default=10_000)
    parser.add_argument("--defects", type=int, default=20_000_000)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ask", action="store_true", help="Ask what lies there; write nothing.")
    given = parser.parse_args()
    if not given.ask:
        write_archive(given.output, given.seed, given.coils, given.defects)
    print(json.dumps(ask(given.output, given.seed, given.coils)))  # noqa: T201


if __name__ == "__main__":
    main()

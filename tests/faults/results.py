"""What the rows gave: one JSON file per row in `results/`, to which each run appends, and the table of the last ones.

A figure holds for the code it was measured on. A run keeps a hash of that code; when the code has changed, a test fails
until the row is run again, or until `python -m tests.faults --older` marks the figure, which the table then says.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.row import Point, Row
from tests.faults.rows import NAMES, load_row

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "guarantees.md"
_BLOCK = re.compile(r"(<!-- generated: faults -->\n).*?(<!-- end -->)", re.DOTALL)


def hash_of_code(judges: Sequence[str], package: Path = ROOT / "inspector") -> str:
    """Return sha256 over the modules below these places, without comments, docstrings and layout."""
    digest = hashlib.sha256()
    for place in judges:
        path = package / place
        assert path.exists(), f"no such code: {path}"
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package).as_posix()}\n".encode())
            digest.update(_outline(ast.parse(file.read_bytes())).encode())
    return digest.hexdigest()


def _outline(node: object) -> str:
    """Return a syntax tree as text that is the same in every release of Python."""
    if isinstance(node, list):
        return f"[{','.join(_outline(one) for one in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    body = fields.get("body")
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(body, list):
        is_text = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        fields["body"] = body[1:] if is_text and isinstance(body[0].value.value, str) else body
    said = (f"{name}={_outline(value)}" for name, value in fields.items() if value not in (None, []))
    return f"{type(node).__name__}({','.join(said)})"


def command_of(name: str, n: int, seed: int) -> str:
    """Return the command that measures a row again."""
    return f"python -m tests.faults {name} --n {n} --seed {seed}"


def sum_up(name: str, row: Row, points: Sequence[Point], asked: int, seed: int, seconds: float) -> dict[str, Any]:
    """Return the record of a run; points that were asked for and not tried are misses."""
    facts: dict[str, list[float]] = {}
    for point in points:
        for key, value in point.facts.items():
            facts.setdefault(key, []).append(value)
    skipped = asked - len(points)
    return {
        "row": name,
        "commit": _git("log", "-1", "--format=%H", "--", "inspector")
        + ("+changes" if _git("status", "--porcelain", "inspector") else ""),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "code": hash_of_code(row.judges),
        "judges": list(row.judges),
        "n": asked,
        "n_of_full_run": row.n,
        "seed": seed,
        "misses": skipped + sum(bool(point.misses) for point in points),
        "skipped": skipped,
        "missed": {str(point.number): list(point.misses) for point in points if point.misses},
        "facts": {key: round(_merged(key, values), 3) for key, values in sorted(facts.items())},
        "raised": list(row.raised),
        "seconds": round(seconds),
        "load": round(os.getloadavg()[1]),
        "cores": os.cpu_count(),
        "again": command_of(name, asked, seed),
    }


def _merged(key: str, values: Sequence[float]) -> float:
    if key.startswith("max_"):
        return max(values)
    return min(values) if key.startswith("min_") else sum(values)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def append(record: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Add a run to its row's file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{record['row']}.json"
    path.write_text(json.dumps([*runs_of(record["row"], folder), record], indent=1, ensure_ascii=False) + "\n", "utf-8")


def runs_of(name: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the runs of a row, oldest first."""
    path = folder / f"{name}.json"
    return list(json.loads(path.read_text("utf-8"))) if path.exists() else []


def shown_run(name: str) -> dict[str, Any] | None:
    """Return the run that the table shows: of the newest code measured, the largest one."""
    runs = runs_of(name)
    of_code = [run for run in runs if run["code"] == runs[-1]["code"]]
    return max(of_code, key=lambda run: int(run["n"]), default=None)


def is_stale(name: str) -> bool:
    """Say whether a row's figure is of other code than today's, and not marked so."""
    run = shown_run(name)
    return run is not None and not run.get("older") and run["code"] != hash_of_code(load_row(name).judges)


def mark_older() -> list[str]:
    """Mark the figures whose code has changed; returns their rows."""
    stale = [name for name in NAMES if is_stale(name)]
    for name in stale:
        runs = runs_of(name)
        for run in runs:
            run["older"] = run.get("older", False) or run["code"] != hash_of_code(load_row(name).judges)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return stale


def table(names: Iterable[str] = NAMES) -> str:
    """Return the table of all rows, as Markdown."""
    lines = ["| fault | n (full run) | seed | misses | figure to reach | measured | of |", "| --- |" + " --- |" * 6]
    for name in names:
        row, run = load_row(name), shown_run(name)
        if run is None:
            cells = [f"0 ({row.n:,})", "", "not measured", row.figure, row.known, ""]
        else:
            facts = ", ".join(f"{key.replace('_', ' ')} {value:,g}" for key, value in run["facts"].items())
            load = f"at load {run['load']} on {run['cores']} cores" if "load" in run else ""
            measured = "; ".join(part for part in (facts, load, *run["raised"], row.known) if part)
            of = f"{run['date'][:10]}, `{run['commit'][:7]}`" + (", older code" if run.get("older") else "")
            cells = [f"{run['n']:,} ({row.n:,})", str(run["seed"]), f"**{run['misses']:,}**", row.figure, measured, of]
        lines.append("| " + " | ".join([f"{row.fault} (`{name}`)", *cells]) + " |")
    return "\n".join(lines)


def written_page(text: str) -> str:
    """Return the page with today's table."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{table()}\n\n{found[2]}", text)

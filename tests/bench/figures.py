"""Committed figures of speed: what was measured, on which code, and the part of docs/speed.md that says it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.faults.results import ROOT, hash_of_code

FOLDER = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "speed.md"
PLOT = ROOT / "docs" / "img" / "speed.svg"
SOURCES = ("memory", "lines", "folder", "rtsp")
NAMES = (*(f"chain-{source}" for source in SOURCES), "stages", "peers")
JUDGES = ("inspection", "model", "pictures", "sources", "station", "store", "sinks", "track")
"""Code whose change makes a figure an older one."""
_BLOCK = re.compile(r"(<!-- generated: speed -->\n).*?(<!-- end -->)", re.DOTALL)


def read(name: str) -> dict[str, Any] | None:
    """Return a committed result, or None."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def write(name: str, result: dict[str, Any]) -> None:
    """Write a result with the code that it judges."""
    FOLDER.mkdir(exist_ok=True)
    record = {**result, "code": hash_of_code(JUDGES), "older": False}
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")


def is_stale(name: str) -> bool:
    """Whether the code has changed since, and the result does not say so."""
    result = read(name)
    return result is not None and not result["older"] and result["code"] != hash_of_code(JUDGES)


def mark_older() -> None:
    """Say of each result whose code has changed that it is an older one."""
    for name in NAMES:
        if is_stale(name) and (result := read(name)) is not None:
            (FOLDER / f"{name}.json").write_text(
                json.dumps({**result, "older": True}, indent=1, sort_keys=True) + "\n", "utf-8"
            )


def tables() -> str:
    """Return the tables of the page."""
    lines: list[str] = []
    chains = [chain for source in SOURCES if (chain := read(f"chain-{source}")) is not None]
    if chains:
        lines += [
            "| source | tiles/s | of the bare interpreter | of what decoding leaves | MiB | start, s | idle |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_capacity_row(chain) for chain in chains]
        lines += [
            "", "| source | load | tier | p50 / p90 / p99 / max, ms | dropped |", "| --- | --- | --- | --- | --- |",
            *(_load_row(chain, row) for chain in chains for row in chain["loads"]),
            "", f"{_when(chains[0])}, {chains[0]['cores']} cores, {chains[0]['broker']}; `python -m tests.bench`.", "",
        ]  # fmt: skip
    if (stages := read("stages")) is not None:
        lines += ["| stage | us a tile | of the bare interpreter |", "| --- | --- | --- |"]
        lines += [f"| {row['stage']} | {row['us_per_tile']} | {row['of_bare']} |" for row in stages["stages"]]
        lines += ["", f"{_when(stages)}; one thread.", ""]
    if (peers := read("peers")) is not None:
        lines += ["| beside | tiles/s | inspector scores so many times as many |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {row['tiles_per_s']} | {row['inspector_is_faster']} |" for name, row in peers["rows"].items()
        ]
        lines += ["", f"{_when(peers)}; one thread each, `python -m tests.bench.peers`."]
    return "\n".join(lines)


def _when(result: dict[str, Any]) -> str:
    age = ", on older code" if result["older"] else ""
    return f"Measured {result['at'][:10]}{age}: {result['cpu']}, {result['bundle']}"


def _capacity_row(chain: dict[str, Any]) -> str:
    capacity, idle = chain["capacity"], chain["idle_cores"]
    decoded = (
        f"{capacity['of_what_decoding_leaves']} ({capacity['decode_ms']} ms a frame)" if capacity["decode_ms"] else "–"
    )
    shown = "–" if idle is None else f"{100 * idle:.1f} %"
    return (
        f"| {chain['source']} | {capacity['tiles_per_s']} | {capacity['ratio']} | {decoded} | {capacity['rss_mib']} |"
        f" {chain['start_s']} | {shown} |"
    )


def _load_row(chain: dict[str, Any], row: dict[str, Any]) -> str:
    times = " / ".join("–" if row[key] is None else f"{row[key]:g}" for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms"))
    return f"| {chain['source']} | {row['load']:g} % | {row['tier']} | {times} | {row['dropped']} |"


def written_page(text: str) -> str:
    """Return the page with its generated part made anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{tables()}\n\n{found[2]}", text)

"""What `inspector bench --chain` prints, writes and draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log10
from pathlib import Path
from typing import Any

import typer

from inspector.bench.chain import SLOWEST_MS, run_chain
from inspector.bench.feeds import KINDS
from inspector.model.bundle import Bundle
from inspector.score.plot import BOTTOM, COLOURS, GREY, HEIGHT, INK, LEFT, RIGHT, WIDTH, Drawing, save

MOST_LOADS, MOST_PERCENT = 20, 1000
TIER_COLOURS = {"stable": "#2f7d4f", "degrading": "#b58900", "failing": "#b5321c"}
QUANTILES = ("p50_ms", "p90_ms", "p99_ms", "max_ms")


def bench_chain(
    bundle: Bundle,
    workers: int,
    source: str,
    load: str,
    seconds: float,
    output: Path | None,
    plot: Path | None,
    *,
    as_json: bool,
) -> str:
    """Measure, write what was asked for, and return what to print.

    Raises:
        typer.BadParameter: No such source, load, or kind of picture.
        ConfigError: What the source needs is not installed.
        OSError: A file cannot be written.
    """
    if source not in KINDS:
        raise typer.BadParameter(f"--source: {', '.join(KINDS)} are possible: {source}")
    if plot is not None and plot.suffix.lower() not in (".svg", ".png"):
        raise typer.BadParameter(f"--plot: a name that ends in .svg or .png is expected: {plot}")
    loads = _loads(load)
    for path in (output, plot):
        if path is not None and not path.parent.is_dir():
            raise typer.BadParameter(f"no such folder: {path.parent}")
    result = run_chain(bundle, workers, source, loads, seconds, _progress)
    if output is not None:
        output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    if plot is not None:
        save(draw_loads(result), plot)
    return json.dumps(result, sort_keys=True) if as_json else as_table(result)


def _progress(text: str) -> None:
    typer.echo(text, err=True)


def _loads(text: str) -> list[float]:
    """Return percents.

    Raises:
        typer.BadParameter: They are none.
    """
    try:
        loads = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise typer.BadParameter(f"--load: percents as 20,50,80 are expected: {text}") from exc
    if not 1 <= len(loads) <= MOST_LOADS or not all(0 < one <= MOST_PERCENT for one in loads):
        raise typer.BadParameter(
            f"--load: 1 to {MOST_LOADS} percents over 0 and up to {MOST_PERCENT} are expected: {text}"
        )
    return loads


def as_table(result: Mapping[str, Any]) -> str:
    """Return a result as text."""
    capacity = result["capacity"]
    lines = [
        f"{result['source']}: {capacity['frames_per_s']} frames/s, {capacity['tiles_per_s']} tiles/s, {result['cpu']}",
        f"of the bare interpreter ({result['bare_tiles_per_s']} tiles/s): {capacity['ratio']}"
        + (f"; of what decoding leaves {capacity['of_what_decoding_leaves']}" if capacity["decode_ms"] else ""),
        f"{capacity['rss_mib']} MiB, started in {result['start_s']} s"
        + (f", idle {100 * result['idle_cores']:.1f} % of a core" if result["idle_cores"] is not None else ""),
        "",
        f"{'load':>6}  {'tier':10}{'fed/s':>8}{'came/s':>8}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'max ms':>9}"
        f"{'dropped':>9}{'cores':>7}{'MiB':>7}",
    ]
    for row in result["loads"]:
        times = "".join(f"{'-' if row[key] is None else row[key]:>9}" for key in QUANTILES)
        lines.append(
            f"{row['load']:>5g}%  {row['tier']:10}{row['fed_per_s']:>8}{row['delivered_per_s']:>8}{times}"
            f"{row['dropped']:>9}{row['cores']:>7}{row['rss_mib']:>7}"
        )
        lines += [f"        told: {reason}" for reason in row["told"]]
    return "\n".join(lines)


def draw_loads(result: Mapping[str, Any]) -> Drawing:
    """Return latency by load, on a logarithmic scale, with the tier of each load."""
    drawing, rows = Drawing(), [row for row in result["loads"] if row["p50_ms"]]
    capacity = result["capacity"]
    drawing.word(
        WIDTH / 2, 20,
        f"{result['source']}: frame to message by load; 100 % = {capacity['frames_per_s']} frames/s,"
        f" {capacity['ratio']} of the bare interpreter", "middle",
    )  # fmt: skip
    if not rows:
        return drawing
    most = max(100.0, *(row["load"] for row in rows))
    low, high = 0, max(3, *(1 + int(log10(row["max_ms"])) for row in rows))
    top = 78

    def place(load: float, ms: float) -> tuple[float, float]:
        across, up = load / most, (log10(max(1.0, ms)) - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT - 30), HEIGHT - BOTTOM - up * (HEIGHT - top - BOTTOM)

    for decade in range(low, high + 1):
        ends = [place(0, 10.0**decade), place(most, 10.0**decade)]
        drawing.line(ends, GREY, 0.5)
        drawing.word(LEFT - 8, ends[0][1] + 4, f"{10**decade} ms", "end")
    drawing.line([place(0, SLOWEST_MS), place(most, SLOWEST_MS)], INK, 0.8, dashed=True)
    drawing.word(*place(0, SLOWEST_MS * 1.12), f" {SLOWEST_MS:g} ms")
    for number, key in enumerate(QUANTILES):
        drawing.line([place(row["load"], row[key]) for row in rows], COLOURS[number])
        for row in rows:
            drawing.dots.append((*place(row["load"], row[key]), COLOURS[number]))
        drawing.word(LEFT + 12 + 90 * number, 42, key.partition("_")[0], colour=COLOURS[number])
    for row in rows:
        x, y = place(row["load"], 1)
        drawing.word(x, y + 20, f"{row['load']:g} %", "middle")
        drawing.word(x, y + 36, row["tier"], "middle", TIER_COLOURS[row["tier"]])
    drawing.word(WIDTH / 2, HEIGHT - 6, f"load; {result['cpu']}, {result['workers']} workers", "middle")
    return drawing

"""The command `bench`: a tile's way, its stages, or a whole station under load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inspector.model.bundle import DEFAULT_BUNDLE


def bench(
    model: Annotated[str, typer.Option("--model", help="Bundle folder, or name of a shipped bundle.")] = DEFAULT_BUNDLE,
    workers: Annotated[int, typer.Option(min=0, max=64, help="0: one per core, at most 4.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to measure.")] = 10.0,
    stages: Annotated[bool, typer.Option("--stages", help="Microseconds of each stage of a tile's way.")] = False,
    chain: Annotated[bool, typer.Option("--chain", help="A whole station with store and broker, by load.")] = False,
    source: Annotated[str, typer.Option(help="What feeds the chain: memory, folder, lines or rtsp.")] = "memory",
    load: Annotated[str, typer.Option(help="Loads of the chain, percent of its capacity.")] = "20,50,80,95,120",
    output: Annotated[Path | None, typer.Option("--output", help="JSON to write.", show_default=False)] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture to write, .svg or .png: latency by load.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Measure how fast this machine inspects, beside the bare interpreter in the same run."""
    from inspector.bench.inspecting import run_bench
    from inspector.bench.stages import time_stages
    from inspector.model.bundle import find_bundle, load_bundle
    from inspector.settings.sections import Decision, Tiling
    from inspector.station.wiring import inspect_rules, worker_count

    if chain and stages:
        raise typer.BadParameter("not together with --chain", param_hint="--stages")
    if not chain and (output is not None or plot is not None):
        raise typer.BadParameter("--output and --plot keep the result of --chain")
    bundle = load_bundle(find_bundle(model))
    rules = inspect_rules(Tiling(), Decision(), bundle)
    if chain:
        from inspector.bench.report import bench_chain

        typer.echo(bench_chain(bundle, worker_count(workers), source, load, seconds, output, plot, as_json=as_json))
        return
    if stages:
        rows = time_stages(bundle, rules, seconds)
        if as_json:
            typer.echo(json.dumps({"bundle": bundle.short, "stages": [row.as_dict() for row in rows]}, sort_keys=True))
        else:
            typer.echo(f"{'stage':20}{'us a tile':>12}{'of bare':>10}")
            for row in rows:
                typer.echo(f"{row.stage:20}{row.us_per_tile:12.2f}{row.of_bare:10.3f}")
        return
    result = run_bench(bundle, rules, worker_count(workers), seconds)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), sort_keys=True))
    else:
        for key, value in result.as_dict().items():
            typer.echo(f"{key}: {value}")

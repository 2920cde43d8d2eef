"""The door of `inspector score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def score(
    messages: Annotated[str, typer.Argument(help="File of messages, folder of such files, or -.", show_default=False)],
    truth: Annotated[Path, typer.Option(help="What `simulate` wrote.", show_default=False)],
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Detection against size: .png or .svg.")] = None,
    station: Annotated[str | None, typer.Option(help="Of several stations, as site/line/name.")] = None,
    metres: Annotated[float | None, typer.Option(min=1e-6, help="Length, where the truth does not say.")] = None,
    speed_m_s: Annotated[float | None, typer.Option(min=1e-6, help="Of the strip, for operator hours.")] = None,
    mm_per_px: Annotated[float | None, typer.Option(min=1e-6, help="Where the truth does not say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Compare what a station published with what was there; exit 1: they do not fit together."""
    from inspector.score.plot import Series, draw_detection, save
    from inspector.score.reading import read_messages, read_truth
    from inspector.score.report import Given
    from inspector.score.report import score as score_run
    from inspector.score.table import table_lines

    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise typer.BadParameter(f"a file named .png or .svg is expected: {plot}", param_hint="--plot")
    known = read_truth(truth)
    report = score_run(known, read_messages(messages, known, station), Given(metres, speed_m_s, mm_per_px))
    if plot is not None:
        found = Series("found", report["by_size_px"], report["a90"])
        save(draw_detection([found], f"{report['recall']['k']} of {report['defects']} defects found"), plot)
    for line in [json.dumps(report, sort_keys=True)] if as_json else table_lines(report):
        typer.echo(line)

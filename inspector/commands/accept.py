"""The door of `inspector accept`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def accept(
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)],
    stability: Annotated[bool, typer.Option("--stability", help="Compare pictures and findings.")] = False,
    review: Annotated[bool, typer.Option("--review", help="Judge events by what people said.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Of --stability: this is the accepted state.")] = False,
    frames: Annotated[list[str] | None, typer.Option(metavar="PATH", help="Pictures; unset: the source.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, max=5000, help="Of --review: draw so many events, blind.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Of the sample.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="key.json of the sample that was answered.")] = None,
    answers: Annotated[list[Path] | None, typer.Option(metavar="PERSON.csv", help="An inspector's.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Of --review: start, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, not included.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Of --review: write a page, too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Accept a station after VDI/VDE/VDMA 2632: exit 1 if a figure left its bounds (--stability)."""
    from inspector.acceptance import review as reviews
    from inspector.acceptance import stability as figures
    from inspector.clock import SystemClock
    from inspector.commands.acceptance import check_stability, judge_events, review_page, write_sample
    from inspector.commands.years import period_of
    from inspector.errors import EXIT_FAILURE

    if stability == review:
        raise typer.BadParameter("one of --stability and --review is expected")
    if stability:
        found, facts = check_stability(config, SystemClock(), frames or [], record)
        if as_json:
            typer.echo(json.dumps({**facts, "figures": figures.as_dict(found)}, ensure_ascii=False))
        else:
            for line in figures.as_table(found) if found else [f"recorded: {facts['recorded']}"]:
                typer.echo(line)
        left = [one.name for one in found if one.good is False]
        if left:
            typer.echo(f"left the bounds of the accepted state: {', '.join(left)}", err=True)
            raise typer.Exit(EXIT_FAILURE)
        return
    period = period_of(since, until, None)
    if sample is not None:
        if output is None:
            raise typer.BadParameter("a folder is expected", param_hint="--output")
        typer.echo(
            f"{write_sample(config, period, sample, seed, output)} events: {output}/sheet.html, answers.csv, key.json"
        )
        return
    station, result = judge_events(config, period, key, answers or [])
    if html is not None:
        html.write_text(review_page(station, result), encoding="utf-8")
    for line in [json.dumps(result, ensure_ascii=False)] if as_json else reviews.as_table(result):
        typer.echo(line)

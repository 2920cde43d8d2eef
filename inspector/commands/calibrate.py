"""The door of `inspector calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inspector.errors import EXIT_FAILURE, InspectorError


def calibrate(
    picture: Annotated[Path, typer.Argument(help="Of a chessboard, or a grid of lines or dots.", show_default=False)],
    grid_mm: Annotated[
        float, typer.Option("--grid-mm", min=0.001, max=10_000, help="Side of a square, in mm.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture of what was found; unset: beside the picture.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Measure millimetres per pixel and per line in a picture of a test target; exit 1 if it shows none."""
    from inspector.commands.calibrated import as_dict, as_text, draw_found, measure_picture

    try:
        pixels, found = measure_picture(picture, grid_mm)
        drawn = output or picture.with_name(f"{picture.stem}-calibrated.png")
        drawn.write_bytes(draw_found(pixels, found))
    except InspectorError as exc:
        typer.echo(f"inspector: {exc}", err=True)
        raise typer.Exit(EXIT_FAILURE) from exc
    except OSError as exc:
        typer.echo(f"inspector: {exc.filename}: cannot be written: {exc.strerror}", err=True)
        raise typer.Exit(EXIT_FAILURE) from exc
    typer.echo(json.dumps(as_dict(found, drawn), sort_keys=True) if as_json else as_text(found, grid_mm, drawn))

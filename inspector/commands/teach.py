"""The door of `inspector teach`; what it does is in `commands.teacher`, which takes longer to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from inspector.errors import EXIT_FAILURE, EXIT_OK


def _read_numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else ()
    except ValueError as exc:
        raise typer.BadParameter(f"--strike takes numbers of the sheet, as 3,7: {text}") from exc


def teach(
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)],
    minutes: Annotated[float | None, typer.Option(min=0.1, help="The running station collects so long.")] = None,
    frames: Annotated[Path | None, typer.Option(help="Folder of good frames; no station has to run.")] = None,
    coils_by: Annotated[
        Literal["folder", "none"] | None, typer.Option(help="folder: a sub-folder is a coil; none: unknown.")
    ] = None,
    false_calls: Annotated[
        float | None,
        typer.Option(
            "--false-calls-per-km", min=1e-6, max=1e6,
            help="The aim, per side; for stills per 1,000 pictures. Unset: 0.5, stills 4.",
        ),
    ] = None,
    accepted: Annotated[bool, typer.Option("--accept", help="Let the (last) candidate count.")] = False,
    undone: Annotated[bool, typer.Option("--undo", help="Let the previous reference count again.")] = False,
    refitted: Annotated[bool, typer.Option("--refit", help="Fit anew from the kept tiles, for a new bundle.")] = False,
    struck: Annotated[
        str | None, typer.Option("--strike", help="Numbers on the sheet that are defects: fit without them.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="One that recipes name; unset: the station's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:  # fmt: skip
    """Teach the good surface of the site; exit 1: refused, with the reason."""
    from inspector.commands.teacher import Asked, Teacher, ask_to_teach

    by_folder = None if coils_by is None else coils_by == "folder"
    asked = Asked(frames, by_folder, false_calls, accepted, _read_numbers(struck))
    ways = [minutes is not None, frames is not None, undone, refitted, bool(asked.struck)]
    if sum(ways) > 1 or not (any(ways) or accepted) or (accepted and (undone or refitted)):
        raise typer.BadParameter("give one of --minutes, --frames, --strike, --accept, --undo and --refit")
    if minutes is not None and reference is not None:
        raise typer.BadParameter("a running station collects for its own reference: give --frames with --reference")
    if minutes is not None:
        outcome = ask_to_teach(config, minutes, asked)
    else:
        teacher = Teacher(config, reference)
        outcome = teacher.undo() if undone else teacher.refit() if refitted else teacher.teach(asked)
    for line in [json.dumps(outcome.values, sort_keys=True)] if as_json else outcome.lines:
        typer.echo(line)
    raise typer.Exit(EXIT_FAILURE if outcome.refused else EXIT_OK)

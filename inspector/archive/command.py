"""The command `archive`: coils that ended long ago to Parquet; pictures inspected again; two such runs compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.years import archive as move_coils
from inspector.model.bundle import DEFAULT_BUNDLE

archive = typer.Typer(invoke_without_command=True)


@archive.callback()
def _move(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
) -> None:
    """Move coils that ended long ago (store.archive_after_days) to Parquet; the station may run. For a timer.

    With inspect or compare: inspect an archive of pictures again on one machine or many, and compare two such runs.
    """
    if context.invoked_subcommand is not None:
        if config is not None or dry_run:
            raise typer.BadParameter(f"options of {context.invoked_subcommand} stand behind its name")
        return
    if config is None:
        raise typer.BadParameter("the TOML file of the station is expected", param_hint="--config")
    move_coils(config, dry_run)


@archive.command()
def inspect(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files, folders, s3://BUCKET/…", show_default=False)
    ],
    output: Annotated[str, typer.Option("--output", metavar="DIR", help="Where the tables go.", show_default=False)],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of a station.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Bundle folder, or a shipped bundle's name.")] = None,
    tiles: Annotated[bool, typer.Option("--tiles", help="Write a row a tile, too.")] = False,
    address: Annotated[str | None, typer.Option(metavar="ADDR", help="Ray cluster; unset: one of here.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut off.")] = False,
) -> None:
    """Inspect pictures into DIR/frames, defects and tiles (Parquet, by station and day), here or on a cluster."""
    from inspector.archive.order import Order
    from inspector.archive.run import inspect_archive
    from inspector.errors import EXIT_FAILURE

    if config is not None and model is not None:
        raise typer.BadParameter("not together with --config, which names the bundle", param_hint="--model")
    named = model or DEFAULT_BUNDLE
    if model is not None and Path(model).is_dir():
        named = str(Path(model).absolute())
    place = output if "://" in output else str(Path(output).absolute())
    order = Order(place, None if config is None else str(config.absolute()), named, tiles)
    given = [path if "://" in path else str(Path(path).absolute()) for path in paths]
    done = inspect_archive(given, order, address, resume, lambda text: typer.echo(text, err=True))
    typer.echo(json.dumps(done.as_dict(), sort_keys=True))
    if done.refused:
        typer.echo(f"inspector: {done.refused} pictures were refused: see `reason` in {place}/frames", err=True)
        raise typer.Exit(EXIT_FAILURE)


@archive.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="An inspected archive.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="DIR_B", help="The same, inspected otherwise.", show_default=False)],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with pictures.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it as JSON; -: print.")] = None,
    pictures: Annotated[int, typer.Option(min=0, max=500, help="Of the largest disagreements, on the page.")] = 24,
) -> None:
    """Show what B finds that A does not, what it loses, and what it names otherwise, by label and folder."""
    from inspector.archive.compare import as_table, compare_archives
    from inspector.archive.compare_page import write_page

    result = compare_archives(first, second, pictures)
    if as_json is not None:
        text = json.dumps(result.as_dict(), indent=1, ensure_ascii=False) + "\n"
        if str(as_json) == "-":
            typer.echo(text, nl=False)
        else:
            as_json.write_text(text, encoding="utf-8")
    if html is not None:
        write_page(result, html)
    if as_json is None and html is None:
        typer.echo(as_table(result))

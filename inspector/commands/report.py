"""The report of a coil, of a station that runs or is stopped: as a table, a page, JSON, or a list of sections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    coil: Annotated[str, typer.Argument(metavar="COIL", help="Its name, as the plant gave it.", show_default=False)],
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page: one file, to print.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it as JSON; -: print.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the list of sections with defects.")] = None,
    comma: Annotated[
        bool | None, typer.Option("--decimal-comma/--decimal-point", help="Of the CSV; unset: report.decimal_comma.")
    ] = None,
    run: Annotated[int | None, typer.Option(min=1, help="Of a coil that ran several times; unset: the last.")] = None,
    language: Annotated[str | None, typer.Option(metavar="en|de", help="Of the page; unset: report.language.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Make it from the records, though one is kept.")] = False,
) -> None:
    """Show a coil: its class, its defects, what was not inspected; of one that runs, so far."""
    from inspector.commands.coil_reports import find_report, table_lines, write_whole
    from inspector.pages.language import CODES
    from inspector.reports.sections import sections_csv
    from inspector.station.coil_report import make_page, read_pictures

    if language is not None and language not in CODES:
        raise typer.BadParameter(f"one of {', '.join(CODES)} is expected: {language}", param_hint="--language")
    found = find_report(config, coil, run, anew)
    if as_json is not None:
        text = json.dumps(found.report.as_json(), indent=1, ensure_ascii=False) + "\n"
        if str(as_json) == "-":
            typer.echo(text, nl=False)
        else:
            write_whole(as_json, text)
    if csv is not None:
        decimal_comma = found.settings.report.decimal_comma if comma is None else comma
        write_whole(csv, sections_csv(found.report, decimal_comma))
    if html is not None:
        pictures = read_pictures(found.report, found.folder, found.kept)
        write_whole(html, make_page(found.settings, found.report, pictures, language))
    if html is None and as_json is None and csv is None:
        for line in table_lines(found.report):
            typer.echo(line)

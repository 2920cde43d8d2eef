"""The doors of `inspector export`, `archive` and `pareto`: what was found over days and years."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from inspector.years.gather import Period

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Start, ISO 8601, UTC; unset: the first.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, not included; unset: the end of today.")]
CoilOption = Annotated[str | None, typer.Option(metavar="ID", help="Only of this coil.")]
By = Literal["class", "shift", "crew", "roll", "product", "station", "side", "severity"]


def period_of(since: str | None, until: str | None, coil: str | None) -> Period:
    """Return the period of `--from`, `--to` and `--coil`."""
    from inspector.clock import SystemClock, to_timestamp_ms
    from inspector.commands.forget import parse_time
    from inspector.errors import ConfigError
    from inspector.years.gather import DAY_MS, Period

    from_ms = 0 if since is None else to_timestamp_ms(parse_time("--from", since))
    today = to_timestamp_ms(SystemClock().now()) // DAY_MS
    to_ms = (today + 1) * DAY_MS if until is None else to_timestamp_ms(parse_time("--to", until))
    if to_ms <= from_ms:
        raise ConfigError(f"--to must lie after --from: {until or 'now'} <= {since}")
    return Period(from_ms, to_ms, coil)


def export(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder.", show_default=False)],
    since: From = None,
    until: To = None,
    coil: CoilOption = None,
    kind: Annotated[Literal["parquet", "csv"], typer.Option("--format", help="Of the files.")] = "parquet",
) -> None:
    """Write frames, defects and coils as DIR/TABLE/station=…/date=…/*.parquet, or CSV; the station may run."""
    from inspector.errors import ConfigError
    from inspector.settings.loading import load_settings
    from inspector.years.export import export as write

    done = write(load_settings(config).settings, config, period_of(since, until, coil), kind, output)
    if coil is not None and not any(done.rows.values()):
        raise ConfigError(f"--coil: nothing is kept of this coil in the period: {coil!r}")
    typer.echo(json.dumps(done.as_dict(), sort_keys=True))


def archive(
    config: ConfigFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
) -> None:
    """Move coils that ended long ago (store.archive_after_days) to Parquet; the station may run. For a timer."""
    from inspector.clock import SystemClock
    from inspector.settings.loading import load_settings
    from inspector.years.mover import move_coils

    moved = move_coils(load_settings(config).settings, config, SystemClock(), dry_run)
    typer.echo(json.dumps(moved.as_dict(), sort_keys=True))


def pareto(
    config: Annotated[list[Path], typer.Option("--config", "-c", help="TOML file; may be given several times.")],
    by: Annotated[By, typer.Option(help="What defects are counted by.")] = "class",
    since: From = None,
    until: To = None,
    coil: CoilOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw it there.")] = None,
) -> None:
    """Count defects by class, shift, crew, roll, product or station, the most frequent first; archived ones, too."""
    from inspector.years.answers import count_defects
    from inspector.years.pareto import as_svg, as_table
    from inspector.years.pareto import pareto as bars_of

    bars = bars_of(count_defects(config, by, period_of(since, until, coil)))
    if picture is not None:
        title = f"Defects {since or ''} – {until or 'now'}" + (f", coil {coil}" if coil else "")
        picture.write_text(as_svg(bars, by, title), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps([bar.as_dict() for bar in bars], ensure_ascii=False))
    else:
        for line in as_table(bars, by):
            typer.echo(line)


def shift(
    config: ConfigFile,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="A moment in it; unset: the last that ended.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a page, too.")] = None,
) -> None:
    """Print the report of a shift as JSON; a station writes each into shifts/ by itself when it ends."""
    from contextlib import closing

    from inspector.clock import SystemClock
    from inspector.commands.forget import parse_time
    from inspector.errors import ConfigError
    from inspector.settings.loading import load_settings
    from inspector.years.export import open_period_reader
    from inspector.years.shift_report import as_html, as_json, shift_report
    from inspector.years.shifts import Shifts

    settings = load_settings(config).settings
    shifts = Shifts(settings.plant)
    if not shifts:
        raise ConfigError("plant.shifts is not set")
    found = shifts.ended(SystemClock().now(), 1)[0] if at is None else shifts.at(parse_time("--at", at))
    assert found is not None  # noqa: S101 - shifts are the whole day
    with closing(open_period_reader(settings, config)) as reader:
        report = shift_report(reader, found, shifts, settings.station.text)
    if html is not None:
        html.write_text(as_html(report, shifts), encoding="utf-8")
    typer.echo(as_json(report), nl=False)

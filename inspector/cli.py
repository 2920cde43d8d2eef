"""The command line. Each command is a thin shell around a module; exit codes are those of `errors`."""

from __future__ import annotations

import os
import signal
import sys

# Before all that takes long to import: a stop that comes so early is one, too, and leaves nothing to tidy.
if sys.argv[1:2] in (["run"], ["demo"]):
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, lambda *_: os._exit(0))
if sys.argv[1:2] == ["run"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the configuration is not read yet

import json
import logging
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import structlog
import typer

import inspector
from inspector.archive.command import archive
from inspector.bench.command import bench
from inspector.command_table import COMMANDS
from inspector.commands.calibrate import calibrate
from inspector.commands.consume import consume
from inspector.commands.doors import add_to as add_years_to
from inspector.commands.learn import add_to
from inspector.commands.report import report
from inspector.commands.score import score
from inspector.commands.simulate import simulate
from inspector.commands.teach import teach
from inspector.errors import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, InspectorError, SourceError
from inspector.model.bundle import DEFAULT_BUNDLE
from inspector.telemetry.log_stream import LogStream, open_stderr

app = typer.Typer(
    help="Real-time surface inspection: frames in, defects out over MQTT, metrics for Prometheus.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)]
ModelOption = Annotated[str, typer.Option("--model", help="Bundle folder, or name of a shipped bundle.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def set_up_logging(environ: dict[str, str] | None = None) -> LogStream:
    """Log one line per event to standard error, which is returned: for people on a terminal, JSON elsewhere."""
    stderr = open_stderr()
    journal = "JOURNAL_STREAM" in (environ or os.environ)
    pretty = sys.stderr.isatty() and not journal
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not pretty else _unchanged,
            structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(sort_keys=True),
            _with_priority if journal else _unchanged,
        ],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stderr)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return stderr


def _with_priority(_: Any, method: str, line: Any) -> Any:
    """Put the priority that the journal reads before a line (sd-daemon(3)), so that `journalctl -p warning` works."""
    return {"warning": "<4>", "error": "<3>", "exception": "<3>", "critical": "<2>"}.get(method, "<6>") + str(line)


def _unchanged(_: Any, __: str, event: Any) -> Any:
    return event


_say = typer.echo


def _version(wanted: bool) -> None:
    if wanted:
        _say(f"inspector {inspector.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Take options that belong to no command."""


@app.command()
def run(config: ConfigOption) -> None:
    """Run the daemon: it waits for what is missing, and ends only when asked to."""
    from inspector.station.run import run_daemon

    raise typer.Exit(run_daemon(config))


@app.command()
def check(
    config: Annotated[list[Path], typer.Option("--config", "-c", help="TOML file; may be given several times.")],
    as_json: JsonOption = False,
) -> None:
    """Check configuration, bundle, source and broker; exit 0 good, 1 unreachable, 78 refused."""
    from inspector.commands.check import check_files

    reports = check_files(config)
    if as_json:
        _say(json.dumps([report.as_dict() for report in reports], indent=1, sort_keys=True))
    else:
        for report in reports:
            _say(report.path)
            for key, shown in sorted(report.values.items()):
                if shown["origin"] != "default":
                    _say(f"  {key} = {json.dumps(shown['value'])}  ({shown['origin']})")
            if report.values:
                defaults = sum(shown["origin"] == "default" for shown in report.values.values())
                _say(f"  {defaults} keys at their defaults (--json shows them)")
            for mark, findings in (
                ("ok", report.good),
                ("note", report.notes),
                ("unreachable", report.unreachable),
                ("REFUSED", report.refused),
            ):
                for finding in findings:
                    _say(f"  {mark}: " + finding.replace("\n", "\n    "))
    codes = {report.exit_code for report in reports}
    raise typer.Exit(EXIT_REFUSED if EXIT_REFUSED in codes else EXIT_FAILURE if EXIT_FAILURE in codes else EXIT_OK)


@app.command()
def example() -> None:
    """Print a configuration with every key, commented, at its default: inspector example > station.toml."""
    from inspector.settings.described import EXAMPLE

    typer.echo(EXAMPLE.read_text("utf-8"), nl=False)


@app.command()
def keys(
    word: Annotated[str | None, typer.Argument(help="Section, key, or a word; unset: all.", show_default=False)] = None,
) -> None:
    """Look keys of the configuration up: what each is, accepts, and is by default."""
    from inspector.commands.keys import find_keys, key_lines

    try:
        rows = find_keys(word)
    except LookupError as exc:
        raise typer.BadParameter(str(exc)) from exc
    for line in key_lines(rows):
        _say(line)


@app.command()
def do(
    name: Annotated[str, typer.Argument(help=f"Command: {', '.join(COMMANDS)}.")],
    config: ConfigOption,
    pairs: Annotated[list[str] | None, typer.Argument(metavar="key=value ...", help="What it is given.")] = None,
) -> None:
    """Send a command to the running station and show its reply; exit 1 if it does not answer or refuses."""
    from inspector.commands.do import ask_station, read_pairs

    try:
        payload = read_pairs(name, pairs or [])
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    reply = ask_station(config, name, payload)
    _say(json.dumps(reply, sort_keys=True))
    raise typer.Exit(EXIT_OK if reply.get("ok") else EXIT_FAILURE)


@app.command()
def probe(
    config: ConfigOption,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long to look.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Open the source and show what arrives: size, rate, format, health. Nothing is stored or moved."""
    from inspector.commands.probe import probe_station

    result = probe_station(config, seconds)
    if as_json:
        _say(json.dumps(result.as_dict(), sort_keys=True))
    else:
        for key, value in result.as_dict().items():
            if value not in (None, "", {}):
                _say(f"{key}: {json.dumps(value) if isinstance(value, dict) else value}")
    raise typer.Exit(EXIT_OK if result.frames else EXIT_FAILURE)


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(help="Pictures, or directories of pictures.", show_default=False)],
    model: ModelOption = DEFAULT_BUNDLE,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Decide as this station does.")] = None,
    heat: Annotated[Path | None, typer.Option("--heat", metavar="DIR", help="Draw the distance of each there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on a terminal, too.")] = False,
) -> None:
    """Print a line per picture: JSON, or on a terminal a table."""
    from inspector.commands.classify import TABLE_HEAD, classify_file, open_judge, table_line
    from inspector.pictures.files import expand_paths

    if config is not None and model != DEFAULT_BUNDLE:
        raise typer.BadParameter("not together with --config, which names the bundle", param_hint="--model")
    judge = open_judge(model, config, heat)
    as_table = sys.stdout.isatty() and not as_json
    refused = seen = 0
    try:
        if judge.trouble is not None:
            typer.echo(f"the reference is not used: {judge.trouble}", err=True)
        for name in expand_paths(paths):
            row = classify_file(name, judge)
            seen += 1
            refused += "error" in row
            if as_table and seen == 1:
                _say(TABLE_HEAD)
            _say(table_line(row) if as_table else json.dumps(row, ensure_ascii=False))
    finally:
        judge.pool.close()
    if not seen:
        raise SourceError(f"no pictures in {', '.join(paths)}")
    raise typer.Exit(EXIT_FAILURE if refused else EXIT_OK)


@app.command()
def card(
    bundle: Annotated[str, typer.Argument(help="Bundle folder, or name of a shipped bundle.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write there; unset: replace it.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Prove what lies there, though it does not hold.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove a bundle's card: write format 2 from a bundle of format 1, or after an edit on purpose."""
    from inspector.commands.card import prove_card

    proven = prove_card(bundle, output, accept=accept)
    if as_json:
        _say(json.dumps(proven.as_dict(), sort_keys=True))
        return
    done = "written" if proven.written else "holds, nothing to write"
    _say(f"{proven.root}: {done}: {proven.card.schema_}, {proven.tiles} golden tiles, sha256 {proven.card.sha256}")
    if proven.card.golden_unreached:
        _say(f"  no golden tile proves {', '.join(proven.card.golden_unreached)}: none was found that it names so")


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="Folder of stills, video file, or line file.", show_default=False)],
    config: ConfigOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Messages, one JSON line each.", show_default=False)],
) -> None:
    """Write the messages of recorded frames: byte-identical on every run."""
    from inspector.commands.replay import replay_path

    count = replay_path(path, config, output)
    typer.echo(f"{count} messages written to {output}", err=True)


@app.command()
def records(
    config: ConfigOption,
    seq: Annotated[str | None, typer.Option(metavar="A-B", help="Numbers; unset: the newest 50.")] = None,
    people: Annotated[bool, typer.Option("--people", help="List what people did instead.")] = False,
    coil: Annotated[str | None, typer.Option(metavar="ID", help="What people did while it ran.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what a station has stored, by number: a stopped station's, or a running one's."""
    from inspector.commands.records import actions_as_table, as_table, read_range, stored_actions, stored_rows

    if people or coil is not None:
        actions = stored_actions(config, coil)
        for line in (json.dumps(one, ensure_ascii=False) for one in actions) if as_json else actions_as_table(actions):
            _say(line)
        return
    rows = stored_rows(config, read_range(seq))
    for line in (json.dumps(row._asdict()) for row in rows) if as_json else as_table(rows):
        _say(line)


@app.command()
def forget(
    config: ConfigOption,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Start, ISO 8601, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, not included.")] = None,
    person: Annotated[str | None, typer.Option("--person", metavar="NAME", help="Remove only a person's name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """Delete what a stopped station stored during a period: records, delivered messages, candidates, pictures."""
    from inspector.commands.forget import forget_name, forget_period, parse_time

    if person is not None:
        if not (dry_run or yes):
            typer.confirm(f"Remove the name {person}? It cannot be brought back.", abort=True, err=True)
        _say(json.dumps(forget_name(config, person, dry_run), ensure_ascii=False))
        return
    if since is None or until is None:
        raise typer.BadParameter("--from and --to belong together, or --person alone")
    period = parse_time("--from", since), parse_time("--to", until)
    if dry_run or not yes:
        planned = forget_period(config, *period, dry_run=True).as_dict()
        if dry_run:
            _say(json.dumps({**planned, "dry_run": True}))
            return
        what = "{records} records and {pictures} pictures from {from} until {to} in {store}".format(**planned)
        typer.confirm(f"Delete {what}? They cannot be brought back.", abort=True, err=True)
    _say(json.dumps(forget_period(config, *period).as_dict()))


@app.command()
def backup(
    config: ConfigOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Archive: .tar, .tar.gz, .tar.xz.", show_default=False)
    ],
    with_secrets: Annotated[bool, typer.Option("--with-secrets", help="Contain passwords, keys and tokens.")] = False,
) -> None:
    """Write a station's configuration, bundle, evidence and store to one file; the station may run."""
    from inspector.commands.backup import back_up

    _say(json.dumps(back_up(config, output, with_secrets).as_dict(), sort_keys=True))


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="File of `inspector backup`.", show_default=False)],
    config_dir: Annotated[Path, typer.Option("--config-dir", help="Where the configuration goes.")] = Path(
        "/etc/inspector"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace what is there; a store is set aside.")] = False,
) -> None:
    """Put a station from its archive in place: it continues, and delivers nothing twice under another id."""
    from inspector.commands.restore import restore as restore_archive

    _say(json.dumps(restore_archive(archive, config_dir, force).as_dict(), sort_keys=True))


app.add_typer(archive, name="archive")
for _command in (calibrate, teach, simulate, score, consume, report, bench):
    app.command()(_command)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End after this time; unset: until Ctrl-C.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No screen, one JSON line at the end.")] = False,
    broker: Annotated[str | None, typer.Option(help="HOST:PORT; unset: one of its own on loopback.")] = None,
    images: Annotated[Path | None, typer.Option(help="Compose the strip from pictures in DIR/<label>/.")] = None,
) -> None:
    """Show the whole chain on a drawn steel strip; nothing else has to be installed or configured."""
    from inspector.demo.run import run_demo

    raise typer.Exit(run_demo(seconds, headless, broker, images))


add_to(app)
add_years_to(app)


def main() -> None:
    """Run the command line; our own errors become one line and their exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    stderr = set_up_logging()
    try:
        app()
    except InspectorError as exc:
        stderr.write(f"inspector: {exc}\n")  # after the log, and whether or not it can be written
        sys.exit(exc.exit_code)
    except OSError as exc:  # a file or folder that was named cannot be used
        if exc.filename is None:
            raise
        stderr.write(f"inspector: {os.fsdecode(exc.filename)}: {exc.strerror}\n")
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()

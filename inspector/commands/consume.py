"""The door of `inspector consume`; what it does is in `inspector.consume`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def consume(
    broker: Annotated[str, typer.Option(metavar="HOST:PORT", help="The broker.", show_default=False)],
    root: Annotated[list[str], typer.Option(help="Topic root of a station; + is any one level.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.sqlite3 or FILE.jsonl.", show_default=False)],
    client_id: Annotated[str | None, typer.Option(help="Names the session; unset: by roots and file.")] = None,
    username: Annotated[str | None, typer.Option(help="User at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password, one line.")] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="Set it for a broker on another host.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="CA of the broker's certificate; unset: the system's.")] = None,
    cert_file: Annotated[Path | None, typer.Option(help="Client certificate.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    protocol: Annotated[str, typer.Option(help="Version of MQTT: 5 or 3.1.1.")] = "5",
    station: Annotated[str | None, typer.Option(metavar="URL", help="Ask here, not over the broker.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Token of that listener.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after this time; unset: on a signal.")] = None,
) -> None:
    """Keep every message of stations once, in a file; ask for those that are missing, and count what stays missing."""
    from inspector.consume.run import consume as keep_messages

    account = keep_messages(
        broker, root, output, client_id=client_id, seconds=seconds, station=station, token_file=token_file,
        protocol=protocol, username=username, password_file=password_file, tls=tls, ca_file=ca_file,
        cert_file=cert_file, key_file=key_file,
    )  # fmt: skip
    typer.echo(json.dumps(account.as_dict(), sort_keys=True))

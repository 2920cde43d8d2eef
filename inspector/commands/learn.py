"""The doors of `inspector learn` and `inspector forget-label`: a label of the site's own from a few pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="TOML file of the station.", show_default=False)]


def learn(
    label: Annotated[str, typer.Argument(help="Its name: a-z, 0-9, hyphen, underscore.", show_default=False)],
    paths: Annotated[list[str], typer.Argument(help="5 to 50 pictures, or directories of them.", show_default=False)],
    config: ConfigFile,
) -> None:
    """Teach a label of your own from 5 to 50 pictures; exit 1: refused, with the reason."""
    from inspector.commands.learner import learn_label

    for line in learn_label(label, paths, config, lambda text: typer.echo(text, err=True)):
        typer.echo(line)


def forget_label(
    label: Annotated[str, typer.Argument(help="One that was taught with `learn`.", show_default=False)],
    config: ConfigFile,
) -> None:
    """Delete a label that was taught with `learn`; exit 1: there is none, or the configuration names it."""
    from inspector.commands.learner import forget_own_label

    typer.echo(forget_own_label(label, config))


def add_to(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(learn)
    app.command("forget-label")(forget_label)

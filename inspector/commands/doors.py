"""The commands about years, several cameras and acceptance, as the command line takes them."""

from __future__ import annotations

import typer

from inspector.commands.accept import accept
from inspector.commands.strip import strip
from inspector.commands.years import export, pareto, shift


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (export, pareto, shift, strip, accept):
        app.command()(command)

"""The commands about years, several cameras and acceptance, as the command line takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from inspector.commands.accept import accept
from inspector.commands.strip import strip
from inspector.commands.years import export, pareto, shift


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (export, pareto, shift, strip, accept):
        app.command()(command)


def every_command(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each command with its name, those of a group behind it."""
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if hasattr(command, "commands"):
            yield from every_command(command, f"{above}{name} ")

"""Commands that give a finished bundle something more; they train nothing, and the daemon's proof is made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

renewal = typer.Typer()
console = Console(stderr=True)


@renewal.command()
def places(
    bundle_folder: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a shipped one's name.")],
    version: Annotated[str, typer.Option(help="Version in the new card.")],
    output: Annotated[Path | None, typer.Option(help="Bundle folder to write; default: replace it.")] = None,
) -> None:
    """Give a bundle of a previous version the outputs of which a station learns its good surface; trains nothing."""
    from training.bundle.places import add_places

    card = add_places(bundle_folder, version, output)
    console.print(f"{card.name} {card.version}: outputs {', '.join(sorted(card.main.outputs))}")


@renewal.command()
def rough(
    bundle_folder: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a shipped one's name.")],
    data: Annotated[Path, typer.Option(help="Data set: a folder or a zip file.", envvar="INSPECTOR_TRAINING_DATA")],
    version: Annotated[str, typer.Option(help="Version in the new card.")],
    output: Annotated[Path | None, typer.Option(help="Bundle folder to write; default: replace it.")] = None,
) -> None:
    """Let a bundle know its labels blurred, turned and noisy, too, so that these are not unknown; trains nothing."""
    from training.bundle.rough import know_rough_pictures

    card = know_rough_pictures(bundle_folder, data, version, output)
    console.print(f"{card.name} {card.version}: knows its labels as a rough line shows them")


@renewal.command()
def figures(
    bundle_folder: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a shipped one's name.")],
    results: Annotated[Path, typer.Option(help="JSON that evaluate wrote.")],
) -> None:
    """Put the figures of an evaluation into the bundle's card."""
    from training.bundle.figures import put_figures

    card = put_figures(bundle_folder, results)
    console.print(f"{card.name} {card.version}: figures of {results.name}")


@renewal.command()
def card(
    bundle_folder: Annotated[str, typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a shipped one's name.")],
    output: Annotated[Path | None, typer.Option(help="Bundle folder to write; default: replace it.")] = None,
    accept: Annotated[bool, typer.Option(help="Prove what lies there, though it does not hold.")] = False,
) -> None:
    """Prove a bundle's card: write format 2 from a bundle of format 1, or after an edit on purpose."""
    from inspector.commands.card import prove_card

    console.print(prove_card(bundle_folder, output, accept=accept).as_dict())

"""`python -m training clean-strip`, `detection`, `periods`, `peer`: figures that need a strip, or another library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.errors import DataError

strip_commands = typer.Typer()
_console = Console(stderr=True)
_Sets = Annotated[Path, typer.Option(help="Folder that holds the data sets.", envvar="INSPECTOR_TRAINING_DATA")]
_Bundle = Annotated[str, typer.Option("--bundle", help="A shipped bundle's name, or a folder.")]


@strip_commands.command("clean-strip")
def clean_strip(
    data: _Sets,
    bundle_name: _Bundle = "neu-fast",
    row: Annotated[list[str] | None, typer.Option(help="Only this row, as cr7/taught; may be repeated.")] = None,
    metres: Annotated[float, typer.Option(min=1, help="Of each row; more later goes on.")] = 10_000.0,
    output: Annotated[Path | None, typer.Option(help="JSON to write; default runs/clean-strip-NAME.json.")] = None,
) -> None:
    """Count false calls on clean strip: generated, and quilted from held-out ground, untaught beside taught."""
    from inspector.model.bundle import find_bundle, load_bundle
    from training.judge.clean_strip import ROWS, measure_clean_strip

    if strange := sorted(set(row or ()) - set(ROWS)):
        raise DataError(f"clean-strip: --row: one of {', '.join(ROWS)} is expected: {strange[0]!r}")
    loaded = load_bundle(find_bundle(bundle_name))
    place = output or Path("runs") / f"clean-strip-{loaded.card.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    found = measure_clean_strip(loaded, data, row or ROWS, metres, place, lambda text: _console.print(f"  {text}"))
    for name, each in found["rows"].items():
        _console.print(f"{name}: {each['per_10_km']} false calls in 10 km (95 %: {each['low']} to {each['high']})")


@strip_commands.command("detection")
def detection(
    data: _Sets,
    bundle_name: _Bundle = "neu-fast",
    defects: Annotated[int, typer.Option(min=20, help="In each series.")] = 1200,
    output: Annotated[Path | None, typer.Option(help="JSON to write; default runs/detection-NAME.json.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot to draw: .png or .svg.")] = None,
) -> None:
    """Measure which share of defects is found by size and contrast, and the size found nine times in ten."""
    from inspector.model.bundle import find_bundle, load_bundle
    from training.judge.detection import measure_detection

    loaded = load_bundle(find_bundle(bundle_name))
    place = output or Path("runs") / f"detection-{loaded.card.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    measure_detection(loaded, data, defects, place, plot, lambda text: _console.print(f"  {text}"))


@strip_commands.command("periods")
def periods(
    seed: Annotated[int, typer.Option(help="Of the random defects.")] = 1,
    km: Annotated[float, typer.Option(min=1, help="Of each row.")] = 100.0,
    trials: Annotated[int, typer.Option(min=10, help="Rolls in each row.")] = 200,
    output: Annotated[Path, typer.Option(help="JSON to write.")] = Path("runs/periods.json"),
) -> None:
    """Count false roll marks among random defects, and the repeats after which a real one is found; needs no data."""
    from training.judge.periods import measure_periods

    output.parent.mkdir(parents=True, exist_ok=True)
    measure_periods(seed, km, trials, output, lambda text: _console.print(f"  {text}"))


@strip_commands.command("peer")
def peer(
    data: _Sets,
    bundle_name: _Bundle = "neu-fast",
    surface: Annotated[list[str] | None, typer.Option(help="Only this surface; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON to write; default runs/peer-NAME.json.")] = None,
    seed: Annotated[int, typer.Option(help="Of the halves.")] = 1,
) -> None:
    """Judge the taught reference and PatchCore on the same tiles: AUROC, recall, tiles a second, MB, time to teach."""
    from inspector.model.bundle import find_bundle, load_bundle
    from training.judge.peer import measure_peer
    from training.tiles.mills import SURFACES

    if strange := sorted(set(surface or ()) - set(SURFACES)):
        raise DataError(f"peer: --surface: one of {', '.join(SURFACES)} is expected: {strange[0]!r}")
    loaded = load_bundle(find_bundle(bundle_name))
    place = output or Path("runs") / f"peer-{loaded.card.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    measure_peer(loaded, data, surface or SURFACES, place, seed, lambda text: _console.print(f"  {text}"))

"""`python -m training COMMAND`, also installed as `inspector-train`: each step alone, resumable, with a report."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer
from rich.table import Table

from inspector.errors import InspectorError
from training.errors import DataError, say_missing

try:
    from training.data.dataset import DataSet
    from training.data.manifest import count_pictures
    from training.data.prepare import label_contradictions, small_pictures, training_refusals
    from training.data.sheets import write_sheets
    from training.judge.strip_commands import strip_commands
    from training.judging import judging
    from training.opened import (
        MANIFEST,
        Address,
        AuxiliaryData,
        Data,
        ManifestFile,
        OnRay,
        RecipeName,
        Weights,
        console,
        make_manifest,
        on_ray,
        open_data,
        warn,
    )  # fmt: skip
    from training.recipe import Recipe, load_recipe
    from training.renewal import renewal
except ModuleNotFoundError as exc:
    sys.exit(f"error: {say_missing(exc)}")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for more in (judging, renewal, strip_commands):
    app.registered_commands += more.registered_commands


@app.command()
def prepare(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder for manifest.json and the sheets.")] = MANIFEST.parent,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Hold out every n-th group of a label as the test split; 0: none.")
    ] = 0,
    agrees_with: Annotated[Path | None, typer.Option(help="CSV of image, split, group to compare with.")] = None,
    ray: OnRay = False,
    address: Address = None,
) -> None:
    """Check a data set, group overlapping views, and draw contact sheets."""
    data_set = DataSet(data)
    with on_ray(ray, address) as cluster:
        manifest = make_manifest(data_set, output / "manifest.json", hold_out, cluster.mapped if cluster else None)
    table = Table("label", "counts", title=f"{len(manifest.pictures)} pictures, manifest {manifest.sha256[:12]}")
    for label, counts in count_pictures(manifest).items():
        table.add_row(label, ", ".join(f"{value} {name}" for name, value in counts.items()))
    console.print(table)
    for first, second in manifest.duplicates:
        console.print(f"byte-identical: {first} = {second}")
    for path in write_sheets(output, data_set, manifest):
        console.print(f"look at {path}")
    if agrees_with is not None:
        from training.data.prepare import compare_groups

        console.print(compare_groups(manifest, agrees_with))
    warn(label_contradictions(manifest))
    tile_px: int = Recipe.model_fields["tile_px"].default
    warn(small_pictures(manifest.pictures, tile_px))
    warn([f"train refuses these pictures: {text}" for text in training_refusals(manifest, tile_px)])


@app.command()
def train(
    recipe_name: RecipeName,
    data: Data,
    weights: Weights = None,
    manifest_path: ManifestFile = MANIFEST,
    run: Annotated[Path | None, typer.Option(help="Run folder; the same again goes on. Default runs/NAME.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from this bundle or run, and compare with it.")] = None,
    auxiliary_root: AuxiliaryData = None,
) -> None:
    """Train on a data set's training split, or fine-tune a bundle on your own folder (--init)."""
    from training.errors import RecipeError

    recipe = load_recipe(recipe_name)
    if recipe.refines and init is None:
        raise RecipeError(f"recipe {recipe.name}: refines a model that is there: --init BUNDLE or RUN is wanted")
    for option, path in (("--weights", weights), ("--auxiliary", auxiliary_root)):
        if init is not None and path is not None:
            raise RecipeError(f"train: {option} is for training from the start and has no use beside --init: {path}")
    from training.network.course import course_of
    from training.network.train import train as train_network
    from training.tiles.auxiliary import load_auxiliary

    folder = run or Path("runs") / recipe.name
    data_set, manifest = open_data(data, manifest_path)
    warn(label_contradictions(manifest))
    if init is not None:
        from training.own import fine_tune

        console.print(fine_tune(recipe, init, data_set, manifest, folder))
        return
    from training.network.network import imagenet_weights

    auxiliary = load_auxiliary(recipe, auxiliary_root, manifest.labels)
    course = course_of(recipe, data_set, manifest, auxiliary)
    if recipe.start == "random" and weights is not None:
        raise RecipeError(f"train: recipe {recipe.name} begins at random, --weights has no use: {weights}")
    chosen = None if recipe.start == "random" else weights or imagenet_weights(recipe.width, Path("cache"))
    data_names = {"data": manifest.sha256, "pictures": manifest.pictures_sha256, **auxiliary.provenance}
    train_network(recipe, course, folder, chosen, data_names)
    elsewhere = f" --auxiliary {auxiliary_root}" if auxiliary.provenance else ""
    console.print(f"trained: {folder}; next: python -m training quantize {folder} --data {data}{elsewhere}")


@app.command()
def own(
    data: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your pictures, a folder or zip: FOLDER/LABEL/….")],
    name: Annotated[str, typer.Option(help="Name of the bundle: a-z, 0-9, dot, hyphen, underscore.")] = "own",
    init: Annotated[Path, typer.Option(help="Bundle or run to start from and to compare with.")] = Path("neu-fast"),
    output: Annotated[Path | None, typer.Option(help="Bundle folder to write; default bundles/NAME.")] = None,
    version: Annotated[str, typer.Option(help="Version in the card.")] = "1.0.0",
    recipe_name: Annotated[str, typer.Option("--recipe", help="How to fine-tune.")] = "neu-fast-refine",
    gate: Annotated[bool, typer.Option(help="Pack nothing whose int8 decides otherwise than float.")] = True,
) -> None:
    """Make a bundle of your own pictures in one go: prepare, train, quantize, compare, pack, report. May be resumed."""
    from inspector.model.card import is_bundle_name
    from inspector.pages.language import code_of_environment
    from training.own_model import Wish, make_own

    if not is_bundle_name(name):
        raise DataError(f"own: --name: a name of a-z, 0-9, dot, hyphen and underscore is expected: {name!r}")
    place, recipe, data_set = Path("runs") / name, load_recipe(recipe_name), DataSet(data)
    try:
        manifest = open_data(data, place / "manifest.json")[1]
    except DataError:  # of other pictures: the folder has changed since
        manifest = make_manifest(data_set, place / "manifest.json")
    for path in write_sheets(place, data_set, manifest):
        console.print(f"look at {path}", highlight=False)
    warn([*label_contradictions(manifest), *small_pictures(manifest.pictures, recipe.tile_px)])
    wish = Wish(name, version, init, place, output or Path("bundles") / name, code_of_environment(os.environ), gate)
    made = make_own(wish, recipe, data_set, manifest, lambda text: console.print(text, highlight=False, soft_wrap=True))
    console.print(made.sentence, style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(f"look at {made.report}; the bundle: {made.bundle}", highlight=False)


@app.command()
def quantize(
    run: Path,
    data: Data,
    manifest_path: ManifestFile = MANIFEST,
    gate: Annotated[bool, typer.Option(help="Fail when int8 is not float.")] = True,
    auxiliary_root: AuxiliaryData = None,
) -> None:
    """Make the int8 network of a run, compare it with the float one, and choose the operating point."""
    from training.data.learned import read_before
    from training.errors import RecipeError
    from training.int8 import signoff
    from training.network.course import course_of
    from training.network.train import load_run, refuse_other_data
    from training.tiles.auxiliary import load_auxiliary

    data_set, manifest = open_data(data, manifest_path)
    recipe, _, network = load_run(run)
    if (recipe.colour, recipe.scaling) != ("grey", "centred"):
        raise RecipeError(f"quantize: a bundle takes grey pixels as they are, {recipe.name} {recipe.colour} ones")
    auxiliary = load_auxiliary(recipe, auxiliary_root, manifest.labels)
    refuse_other_data(run, {"data": manifest.sha256, **auxiliary.provenance})
    course = course_of(recipe, data_set, manifest, auxiliary, read_before(run))
    result = signoff.sign_off(network, course, recipe, run)
    signoff.save(run, result)
    parity = result.parity
    table = Table("figure", "value", title=f"float against int8 over {parity.tiles} validation pictures")
    for name in ("agreement", "float_accuracy", "int8_accuracy", "p99_shift"):
        table.add_row(name, f"{getattr(parity, name):.4f}")
    table.add_row("larger shifts", str(len(parity.larger)))
    table.add_row("temperature", f"{result.temperature}")
    console.print(table, result.thresholds)
    if parity.refusal and gate:
        from training.errors import GateError

        raise GateError(f"quantize: int8 is not float: {parity.refusal}; {parity.account}")


@app.command()
def bundle(
    run: Path,
    output: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    data: Data,
    version: Annotated[str, typer.Option(help="Version in the card.")] = "0.1.0",
    results: Annotated[Path | None, typer.Option(help="JSON of evaluate, for the card's figures.")] = None,
    manifest_path: ManifestFile = MANIFEST,
    gate: Annotated[bool, typer.Option(help="Refuse a run whose int8 is not float.")] = True,
) -> None:
    """Write the bundle of a quantized run, opened as the daemon opens it before it counts."""
    from training.bundle.bundle import bundle_run

    _, manifest = open_data(data, manifest_path)
    card = bundle_run(run, output, manifest, version, results, gate=gate)
    console.print(f"{output}: {card.name} {card.version}, {len(card.files) + 1} files")


@app.command()
def events(
    data: Data,
    bundle_name: Annotated[str, typer.Option("--bundle", help="A shipped bundle's name, or a folder.")] = "neu-fast",
    validation: Annotated[bool, typer.Option(help="On pictures held out of the training split.")] = False,
    output: Annotated[Path, typer.Option(help="JSON to write.")] = Path("runs/events.json"),
    manifest_path: ManifestFile = MANIFEST,
) -> None:
    """Count the events of each defect on long strips: at the shipped overlap, then at 0, 25, 50 and 100 px."""
    from training.files import write_json
    from training.judge.events import measure_events

    side = "validation" if validation else "test"
    write_json(output, measure_events(bundle_name, *open_data(data, manifest_path), side, console.print))


@app.command()
def mills(
    data: Data,
    bundle_name: Annotated[str, typer.Option("--bundle", help="A shipped bundle's name, or a folder.")] = "neu-fast",
    surface: Annotated[list[str] | None, typer.Option(help="Only this surface; may be repeated.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON to write; default runs/mills-NAME.json.")] = None,
    seed: Annotated[int, typer.Option(help="Of the halves.")] = 1,
) -> None:
    """Teach a bundle on half of each surface of DATA and judge it on the other half, untaught beside taught."""
    from inspector.model.bundle import find_bundle, load_bundle
    from training.judge.mills import measure_mills
    from training.tiles.mills import SURFACES

    if strange := sorted(set(surface or ()) - set(SURFACES)):
        raise DataError(f"mills: --surface: one of {', '.join(SURFACES)} is expected: {strange[0]!r}")
    loaded = load_bundle(find_bundle(bundle_name))
    place = output or Path("runs") / f"mills-{loaded.card.name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    found = measure_mills(loaded, data, surface or SURFACES, place, seed, lambda text: console.print(f"  {text}"))
    table = Table("surface", "clean: alarm", "unclassified", "marked: alarm", "called", title=f"taught, see {place}")
    for name, row in found["mills"].items():
        clean, marked = row["taught"]["clean_tiles"], row["taught"]["marked_tiles"]
        shown = (clean["alarm"], clean["unclassified"], marked["alarm"], marked["called"])
        table.add_row(name, *(f"{100 * each['share']:.2f} %" for each in shown))
    console.print(table)


@app.command()
def explain(
    picture: Path,
    run: Annotated[Path, typer.Option(help="The run of the float network.")],
    output: Annotated[Path, typer.Option(help="Picture to write.")] = Path("explained.png"),
    label: Annotated[str | None, typer.Option(help="Explain this label; default: the one that leads.")] = None,
) -> None:
    """Draw Grad-CAM of the float network beside the CAM of the int8 one."""
    from training.judge.explain import explain_picture

    console.print(explain_picture(picture, run, output, label))


def main() -> None:
    """Run the command line; a named error is one line and its exit code."""
    try:
        app()
    except ModuleNotFoundError as exc:
        console.print(f"error: {say_missing(exc)}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except InspectorError as exc:
        console.print(f"error: {exc}", style="red", highlight=False, soft_wrap=True)
        sys.exit(exc.exit_code)
    except OSError as exc:
        console.print(f"error: {exc.filename or 'disk'}: {exc.strerror}", style="red", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

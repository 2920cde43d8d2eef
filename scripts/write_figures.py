"""Write the figures of the shipped models into README, docs and decision 0006, from `training/results` and their cards.

scripts/write_figures.py   # write
scripts/write_figures.py --check  # exit 1 if something is stale (a test runs this)

Nothing is measured here: `python -m training evaluate` and `crossval` do that. The blocks of the pages are made here,
the prose beside them by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blocks import RESULTS, ROOT, Pages, percent, write_pages

BUNDLES = ROOT / "inspector" / "bundles"
MAX_SHIFT = 0.03
"""The parity gate's limit, `training.int8.quantize.MAX_P99_SHIFT`: a test compares them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured of a shipped model.

    Attributes:
        card: Of its bundle.
        judged: What `evaluate` gave.
        folds: The summary of its cross-validation.
        shifts: Of each fold, the 99th percentile of the score shift between float and int8.
    """

    card: Mapping[str, Any]
    judged: Mapping[str, Any]
    folds: Mapping[str, Any]
    shifts: tuple[float, ...]

    @property
    def line(self) -> Mapping[str, Any]:
        """The figures of the line benchmark."""
        line: Mapping[str, Any] = self.judged["line"]
        return line

    def foreign(self, name: str, what: str = "alarms") -> Mapping[str, Any]:
        """Return a share of a foreign set."""
        row: Mapping[str, Any] = self.judged["foreign"][name][what]
        return row


def read(name: str) -> Measured:
    """Return what was measured of a shipped model."""
    rows = [json.loads(path.read_text("utf-8")) for path in sorted((RESULTS / "crossval" / name).glob("*.json"))]
    return Measured(
        json.loads((BUNDLES / name / "card.json").read_text("utf-8")),
        json.loads((RESULTS / f"evaluate-{name}.json").read_text("utf-8")),
        json.loads((RESULTS / "crossval.json").read_text("utf-8"))[name],
        tuple(row["p99_shift"] for row in rows),
    )


def of(row: Mapping[str, Any]) -> str:
    """Return k of n."""
    return f"{row['k']:,} of {row['n']:,}"


def sure(row: Mapping[str, Any]) -> str:
    """Return k of n with its 95 % interval."""
    return f"{of(row)} ({percent(row['low'])}–{percent(row['high'])} %)"


def mean(share: float, decimals: int = 1) -> str:
    """Return a mean in percent."""
    return f"{100 * share:.{decimals}f} %"


def whole(row: Mapping[str, Any]) -> str:
    """Return a share in whole percent."""
    return f"{100 * row['share']:.0f}"


def cell(name: str) -> str:
    """Return a corruption and its severity in words."""
    kind, _, severity = name.partition("/")
    return f"{kind.replace('_', ' ')}, severity {severity}"


def published(model: Measured) -> str:
    """Return what is published rightly under corruptions: mean and worst."""
    row = model.judged["corruption"]
    told = "published_mean" in row
    return f"{mean(row['published_mean'])} / {mean(row['published_worst'])}" if told else "not measured"


ROUGH = ("turned/45", "columns/5%", "salt/2%")


def rough(model: Measured) -> str:
    """Return what is published rightly of a rough line's pictures, and what is called clean."""
    rows = model.judged["corruption"].get("rough", {})
    told = (f"{mean(rows[name]['published'])} (clean {mean(rows[name]['clean'])})" for name in ROUGH if name in rows)
    return " / ".join(told) or "not measured"


def seeds(folds: Mapping[str, Any], kind: str) -> str:
    """Return how many pictures of unseen surfaces are right, seed by seed."""
    apart = folds["apart"].get(kind)
    if apart is None:
        return "not measured"
    return " / ".join(f"{k:,} of {n:,}" for k, n in zip(apart["k"], apart["n"], strict=True))


def by_folds(folds: Mapping[str, Any], kind: str) -> str:
    """Return how many are right over all folds, with mean, worst fold and worst label."""
    row = folds.get(kind)
    if row is None:
        return "not measured"
    label = row["worst_class"].replace("_", " ")
    return (
        f"{of(row)}: mean {mean(row['mean'], 2)} (sd {100 * row['sd']:.2f}), worst fold {mean(row['worst_fold'])},"
        f" worst label {mean(row['worst_recall'])} ({label})"
    )


def gated(model: Measured) -> str:
    """Return how far int8 is from float over the folds, which are not gated."""
    over = sum(shift > MAX_SHIFT for shift in model.shifts)
    return f"{min(model.shifts):.3f} to {max(model.shifts):.3f}, over the limit in {over} of {len(model.shifts)}"


def by_ground(surfaces: Mapping[str, Any]) -> str:
    """Return the interval over the groups of the grounds."""
    bounds, groups = surfaces["bootstrap95"], surfaces["groups_with_alarm"]
    told = "none alarms" if bounds is None else f"{percent(bounds['low'])}–{percent(bounds['high'])} %"
    return f"{told}; {of(groups)} groups alarm"


def unknown(model: Measured) -> str:
    """Return what is unknown of each foreign set where 1 % of NEU's test pictures are."""
    curve = model.judged["foreign"]["unknown_curve"]["at_0.01"]
    return " / ".join(whole(curve[name]["unknown"]) for name in (ROLL, ASH, MAGNETIC, SEVERSTAL)) + " %"


ROLL, ASH = "x-sdd/finishing roll printing", "x-sdd/iron sheet ash"
OXIDE, PLATE = "x-sdd/oxide scale of temperature system", "x-sdd/oxide scale of plate system"
MAGNETIC, SEVERSTAL = "magnetic-tile/MT_Free", "severstal/no_defect"
Row = tuple[str, Callable[[Measured], str]]

SHORT: tuple[Row, ...] = (
    ("NEU's 360 official test pictures, rightly named", lambda m: of(m.judged["official"]["correct"])),
    ("all 1,800 in five folds, three seeds, views of a surface kept together", lambda m: of(m.folds["int8"])),
    (
        "the 360 under noise, blur, bad light and JPEG, as published: mean / worst (by arg-max)",
        lambda m: f"{published(m)} ({mean(m.judged['corruption']['mean'])} / {mean(m.judged['corruption']['worst'])})",
    ),
    (
        "composed strips: defects found / of these rightly named",
        lambda m: f"{of(m.line['found'])} / {m.line['labelled_right']['k']:,}",
    ),
    (
        "composed strips: clean tiles called a defect, on all grounds / on those without marks in two blind reviews",
        lambda m: f"{of(m.line['clean_tiles'])} / {of(m.line['clean_tiles_reviewed'])}",
    ),
    (
        "clean tiles of another steel mill / of ground magnetic tile called a defect",
        lambda m: f"{of(m.foreign(SEVERSTAL))} / {of(m.foreign(MAGNETIC))}",
    ),
)
"""The table of the README."""

LONG: tuple[Row, ...] = (
    ("**NEU's test pictures**: rightly named (arg-max)", lambda m: sure(m.judged["official"]["correct"])),
    ("… with one look at each", lambda m: sure(m.judged["official"]["one_look"])),
    ("… that show no surface of a training picture", lambda m: sure(m.judged["official"]["apart"])),
    ("… full decision, `unknown` included", lambda m: sure(m.judged["official"]["decision"])),
    (
        "… under corruptions: mean / worst",
        lambda m: (
            f"{mean(m.judged['corruption']['mean'])} / {mean(m.judged['corruption']['worst'])}"
            f" ({cell(m.judged['corruption']['worst_cell'])})"
        ),
    ),
    (
        "… as published, `unknown` included: mean / worst",
        published,
    ),
    ("… turned by 45° / columns that differ by 5 % / 2 % dead or hot pixels, as published", rough),
    ("**Five folds over all 1,800**, three seeds, one look", lambda m: by_folds(m.folds, "int8")),
    ("… with the daemon's four looks at a doubtful tile", lambda m: by_folds(m.folds, "int8_four_looks")),
    ("… of unseen surfaces, one look, seed by seed", lambda m: seeds(m.folds, "int8")),
    ("… of unseen surfaces, four looks", lambda m: seeds(m.folds, "int8_four_looks")),
    (f"… 99th percentile of the score shift (limit {MAX_SHIFT}; folds are not gated)", gated),
    ("**Line**: defects of a quarter tile side or more, found", lambda m: sure(m.line["found"])),
    ("… of these rightly named", lambda m: sure(m.line["labelled_right"])),
    ("… found, one published defect for one drawn", lambda m: sure(m.line["one_to_one"]["found"])),
    ("… and rightly named", lambda m: sure(m.line["one_to_one"]["rightly_named"])),
    (
        "… rightly named, IoU of the boxes at least 0.1 / 0.3 / 0.5",
        lambda m: (
            " / ".join(f"{row['k']:,}" for row in m.line["right_at_iou"].values()) + f" of {m.line['found']['n']}"
        ),
    ),
    (
        "… by chance, judged by another strip's findings: found / rightly named",
        lambda m: (
            f"{m.line['found_by_chance']['found']['k']} / {m.line['found_by_chance']['rightly_named']['k']}"
            f" of {m.line['found_by_chance']['found']['n']}"
        ),
    ),
    ("… found, of defects that cover a quarter of a tile", lambda m: sure(m.line["found_quarter_area"])),
    ("… published defects that are at a drawn one (precision)", lambda m: sure(m.line["precision"])),
    ("… of those called inclusion", lambda m: sure(m.line["precision_per_label"]["inclusion"])),
    ("… clean tiles that alarm", lambda m: sure(m.line["clean_tiles"])),
    ("… when whole groups of grounds are resampled (bootstrap)", lambda m: by_ground(m.line["clean_surfaces"])),
    (
        "… on groups without a picture that two blind reviews both called marked",
        lambda m: sure(m.line["clean_tiles_reviewed"]),
    ),
    ("… on the pictures not called so", lambda m: sure(m.line["clean_tiles_reviewed_pictures"]["alarms"])),
    ("… tiles of neither kind (a defect only touches them) that alarm", lambda m: sure(m.line["tiles_in_doubt"])),
    ("… the map points into the defect, or 15 px beside it", lambda m: sure(m.line["localisation"]["cam_pointing"])),
    ("… found defects that the published box touches", lambda m: sure(m.line["localisation"]["box_touches"])),
    (
        "… share of a found defect in its box / IoU",
        lambda m: f"{mean(m.line['localisation']['covered_mean'], 0)} / {m.line['localisation']['box_iou_mean']:.2f}",
    ),
    ("**Test pictures**: the map points into a box", lambda m: sure(m.judged["cam"]["pointing_strict"])),
    ("… or 15 px beside it", lambda m: sure(m.judged["cam"]["pointing_within_tolerance"])),
    (
        "… share of the marked area in the published box / IoU",
        lambda m: f"{mean(m.judged['cam']['box_covered_mean'], 0)} / {m.judged['cam']['box_iou_mean']:.2f}",
    ),
    (
        "**Clean windows** of held-out NEU groups that alarm",
        lambda m: sure(m.judged["clean"]["neu_held_out"]["alarms"]),
    ),
    (
        "… of groups without a picture that both reviews called marked",
        lambda m: sure(m.judged["clean"]["neu_reviewed"]["alarms"]),
    ),
    ("… of the generated strip", lambda m: sure(m.judged["clean"]["generated"]["alarms"])),
    ("**Other mills**: Severstal's clean tiles that alarm", lambda m: sure(m.foreign(SEVERSTAL))),
    (
        "… of those that two blind reviews did not both call marked",
        lambda m: sure(m.foreign(SEVERSTAL, "alarms_reviewed")),
    ),
    ("… magnetic tile, free of defects", lambda m: sure(m.foreign(MAGNETIC))),
    (
        "… of the reviewed ones, those that both did not call marked",
        lambda m: sure(m.foreign(MAGNETIC, "alarms_reviewed")),
    ),
    (
        "… X-SDD roll printing / ash / oxide scale of temperature (the half not learned from)",
        lambda m: " / ".join(whole(m.foreign(name)) for name in (ROLL, ASH, OXIDE)) + " %",
    ),
    ("… X-SDD oxide scale of plate (the half not learned from)", lambda m: sure(m.foreign(PLATE))),
    ("… X-SDD red iron (learned from by neither)", lambda m: sure(m.foreign("x-sdd/red iron"))),
    ("… X-SDD's own scratches, rightly named", lambda m: sure(m.foreign("x-sdd/surface scratch", "right"))),
    ("… X-SDD's slag inclusions, rightly named", lambda m: sure(m.foreign("x-sdd/slag inclusion", "right"))),
    ("… `unknown` where 1 % of the test pictures are: roll printing / ash / magnetic tile / Severstal", unknown),
    (
        f"**Parity gate**: 99th percentile of the score shift (limit {MAX_SHIFT})",
        lambda m: f"{m.card['training']['parity']['p99_shift']:.3f}",
    ),
)
"""The table of decision 0006."""


def least(share: float, limit: float, decimals: int = 1) -> tuple[bool, str]:
    """Return whether a share is as large as it should be, and the share."""
    return share >= limit, mean(share, decimals)


def rare(row: Mapping[str, Any], limit: float) -> tuple[bool, str]:
    """Return whether a share is as small as it should be, and k of n."""
    return row["share"] <= limit, of(row)


def unknown_of(model: Measured, name: str, limit: float) -> tuple[bool, str]:
    """Return whether enough of a foreign set is unknown where 1 % of the test pictures are, and how much is."""
    share = model.judged["foreign"]["unknown_curve"]["at_0.01"][name]["unknown"]["share"]
    return least(share, limit, 0)


def published_enough(model: Measured, figure: str, limit: float) -> tuple[bool, str]:
    """Return whether enough spoilt test pictures are published rightly, and how many are.

    Args:
        model: The bundle.
        figure: `published_mean`, `published_worst`, or the name of a rough line's picture.
        limit: The share that it should reach.
    """
    row = model.judged["corruption"]
    share = row.get(figure, row.get("rough", {}).get(figure, {}).get("published"))
    return (True, "not measured") if share is None else least(share, limit)


TARGETS: tuple[tuple[str, Callable[[Measured], tuple[bool, str]]], ...] = (
    ("test pictures: all 360", lambda m: (m.judged["official"]["accuracy"] == 1, of(m.judged["official"]["correct"]))),
    ("folds: mean 99.8 %", lambda m: least(m.folds["int8"]["mean"], 0.998, 2)),
    ("folds: worst fold 99.4 %", lambda m: least(m.folds["int8"]["worst_fold"], 0.994)),
    ("folds: worst label 99 %", lambda m: least(m.folds["int8"]["worst_recall"], 0.99)),
    ("corruptions: mean 98 %", lambda m: least(m.judged["corruption"]["mean"], 0.98)),
    ("corruptions: worst 92 %", lambda m: least(m.judged["corruption"]["worst"], 0.92)),
    ("… as published: mean 98 %", lambda m: published_enough(m, "published_mean", 0.98)),
    ("… as published: worst 92 %", lambda m: published_enough(m, "published_worst", 0.92)),
    (
        "turned by 45°, as published: 95 %",
        lambda m: published_enough(m, "turned/45", 0.95),
    ),
    (
        "columns that differ by 5 %: 95 %",
        lambda m: published_enough(m, "columns/5%", 0.95),
    ),
    ("2 % dead or hot pixels: 95 %", lambda m: published_enough(m, "salt/2%", 0.95)),
    ("line: 98 % found", lambda m: least(m.line["found"]["share"], 0.98)),
    ("pointing: 90 %", lambda m: least(m.judged["cam"]["pointing"], 0.9)),
    ("clean tiles of the line: at most 1 in 1,000 alarm", lambda m: rare(m.line["clean_tiles"], 0.001)),
    ("… on grounds not called marked twice", lambda m: rare(m.line["clean_tiles_reviewed"], 0.001)),
    ("clean windows: at most 1 in 1,000 alarm", lambda m: rare(m.judged["clean"]["neu_held_out"]["alarms"], 0.001)),
    ("… on grounds not called marked twice", lambda m: rare(m.judged["clean"]["neu_reviewed"]["alarms"], 0.001)),
    ("Severstal's clean tiles: at most 5 % alarm", lambda m: rare(m.foreign(SEVERSTAL), 0.05)),
    ("… on tiles not called marked twice", lambda m: rare(m.foreign(SEVERSTAL, "alarms_reviewed"), 0.05)),
    ("magnetic tile, free of defects: at most 5 % alarm", lambda m: rare(m.foreign(MAGNETIC), 0.05)),
    ("unknown at 1 %: more than 10 % of roll printing", lambda m: unknown_of(m, ROLL, 0.10)),
    ("… more than 58 % of ash", lambda m: unknown_of(m, ASH, 0.58)),
    ("… more than 58 % of magnetic tile", lambda m: unknown_of(m, MAGNETIC, 0.58)),
    ("… more than 61 % of Severstal", lambda m: unknown_of(m, SEVERSTAL, 0.61)),
)
"""What the project set out to reach, in the table of `docs/training.md`."""


def targets(models: Mapping[str, Measured]) -> str:
    """Return the table of targets, a column a model."""

    def told(judge: Callable[[Measured], tuple[bool, str]]) -> Callable[[Measured], str]:
        return lambda model: ("" if judge(model)[0] else "**missed**: ") + judge(model)[1]

    return table(tuple((name, told(judge)) for name, judge in TARGETS), models, versions=False)


def table(rows: tuple[Row, ...], models: Mapping[str, Measured], *, versions: bool) -> str:
    """Return a Markdown table, a column a model."""
    heads = [f"{name} {model.card['version']}" if versions else name for name, model in models.items()]
    lines = ["| | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    lines += ["| " + " | ".join([name, *(figure(model) for model in models.values())]) + " |" for name, figure in rows]
    return "\n".join(lines)


def pages() -> Pages:
    """Return the pages with figures of the shipped models."""
    models = {name: read(name) for name in ("neu-fast", "neu-224")}
    return {
        ROOT / "README.md": {"model": lambda: table(SHORT, models, versions=False)},
        ROOT / "docs" / "decisions" / "0006-default-bundle.md": {"figures": lambda: table(LONG, models, versions=True)},
        ROOT / "docs" / "training.md": {"targets": lambda: targets(models)},
    }


if __name__ == "__main__":
    sys.exit(write_pages(pages()))

"""One HTML page from the results: figures, plots, and the pictures that hurt the model. No script, no network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
from matplotlib import pyplot as plt

from inspector.labels import CLEAN, UNKNOWN
from training.files import write_bytes, write_json
from training.judge.gallery import Exhibit, Gallery

mpl.use("Agg")


Row = tuple[str, Any]
FIGURE_PX = 140
SHOWN = 24
"""Pictures of one kind on the page."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border: 1px solid #ccc; padding: .25em .6em; text-align: left; }
p img { max-width: 100%; }
figure { display: inline-block; margin: .4em; vertical-align: top; }
figcaption { font-size: 12px; max-width: 140px; } h1 { font-size: 1.5em; }
pre { background: #f5f5f5; padding: .6em; white-space: pre-wrap; }
summary { font-size: 1.3em; font-weight: bold; }
"""


def write_report(folder: Path, title: str, results: Mapping[str, Any], gallery: Gallery) -> Path:
    """Write `report.html` and `results.json` into `folder` and return the page's path.

    Args:
        folder: Made when missing.
        title: Of the page.
        results: As `evaluate.evaluate` returns them.
        gallery: The pictures that they are about.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"<h1>{html.escape(title)}</h1>", _summary(results)]
    if "official" in results:
        parts += [
            "<h2>Official test pictures</h2>",
            _per_class(results["official"]),
            _plot(_confusion(results["official"])),
        ]
    if "corruption" in results:
        parts += ["<h2>Corruptions</h2>", _plot(_corruption(results["corruption"]))]
    if "costs" in results and "roc" in results["costs"]:
        parts += ["<h2>A miss against a false alarm</h2>", _plot(_curves(results["costs"]))]
        by_cost = results["costs"]["threshold_by_cost"]
        share = f"{results['costs']['defect_share']:.1%}"
        parts.append(
            f"<p>Weighed for a line on which {share} of the tiles show a defect (assumed); one threshold for all"
            " labels (<code>decision.thresholds</code>).</p>"
        )
        rows = [(cost, row["threshold"], row["recall"], row["false_alarm_rate"]) for cost, row in by_cost.items()]
        parts.append(_table(("cost", "threshold", "recall", "false alarms"), rows))
    if "line" in results:
        parts += ["<h2>The line</h2>", _line(results["line"])]
    if "foreign" in results:
        parts += ["<h2>Other mills and materials</h2>", _plot(_verdicts(results["foreign"]))]
        parts.append(_unknown(results["foreign"].get("unknown_curve", {})))
    for name, exhibits in gallery.rooms.items():
        parts += _room(name, exhibits)
    plain = {key: value for key, value in results.items() if key not in ("offenders", "costs")}
    text = html.escape(json.dumps(plain, indent=1, sort_keys=True))
    parts.append(f"<details><summary>All figures</summary><pre>{text}</pre></details>")
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    write_bytes(folder / "report.html", (page + "\n".join(parts) + "</html>\n").encode())
    write_json(folder / "results.json", results)
    return folder / "report.html"


def _summary(results: Mapping[str, Any]) -> str:
    rows: list[Row] = []
    for part, of_part in SUMMARY.items():
        if part in results:
            rows += of_part(results[part])
    return _table(("figure", "value"), rows)


def _official(official: Mapping[str, Any]) -> Iterator[Row]:
    yield "official test pictures, arg-max", _of(official["correct"])
    if "one_look" in official:
        yield "... of one look at each", _of(official["one_look"])
    yield "... full decision", _of(official["decision"])
    if "apart" in official:
        yield "... that show nothing a training picture shows", _of(official["apart"])


def _corruptions(corruption: Mapping[str, Any]) -> Iterator[Row]:
    yield "corruptions, mean", f"{corruption['mean']:.4f}"
    yield f"corruptions, worst ({corruption['worst_cell']})", f"{corruption['worst']:.4f}"


def _line_figures(line: Mapping[str, Any]) -> Iterator[Row]:
    yield "line: defects found", _of(line["found"])
    yield "line: right label", _of(line["labelled_right"])
    yield "line: false alarms on clean tiles", _of(line["clean_tiles"])
    yield from _surfaces(line.get("clean_surfaces"))
    if "clean_tiles_reviewed" in line:
        yield "... on grounds without marks that nobody boxed", _of(line["clean_tiles_reviewed"])
    if "clean_tiles_reviewed_pictures" in line:
        unmarked = line["clean_tiles_reviewed_pictures"]
        yield "... on pictures without such marks", _of(unmarked["alarms"])
        yield from _surfaces(unmarked["surfaces"])
    yield "line: published defects that lie at a drawn one", _of(line["precision"])
    if "found_by_chance" in line:
        by_chance = line["found_by_chance"]
        yield "line: defects found, judged by what was found on another strip", _of(by_chance["found"])
        yield "... and rightly named", _of(by_chance["rightly_named"])
    if "one_to_one" in line:
        matched = line["one_to_one"]
        yield "line: defects found, each by a published one of its own", _of(matched["found"])
        yield "... and rightly named", _of(matched["rightly_named"])
    for least, row in line.get("right_at_iou", {}).items():
        yield f"line: defects found and rightly named, IoU of the boxes at least {least}", _of(row)
    if "tiles_in_doubt" in line:
        yield "line: tiles of neither kind (a defect only touches them) that alarm", _of(line["tiles_in_doubt"])
    place = line["localisation"]
    yield "line: ECE", line["ece"]
    yield "line: published box touches the defect", _of(place["box_touches"])
    yield "line: share of a found defect in its box", place["covered_mean"]
    yield "line: IoU of box and defect", place["box_iou_mean"]
    beside = f"line: CAM points into the defect, or {place['cam_pointing_tolerance_px']} px beside"
    yield beside, _of(place["cam_pointing"])


def _clean(clean: Mapping[str, Any]) -> Iterator[Row]:
    for source, row in clean.items():
        if isinstance(row, dict) and "alarms" in row:
            yield f"clean tiles that alarm, {source}", _of(row["alarms"])
            yield from _surfaces(row.get("surfaces"))
    if "grounds" in clean:
        grounds = clean["grounds"]
        yield "test pictures that give clean ground", f"{grounds['give_ground']} of {grounds['pictures']}"
        yield "... that leave too little room beside their boxes", grounds["too_little_room"]
        yield "... whose surface has specks that stand out", grounds["specks"]


def _foreign(foreign: Mapping[str, Any]) -> Iterator[Row]:
    for source, row in foreign.items():
        if "alarms_reviewed" in row:
            yield f"tiles that alarm, {source}", _of(row["alarms"])
            yield "... of the reviewed tiles without a visible mark", _of(row["alarms_reviewed"])


def _pointing(cam: Mapping[str, Any]) -> Iterator[Row]:
    if "pointing" not in cam:
        return
    tolerance = cam["pointing_tolerance_px"]
    yield f"CAM points into a box, or {tolerance} px beside", _of(cam["pointing_within_tolerance"])
    yield "CAM points into a box", _of(cam["pointing_strict"])
    if "left_out" in cam:
        by_chance = f"{cam['pointing_within_tolerance_by_chance']:.4f}, {cam['pointing_strict_by_chance']:.4f}"
        left_out = f"{cam['left_out']['boxes_cover_half_or_more']}, {cam['left_out']['no_box']}"
        yield f"... of a place drawn at random: in a box or {tolerance} px beside, in a box", by_chance
        yield "... pictures left out: their boxes cover half or more, they have none", left_out


SUMMARY: dict[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
    "official": _official,
    "corruption": _corruptions,
    "line": _line_figures,
    "clean": _clean,
    "foreign": _foreign,
    "cam": _pointing,
}
"""Part of the results to the rows of the summary that it gives, in the page's order."""


def _surfaces(row: Mapping[str, Any] | None) -> list[Row]:
    """Return what clean tiles are of, where it is known: tiles of one surface alarm together."""
    if row is None:
        return []
    bounds = row["bootstrap95"]
    told = f"{bounds['low']:.4f} to {bounds['high']:.4f}" if bounds else "not to be told: none or all alarm"
    return [
        ("... groups of pictures with an alarm", f"{_of(row['groups_with_alarm'])}; {row['pictures']} pictures"),
        ("... 95 % when whole groups are drawn anew", told),
    ]


def _of(row: Mapping[str, Any]) -> str:
    return f"{row['k']} of {row['n']} = {row['share']:.4f} (95 %: {row['low']:.4f} to {row['high']:.4f})"


def _table(head: Sequence[str], rows: Any) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _line(line: Mapping[str, Any]) -> str:
    columns = ("per_label", "right_label_per_label", "precision_per_label")
    labels = line["precision_per_label"]
    rows = [
        (label, *(_of(line[column][label]) if label in line[column] else "" for column in columns)) for label in labels
    ]
    head = ("label", "found", "of these rightly named", "of what was published so, is so")
    grounds = [(group, _of(row)) for group, row in line["clean_tiles_by_alarming_ground"].items()]
    return (
        f"<p>{html.escape(line['protocol'])}</p>{_table(head, rows)}"
        f"<p>False alarms come from these grounds:</p>{_table(('ground', 'clean tiles that alarm'), grounds)}"
    )


def _verdicts(foreign: Mapping[str, Any]) -> Any:
    """Draw what becomes of each foreign set: calm colours for clean and unknown, warm ones for what alarms."""
    rows = {name: row["verdicts"] for name, row in foreign.items() if "verdicts" in row}
    labels = sorted({label for verdicts in rows.values() for label in verdicts} - {CLEAN, UNKNOWN})
    warm = plt.get_cmap("YlOrRd", len(labels) + 2)
    colours = {CLEAN: "#8fbf8f", UNKNOWN: "#c8c8c8"} | {label: warm(i + 2) for i, label in enumerate(labels)}
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(rows) + 1))
    done = [0.0] * len(rows)
    for label in (CLEAN, UNKNOWN, *labels):
        shares = [100 * verdicts.get(label, 0) / max(1, sum(verdicts.values())) for verdicts in rows.values()]
        axes.barh(list(rows), shares, left=done, label=label, color=colours[label])
        done = [before + share for before, share in zip(done, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("verdicts, % of tiles")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _unknown(curve: Mapping[str, Any]) -> str:
    rates = [name for name in curve if name.startswith("at_")]
    rows = [
        (name, area, *(f"{100 * curve[rate][name]['unknown']['share']:.0f} %" for rate in rates))
        for name, area in curve.get("auroc", {}).items()
    ]
    heads = [f"unknown when {100 * float(rate.removeprefix('at_')):g} % of NEU are" for rate in rates]
    return _table(("set", "AUROC of the distance", *heads), rows) if rows else ""


def _per_class(official: Mapping[str, Any]) -> str:
    rows = [(label, r["precision"], r["recall"], r["f1"], r["n"]) for label, r in official["per_class"].items()]
    return _table(("label", "precision", "recall", "F1", "n"), rows)


def _confusion(official: Mapping[str, Any]) -> Any:
    labels, rows = official["confusion"]["labels"], official["confusion"]["rows_truth"]
    figure, axes = plt.subplots(figsize=(5, 4.4))
    axes.imshow(rows, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("taken for")
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            if count:
                axes.text(x, y, count, ha="center", va="center", color="white" if count > 30 else "black")
    return figure


def _corruption(corruption: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(figsize=(7, 3.2))
    names = sorted({cell.partition("/")[0] for cell in corruption["cells"]})
    for severity, offset in ((1, -0.25), (2, 0.0), (3, 0.25)):
        heights = [100 * corruption["cells"][f"{name}/{severity}"] for name in names]
        axes.bar([i + offset for i in range(len(names))], heights, 0.24, label=f"severity {severity}")
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set_ylim(max(0, 100 * corruption["worst"] - 5), 100)
    axes.set_ylabel("right, %")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _curves(costs: Mapping[str, Any]) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.plot(costs["roc"]["false_alarm"], costs["roc"]["recall"])
    left.set_xlabel("false alarms")
    left.set_ylabel("recall")
    left.set_title(f"ROC, area {costs['roc_auc']:.4f}")
    right.plot(costs["pr"]["recall"], costs["pr"]["precision"])
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    right.set_title(f"precision and recall, area {costs['pr_auc']:.4f}")
    return figure


def _plot(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    return f"<p><img src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}' alt=''></p>"


def _room(name: str, exhibits: Sequence[Exhibit]) -> list[str]:
    """Return a heading and the heaviest exhibits, each drawn to one size with its box."""
    parts = [f"<h2>{html.escape(name)}</h2>"]
    if len(exhibits) > SHOWN:
        parts.append(f"<p>{SHOWN} of {len(exhibits)}</p>")
    for exhibit in sorted(exhibits, key=lambda each: -each.weight)[:SHOWN]:
        height, width = exhibit.pixels.shape
        drawn = cv2.resize(cv2.cvtColor(exhibit.pixels, cv2.COLOR_GRAY2BGR), (FIGURE_PX, FIGURE_PX))
        if exhibit.box is not None:
            across, down = FIGURE_PX / width, FIGURE_PX / height
            corners = [(exhibit.box.x, exhibit.box.y), (exhibit.box.right, exhibit.box.bottom)]
            first, last = ((round(x * across), round(y * down)) for x, y in corners)
            cv2.rectangle(drawn, first, last, (0, 220, 255), 1)
        _, raw = cv2.imencode(".jpg", drawn)
        source = base64.b64encode(raw.tobytes()).decode()
        caption = html.escape(exhibit.caption)
        parts.append(
            f"<figure><img src='data:image/jpeg;base64,{source}' alt=''><figcaption>{caption}</figcaption></figure>"
        )
    return parts

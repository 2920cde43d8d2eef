"""The figures of the report, drawn with matplotlib."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from inspector.labels import CLEAN, UNKNOWN
from inspector.pages.language import Language

mpl.use("Agg")


def draw_confusion(official: Mapping[str, Any], language: Language) -> Any:
    """Draw what each label was taken for."""
    labels, rows = official["confusion"]["labels"], official["confusion"]["rows_truth"]
    phrase = language.phrase
    figure, axes = plt.subplots(figsize=(5, 4.4))
    axes.imshow(rows, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(phrase("taken for"))
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            if count:
                axes.text(x, y, count, ha="center", va="center", color="white" if count > 30 else "black")
    return figure


def draw_corruptions(corruption: Mapping[str, Any], language: Language) -> Any:
    """Draw what is right under each corruption, by severity."""
    phrase = language.phrase
    figure, axes = plt.subplots(figsize=(7, 3.2))
    names = sorted({cell.partition("/")[0] for cell in corruption["cells"]})
    for severity, offset in ((1, -0.25), (2, 0.0), (3, 0.25)):
        heights = [100 * corruption["cells"][f"{name}/{severity}"] for name in names]
        axes.bar(
            [i + offset for i in range(len(names))],
            heights,
            0.24,
            label=phrase("severity %(severity)s", severity=severity),
        )
    axes.set_xticks(range(len(names)), names, rotation=20)
    axes.set_ylim(max(0, 100 * corruption["worst"] - 5), 100)
    axes.set_ylabel(phrase("right, %"))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def draw_curves(costs: Mapping[str, Any], language: Language) -> Any:
    """Draw ROC, and precision against recall."""
    phrase = language.phrase
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    left.plot(costs["roc"]["false_alarm"], costs["roc"]["recall"])
    left.set_xlabel(phrase("false alarms"))
    left.set_ylabel(phrase("recall"))
    left.set_title(phrase("ROC, area %(area)s", area=language.number(costs["roc_auc"], 4)))
    right.plot(costs["pr"]["recall"], costs["pr"]["precision"])
    right.set_xlabel(phrase("recall"))
    right.set_ylabel(phrase("precision"))
    right.set_title(phrase("precision and recall, area %(area)s", area=language.number(costs["pr_auc"], 4)))
    return figure


def draw_verdicts(foreign: Mapping[str, Any], language: Language) -> Any:
    """Draw what becomes of each foreign set: calm colours for clean and unknown, warm ones for what alarms."""
    rows = {name: row["verdicts"] for name, row in foreign.items() if "verdicts" in row}
    labels = sorted({label for verdicts in rows.values() for label in verdicts} - {CLEAN, UNKNOWN})
    warm = plt.get_cmap("YlOrRd", len(labels) + 2)
    colours = {CLEAN: "#8fbf8f", UNKNOWN: "#c8c8c8"} | {label: warm(i + 2) for i, label in enumerate(labels)}
    phrase = language.phrase
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(rows) + 1))
    done = [0.0] * len(rows)
    for label in (CLEAN, UNKNOWN, *labels):
        shares = [100 * verdicts.get(label, 0) / max(1, sum(verdicts.values())) for verdicts in rows.values()]
        axes.barh(list(rows), shares, left=done, label=label, color=colours[label])
        done = [before + share for before, share in zip(done, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(phrase("verdicts, percent of tiles"))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def as_address(figure: Any) -> str:
    """Return a figure as the address of a picture that is in the page, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

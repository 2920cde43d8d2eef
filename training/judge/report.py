"""One HTML page from the results: figures, plots, and the pictures that hurt the model. No script, no network.

Its text and order stand in `templates/report.html`, the names of its figures in `summary`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from inspector.pages.language import ENGLISH, Language, open_language
from inspector.pages.templates import templates
from training.files import write_bytes, write_json
from training.judge.gallery import Exhibit, Gallery
from training.judge.plots import as_address, draw_confusion, draw_corruptions, draw_curves, draw_verdicts
from training.judge.summary import Summary

FOLDER = Path(__file__).parent
CATALOGUE = "report"
FIGURE_PX = 140
SHOWN = 24
"""Pictures of one kind on the page."""


def write_report(folder: Path, title: str, results: Mapping[str, Any], gallery: Gallery, code: str = ENGLISH) -> Path:
    """Write `report.html` and `results.json` into `folder` and return the page's path.

    Args:
        folder: Made when missing.
        title: Of the page.
        results: As `evaluate.evaluate` returns them.
        gallery: The pictures that they are about.
        code: The language of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = templates(FOLDER, CATALOGUE, code)
    language = open_language(code, FOLDER, CATALOGUE)
    summary = Summary(language)
    unknown_head, unknown_rows = _unknown(results.get("foreign", {}).get("unknown_curve", {}), language)
    page = environment.get_template("report.html").render(
        title=title,
        results=results,
        verdict=summary.verdict(results),
        summary=summary.rows(results),
        share=summary.share,
        plots=_draw(results, language),
        unknown_head=unknown_head,
        unknown_rows=unknown_rows,
        rooms=[(room, len(exhibits), hang(exhibits, language)) for room, exhibits in gallery.rooms.items()],
        all_figures=json.dumps(
            {key: value for key, value in results.items() if key not in ("offenders", "costs")},
            indent=1,
            sort_keys=True,
        ),
    )
    write_bytes(folder / "report.html", page.encode())
    write_json(folder / "results.json", results)
    return folder / "report.html"


def _draw(results: Mapping[str, Any], language: Language) -> dict[str, str]:
    """Return the plots of those parts that the results have, as addresses of pictures."""
    plots = {
        "official": draw_confusion,
        "corruption": draw_corruptions,
        "costs": draw_curves,
        "foreign": draw_verdicts,
    }
    return {
        part: as_address(draw(results[part], language))
        for part, draw in plots.items()
        if part in results and (part != "costs" or "roc" in results[part])
    }


def _unknown(curve: Mapping[str, Any], language: Language) -> tuple[list[str], list[list[Any]]]:
    """Return head and rows: how many tiles of each set are unknown when this many of the known ones are."""
    phrase = language.phrase
    rates = {name: round(100 * float(name.removeprefix("at_")), 6) for name in curve if name.startswith("at_")}
    percents = [int(percent) if percent.is_integer() else percent for percent in rates.values()]
    heads = [phrase("unknown when %(rate)s %% of NEU are", rate=percent) for percent in percents]
    rows = [
        [name, area, *(f"{language.number(100 * curve[rate][name]['unknown']['share'])} %" for rate in rates)]
        for name, area in curve.get("auroc", {}).items()
    ]
    return [phrase("set"), phrase("AUROC of the distance"), *heads], rows


def hang(exhibits: Sequence[Exhibit], language: Language) -> list[tuple[str, str]]:
    """Return the heaviest exhibits, each drawn to one size with its box: address and caption."""
    heaviest = sorted(exhibits, key=lambda each: -each.weight)[:SHOWN]
    return [(_draw_exhibit(each), _caption(each, language)) for each in heaviest]


def _caption(exhibit: Exhibit, language: Language) -> str:
    values = {
        key: language.number(value, 3) if isinstance(value, float) else value for key, value in exhibit.values.items()
    }
    return language.phrase(exhibit.caption, **values)


def _draw_exhibit(exhibit: Exhibit) -> str:
    height, width = exhibit.pixels.shape
    drawn = cv2.resize(cv2.cvtColor(exhibit.pixels, cv2.COLOR_GRAY2BGR), (FIGURE_PX, FIGURE_PX))
    if exhibit.box is not None:
        across, down = FIGURE_PX / width, FIGURE_PX / height
        corners = [(exhibit.box.x, exhibit.box.y), (exhibit.box.right, exhibit.box.bottom)]
        first, last = ((round(x * across), round(y * down)) for x, y in corners)
        cv2.rectangle(drawn, first, last, (0, 220, 255), 1)
    _, raw = cv2.imencode(".jpg", drawn)
    return f"data:image/jpeg;base64,{base64.b64encode(raw.tobytes()).decode()}"

"""The page of a coil: one file, with its style, its map and its pictures in it, to be read, printed and kept."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any

from markupsafe import Markup

from inspector.pages.language import ENGLISH, N_, open_language
from inspector.pages.templates import templates
from inspector.reports.defect_map import draw_map, letters_of, shape
from inspector.reports.report import CoilReport

FOLDER = Path(__file__).parent
CATALOGUE = "coil"
STYLE = (FOLDER / "coil.css").read_text(encoding="utf-8")
SHOWN_GAPS = 60
SHOWN_SECTIONS = 60
SHOWN_ACTIONS = 60
SHOWN_EVENTS = 60
"""Rows on the page; the JSON and the CSV have the others, and the page says so."""
_PICTURE = re.compile(r'<img class="kept" data-file="([0-9a-f-]{36}\.jpg)" src="data:image/jpeg;base64,([^"]+)"')

SEVERITY_TEXT = {"critical": N_("critical"), "major": N_("major"), "minor": N_("minor")}
CAUSE_TEXT = {
    "dropped": N_("dropped: too fast for this machine"),
    "unreadable": N_("unreadable"),
    "unsupported": N_("no still picture of a known type"),
    "too_large": N_("too large"),
    "partial": N_("arrived in part only"),
    "blank": N_("blank: light off or lens covered"),
    "overexposed": N_("overexposed"),
    "underexposed": N_("underexposed"),
    "frozen": N_("the camera repeats one picture"),
    "source_down": N_("source down"),
    "deadly": N_("set aside: reading it ends the program"),
    "paused": N_("paused"),
    "process_down": N_("inspector was not running"),
    "between_frames": N_("passed between two pictures"),
}
COMMAND_TEXT = {
    "pause": N_("paused the inspection"),
    "shelve": N_("silenced alarms"),
    "ack": N_("acknowledged an alarm"),
    "verify": N_("judged a defect"),
    "line": N_("started or stopped the line"),
    "coil": N_("named the coil"),
    "rolls": N_("named a roll"),
    "weld": N_("named a weld"),
}
VERDICT_TEXT = {
    "confirmed": N_("confirmed"),
    "false_call": N_("false call"),
    "reclassified": N_("reclassified"),
    "unsure": N_("unsure"),
}
FACT_TEXT = {
    "program": N_("program"),
    "bundle": N_("model bundle"),
    "reference": N_("reference"),
    "config": N_("configuration"),
    "recipe": N_("recipe"),
}


def render_coil(
    report: CoilReport,
    pictures: Mapping[str, bytes],
    names: Mapping[str, str] | None = None,
    code: str = ENGLISH,
    zone: tzinfo | None = None,
) -> str:
    """Return the page of a coil in the language of this code.

    Args:
        report: Of the coil.
        pictures: JPEGs by the name that the report gives them; one that is missing is said to be missing.
        names: What the plant calls labels, in that language.
        code: Of the language.
        zone: In which times are shown; None: that of this machine.
    """
    known = {one.label: " ".join(filter(None, (one.name or one.label, one.code and f"({one.code})")))
             for one in report.defects}  # fmt: skip
    named = {**known, **(names or {})}
    values: dict[str, Any] = {
        "report": report,
        "names": named,
        "letters": letters_of(report),
        "map": draw_map(report, named, open_language(code, FOLDER, CATALOGUE)),
        "shape": _symbol,
        "pictures": {name: base64.b64encode(data).decode() for name, data in pictures.items()},
        "missed": _missed(report),
        "zone": zone,
        "style": Markup(STYLE),  # noqa: S704 - our own file
        "shown": {"gaps": SHOWN_GAPS, "sections": SHOWN_SECTIONS, "actions": SHOWN_ACTIONS, "events": SHOWN_EVENTS},
        "SEVERITY_TEXT": SEVERITY_TEXT, "CAUSE_TEXT": CAUSE_TEXT, "COMMAND_TEXT": COMMAND_TEXT,
        "VERDICT_TEXT": VERDICT_TEXT, "FACT_TEXT": FACT_TEXT,
    }  # fmt: skip
    return templates(FOLDER, CATALOGUE, code).get_template("coil.html").render(**values)


def pictures_in(page: str) -> dict[str, bytes]:
    """Return the pictures that a page holds: a report keeps them nowhere else."""
    return {name: base64.b64decode(data) for name, data in _PICTURE.findall(page)}


def _symbol(severity: str) -> Markup:
    return Markup('<svg class="symbol {}" viewBox="-8 -8 16 16" aria-hidden="true">{}</svg>').format(
        severity, shape(severity, 0, 0, 5)
    )


def _missed(report: CoilReport) -> list[tuple[str, int, float, int]]:
    """Return for each cause how many gaps there are, and how many metres and frames they have, the longest first."""
    found: dict[str, tuple[int, float, int]] = {}
    rows = [(gap.cause, 1, 0.0 if gap.from_m is None or gap.to_m is None else gap.to_m - gap.from_m, gap.frames)
            for gap in report.gaps]  # fmt: skip
    rows += [(one.cause, one.gaps, one.metres, one.frames) for one in report.gaps_rest]
    for cause, gaps, metres, frames in rows:
        before = found.get(cause, (0, 0.0, 0))
        found[cause] = before[0] + gaps, before[1] + metres, before[2] + frames
    return sorted(((cause, *sums) for cause, sums in found.items()), key=lambda row: (-row[2], -row[3], row[0]))

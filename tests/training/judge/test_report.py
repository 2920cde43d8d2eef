"""The report as a page: in whose language, and that nothing in it becomes markup."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from training.judge.gallery import Exhibit, Gallery, Room
from training.judge.report import write_report

RESULTS = Path(__file__).parents[3] / "training" / "results" / "evaluate-neu-fast.json"


@pytest.fixture
def gallery() -> Gallery:
    gallery = Gallery()
    values: dict[str, str | float] = {"name": "<b>.png", "label": "crazing", "score": 0.25}
    caption = "%(name)s, taken for %(label)s, own score %(score)s"
    gallery.show(
        Room("Test pictures that hurt most"), Exhibit(np.zeros((40, 40), np.uint8), caption, 1.0, None, values)
    )
    return gallery


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        pytest.param(
            "en",
            ["Test pictures that hurt most", "<b>.png, taken for crazing, own score 0.250", " of 360 = 0.9",
             "line: defects found", "Other mills and materials"],
            id="English",
        ),
        pytest.param(
            "de",
            ["Testbilder, die am meisten schaden", "<b>.png, für crazing gehalten, eigener Score 0,250",
             " von 360 = 0,9", "Linie: gefundene Fehler", "Andere Werke und Materialien"],
            id="German",
        ),
    ],
)  # fmt: skip
def test_a_report_speaks_its_readers_language(code: str, parts: list[str], gallery: Gallery, tmp_path: Path) -> None:
    """Headings, names of figures, captions and numbers are in one language; names from outside are text."""
    page = write_report(tmp_path, "small", json.loads(RESULTS.read_text()), gallery, code).read_text()

    assert f'<html lang="{code}">' in page
    assert "<b>.png" not in page
    text = html.unescape(re.sub(r"<[^>]*>", "", page))
    assert [part for part in parts if part not in text] == []


def test_the_figures_for_programs_have_no_language(gallery: Gallery, tmp_path: Path) -> None:
    """`results.json` is the same beside a German report."""
    results = json.loads(RESULTS.read_text())
    write_report(tmp_path, "small", results, gallery, "de")

    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_a_report_begins_with_a_verdict(gallery: Gallery, tmp_path: Path) -> None:
    """One sentence with the counts that decide, before any table; bad figures are called so."""
    results = json.loads(RESULTS.read_text())
    page = write_report(tmp_path, "small", results, gallery).read_text()
    decided = results["official"]["decision"]
    verdict = page.index("Good on surfaces like those it learned from: it decides")

    assert f"decides {decided['k']} of {decided['n']} test pictures rightly, finds " in page
    assert verdict < page.index("<details>") < page.index("<table>")
    results["line"]["clean_tiles"]["share"] = 0.3
    assert "Not good enough yet: it decides" in write_report(tmp_path, "small", results, gallery).read_text()
    del results["line"], results["foreign"]
    assert "test pictures rightly.</p>" in write_report(tmp_path, "small", results, gallery).read_text()

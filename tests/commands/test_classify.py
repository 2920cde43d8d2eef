"""Rows of `inspector classify` on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from inspector.commands.classify import TABLE_HEAD, table_line
from inspector.drawn.tiles import draw_tile

ROW = {"path": "plate.png", "label": "scratches", "top": "scratches", "score": 0.98, "scores": {}, "tiles": []}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(
            {**ROW, "box_px": {"x": 1, "y": 2, "width": 30, "height": 40}},
            ["scratches", "0.9800", "1", "2", "30", "40", "plate.png"],
            id="defect",
        ),
        pytest.param(
            {**ROW, "label": "unknown", "box_px": None}, ["unknown", "0.9800", "scratches", "plate.png"], id="unknown"
        ),
        pytest.param(
            {"path": "half.jpg", "error": "half.jpg: truncated", "reason": "unreadable"},
            ["(not", "inspected)", "unreadable", "half.jpg"],
            id="refused",
        ),
        pytest.param(
            {**ROW, "box_px": None, "path": "a\x1b[2J\u202eb.png"}, ["scratches", "0.9800", r"a\x1b[2J\u202eb.png"],
            id="a name that would move the cursor",
        ),
    ],
)  # fmt: skip
def test_a_line_says_what_was_decided(row: dict[str, object], expected: list[str]) -> None:
    """Label, score, what leads if that is another label, the box, and the picture's name, nothing in it unprintable."""
    assert table_line(row).split() == expected


@pytest.mark.parametrize(("options", "first"), [([], TABLE_HEAD), (["--json"], '{"path": ')])
def test_a_terminal_gets_a_table(tmp_path: Path, options: list[str], first: str) -> None:
    """With a head and a line per picture; JSON where that is asked for."""
    cv2.imwrite(str(tmp_path / "1.png"), draw_tile("scratches", 7))
    reader, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "inspector", "classify", *options, str(tmp_path)], stdout=terminal, check=True
    )
    os.close(terminal)
    with os.fdopen(reader, "rb", buffering=0) as output:
        lines = output.read(65536).decode().splitlines()

    assert lines[0].startswith(first)
    assert len(lines) == (1 if options else 2)
    assert lines[-1].startswith("scratches" if not options else first)

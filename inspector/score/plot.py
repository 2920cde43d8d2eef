"""The plot of detection against size, as SVG or PNG, without a library for plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import exp, log2
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, BOTTOM = 70, 20, 60
INK, GREY, COLOURS = "#222222", "#bbbbbb", ("#1f5fa8", "#b5541c", "#2f7d4f", "#7a4a9c")
SCALE = 2
"""PNG pixels for each unit of the drawing."""


@dataclass(slots=True)
class Drawing:
    """Lines, dots and words, in units of the drawing."""

    lines: list[tuple[list[tuple[float, float]], str, float, bool]] = field(default_factory=list)
    dots: list[tuple[float, float, str]] = field(default_factory=list)
    words: list[tuple[float, float, str, str, str]] = field(default_factory=list)

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.5, dashed: bool = False
    ) -> None:
        """Add a line through points."""
        self.lines.append((list(points), colour, width, dashed))

    def word(self, x: float, y: float, text: str, anchor: str = "start", colour: str = INK) -> None:
        """Add a text whose baseline is at y; anchor is start, middle or end."""
        self.words.append((x, y, text, anchor, colour))

    def as_svg(self) -> str:
        """Return an SVG file."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
            f' font-size="13"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        ]
        for points, colour, width, dashed in self.lines:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y, colour in self.dots]
        parts += [
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
            for x, y, text, anchor, colour in self.words
        ]
        return "\n".join([*parts, "</svg>\n"])

    def as_image(self) -> Image.Image:
        """Return a picture."""
        image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(13 * SCALE)
        for points, colour, width, dashed in self.lines:
            scaled = [(x * SCALE, y * SCALE) for x, y in points]
            pieces = _dashes(scaled) if dashed else [scaled]
            for piece in pieces:
                draw.line(piece, fill=colour, width=round(width * SCALE))
        for x, y, colour in self.dots:
            draw.ellipse([(x - 4) * SCALE, (y - 4) * SCALE, (x + 4) * SCALE, (y + 4) * SCALE], fill=colour)
        for x, y, text, anchor, colour in self.words:
            where = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            draw.text((x * SCALE, y * SCALE), text, fill=colour, font=font, anchor=where)
        return image


def _dashes(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return the strokes of a dashed line."""
    strokes = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length = max(1.0, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)
        for start in range(0, int(length), 18):
            a, b = start / length, min(1.0, (start + 10) / length)
            strokes.append([(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in (a, b)])
    return strokes


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of the plot.

    Attributes:
        name: For the legend.
        rows: As `by_size_px` of a report.
        a90: As `a90` of a report, or None.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    a90: Mapping[str, Any] | None


def draw_detection(series: Sequence[Series], title: str) -> Drawing:
    """Return the share that is found by size, with its 95 % interval, the fitted curve, a90, and chance."""
    drawing = Drawing()
    edges = [row[key] for each in series for row in each.rows for key in ("from", "to")] or [1.0, 2.0]
    low, high = log2(min(edges)), log2(max(edges))
    top = 40 + 18 * len(series)  # the legend lies above

    def place(size: float, share: float) -> tuple[float, float]:
        across = (log2(size) - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share * (HEIGHT - top - BOTTOM)

    drawing.word(WIDTH / 2, 20, title, "middle")
    for percent in range(0, 101, 10):
        ends = [place(2.0**at, percent / 100) for at in (low, high)]
        drawing.line(ends, GREY if percent != 90 else INK, 0.5 if percent != 90 else 0.8, percent == 90)
        drawing.word(LEFT - 8, ends[0][1] + 4, f"{percent} %", "end")
    for octave in range(round(low), round(high) + 1):
        x, y = place(2.0**octave, 0)
        drawing.line([(x, y), (x, y + 5)], INK)
        drawing.word(x, y + 20, f"{2.0**octave:g}", "middle")
    drawing.word(
        WIDTH / 2, HEIGHT - 12, "longer side, px (points: octaves with 95 % intervals; dashed: by chance)", "middle"
    )
    for number, each in enumerate(series):
        _draw_series(drawing, each, COLOURS[number % len(COLOURS)], place, (low, high), number)
    return drawing


def _draw_series(
    drawing: Drawing, series: Series, colour: str, place: Any, ends: tuple[float, float], number: int
) -> None:
    middles = [(row["from"] * row["to"]) ** 0.5 * (1 + 0.03 * number) for row in series.rows]
    for row, size in zip(series.rows, middles, strict=True):
        drawing.dots.append((*place(size, row["share"]), colour))
        drawing.line([place(size, row["low"]), place(size, row["high"])], colour)
    drawing.line(
        [place(size, row["by_chance"]) for row, size in zip(series.rows, middles, strict=True)], colour, 1, True
    )
    words = series.name
    if series.a90 is not None:
        steps = [ends[0] + (ends[1] - ends[0]) * step / 120 for step in range(121)]
        odds = [(2.0**at, series.a90["offset"] + series.a90["slope"] * at * 0.6931471805599453) for at in steps]
        drawing.line([place(size, 1 / (1 + exp(-max(-50, min(50, each))))) for size, each in odds], colour, 2)
        px, bound = series.a90["px"], series.a90["px_95"]
        if px is None or series.a90["extrapolated"]:
            words += ": a90 beyond what was shown"
        else:
            words += f": a90 {px:.0f} px" + ("" if bound is None else f", with 95 % confidence at most {bound:.0f} px")
        if px is not None and ends[0] <= log2(px) <= ends[1]:
            drawing.line([place(px, 0.9), place(px, 0)], colour, 1, True)
    drawing.word(LEFT + 12, 40 + 18 * number, words, colour=colour)


def save(drawing: Drawing, path: Path) -> None:
    """Write a drawing as its suffix says.

    Raises:
        OSError: It cannot be written.
    """
    if path.suffix.lower() == ".svg":
        path.write_text(drawing.as_svg(), encoding="utf-8")
    else:
        drawing.as_image().save(path, optimize=True)

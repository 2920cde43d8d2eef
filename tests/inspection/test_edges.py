"""`inspector.inspection.edges`: strips that are narrower than the picture."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import PaintedClassifier, decision_rules, make_frame

from inspector.frame import Cause, Pixels
from inspector.inspection.edges import EdgeRules, find_edges
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.tiling import TilingRules
from inspector.simulate.order import Order
from inspector.simulate.strip import SimulatedStrip


def strip(left: int, right: int, dark: int = 20, bright: int = 120, width: int = 400) -> Pixels:
    """A noisy strip from `left` to `right` before a noisy background, 64 rows."""
    grey = np.random.default_rng(left).normal(dark, 4, (64, width))
    grey[:, left:right] += bright - dark
    return np.clip(grey, 0, 255).astype(np.uint8)


def unevenly_lit(left: int, right: int) -> Pixels:
    """A strip under a light that falls off by nearly half towards its right side."""
    grey = strip(left, right, width=1000).astype(np.float32)
    return (grey * np.linspace(1.0, 0.4, 1000)).astype(np.uint8)


def streaked(column: int) -> Pixels:
    grey = strip(40, 330)
    grey[:, column] = 0
    return grey


@pytest.mark.parametrize(
    ("grey", "background", "expected"),
    [
        pytest.param(strip(40, 330), "dark", (40, 330), id="both edges"),
        pytest.param(strip(0, 330), "dark", (0, 330), id="off the picture at the left"),
        pytest.param(strip(0, 400), "dark", (0, 400), id="as wide as the picture"),
        pytest.param(strip(40, 330, dark=220, bright=120), "bright", (40, 330), id="before a light"),
        pytest.param(strip(0, 15), "dark", None, id="gone"),
        pytest.param(unevenly_lit(0, 1000), "dark", (0, 1000), id="as wide as the picture, unevenly lit"),
        pytest.param(unevenly_lit(0, 930), "dark", (0, 930), id="unevenly lit"),
        pytest.param(streaked(180), "dark", (40, 330), id="a streak"),
    ],
)
def test_edges_are_found(grey: Pixels, background: str, expected: tuple[int, int] | None) -> None:
    """Left and right edge of a strip, to two columns; of one that fills the picture, the picture's own."""
    found = find_edges(grey, background)  # type: ignore[arg-type]

    assert (found is None) == (expected is None)
    assert found is None or expected is None or np.abs(np.subtract(found, expected)).max() <= 2


def test_edges_of_a_simulated_strip_are_found() -> None:
    """Over 20 m of strip that wanders before a dark roll: the outermost edge of each frame, to three columns."""
    order = Order(seed=5, metres=20, width_px=1024, mm_per_px=1.0, edges=True, defects_per_m=1.0)
    worst = 0
    for piece in SimulatedStrip(order).pieces():
        if not len(piece.pixels):
            continue
        inside = piece.pixels[:400]
        lit = np.median(inside.reshape(-1, 20, 1024), axis=1) if len(inside) == 400 else None
        if lit is None:
            continue
        found = find_edges(inside)
        assert found is not None
        beside: list[bool] = np.all(lit < 45, axis=0).tolist()
        left, right = beside.index(False), 1024 - beside[::-1].index(False)
        worst = max(worst, abs(found[0] - left), abs(found[1] - right))

    assert worst <= 8


def test_tiles_off_the_strip_are_not_inspected_and_counted() -> None:
    """A tile without a column of strip is not scored; a picture without a strip is not inspected, and says why."""
    grey = np.full((64, 256), 203, np.uint8)
    grey[::2, ::2] -= 60
    frame = make_frame(0, grey)
    some, none = (
        inspect_frame(
            frame, PaintedClassifier(), InspectRules(TilingRules(64), decision_rules(), edges=EdgeRules(fixed=fixed))
        )
        for fixed in ((70, 190), (300, 400))
    )

    assert ([box.x for box in some.boxes], some.off_strip, some.edges) == ([64, 128], 2, (70, 190))
    assert (none.cause, none.off_strip, none.detail[:24]) == (Cause.UNSUPPORTED, 4, "no strip in the picture:")

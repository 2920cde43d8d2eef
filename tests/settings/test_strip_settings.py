"""`[strip]`: what is refused, and what other parts make of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.sections import Settings
from inspector.station.wiring import edge_rules, strip_rules

STATION = {"site": "s", "line": "l", "name": "n"}
LINES = {"kind": "lines", "path": "/run/lines", "width_px": 1024}


def settings(source: dict[str, Any] | None = None, **strip: Any) -> Settings:
    return Settings.model_validate({"station": STATION, "source": {**LINES, **(source or {})}, "strip": strip})


@pytest.mark.parametrize(
    ("source", "strip", "expected"),
    [
        pytest.param(
            {"mm_per_px": 0.5}, {"mm_per_px": 0.4}, "strip.mm_per_px and source.mm_per_px are the same", id="two"
        ),
        pytest.param({}, {"position": "rate"}, "line_rate_hz belongs to position = 'rate'", id="a rate without one"),
        pytest.param({}, {"line_rate_hz": 1000}, "line_rate_hz belongs to position = 'rate'", id="one without a rate"),
        pytest.param({}, {"edges": [90, 20]}, "the left must be less than the right", id="edges"),
        pytest.param({}, {"edges": "guess"}, "strip.edges", id="edges that are no word"),
        pytest.param({}, {"coil_pattern": "coil-*"}, "{coil} is expected once", id="a pattern"),
        pytest.param({}, {"coil_pattern": "{coil}/*", "coil_length_m": 9}, "exclude each other", id="two ways"),
        pytest.param({}, {"min_coverage": 1.5}, "min_coverage", id="a share"),
    ],
)
def test_what_does_not_fit_is_refused(source: dict[str, Any], strip: dict[str, Any], expected: str) -> None:
    """The text names the keys."""
    with pytest.raises(ValidationError, match=re.escape(expected)):
        settings(source, **strip)


def test_the_scale_has_two_names() -> None:
    """`source.mm_per_px` is the previous name of `strip.mm_per_px`; both may say the same."""
    assert settings({"mm_per_px": 0.5}).mm_per_px == settings(mm_per_px=0.5).mm_per_px == 0.5
    assert settings({"mm_per_px": 0.5}, mm_per_px=0.5).mm_per_px == 0.5


@pytest.mark.parametrize(
    ("pattern", "path", "coil"),
    [
        ("{coil}/*", "7731/0001.png", "7731"),
        ("{coil}_*.png", "day/7731_0001.png", "7731"),
        ("{coil}_*.png", "x.png", None),
    ],
)
def test_a_file_names_its_coil(pattern: str, path: str, coil: str | None) -> None:
    """The pattern is matched against the end of the path below the watched folder."""
    found = re.search(strip_rules(settings(coil_pattern=pattern)).coil_pattern or "", path)

    assert (None if found is None else found["coil"]) == coil


def test_edges_are_the_picture_s_unless_they_are_set() -> None:
    """Three ways to say where the strip ends."""
    said = [edge_rules(settings(**one).strip) for one in ({}, {"edges": "find"}, {"edges": [8, 900]})]

    assert [(one.find, one.fixed) for one in said] == [(False, None), (True, None), (False, (8, 900))]

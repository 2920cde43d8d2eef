"""Committed figures of speed are of today's code or say that they are not, and the page and the plot show them."""

from __future__ import annotations

import pytest

from inspector.bench.report import draw_loads
from tests.bench import figures as results


@pytest.mark.parametrize("name", results.NAMES)
def test_a_figure_is_of_todays_code(name: str) -> None:
    """Or it is marked."""
    assert not results.is_stale(name), "the code has changed since; run: python -m tests.bench, or with --older"


def test_the_page_and_the_plot_show_the_figures() -> None:
    """Writing them anew would change nothing."""
    text = results.PAGE.read_text("utf-8")
    lines = results.read("chain-lines")

    assert results.written_page(text) == text, "run: python -m tests.bench --older"
    assert lines is not None
    assert draw_loads(lines).as_svg() == results.PLOT.read_text("utf-8")


def test_what_is_compared_is_compared_in_one_run() -> None:
    """The script that most people write scores a twentieth of the tiles, or less; nobody is a hundred times as slow."""
    peers = results.read("peers")

    assert peers is not None
    assert peers["rows"]["inspector"]["inspector_is_faster"] == 1
    assert 20 <= peers["rows"]["script"]["inspector_is_faster"] < 1000

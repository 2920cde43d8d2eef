"""`inspector bench --chain`: a real station under load, what it is compared with, and what cannot be measured."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inspector.bench import chain, feeds, report
from inspector.bench.peers import Heard, Seen, Usage
from inspector.cli import app

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def measured(latencies_s: list[float], due: float, dropped: int = 0) -> chain._Measured:
    """Two seconds of feed, whose messages came so late."""
    frames = [Seen(number, None, 100.0, 10.5, 100.0 + late_s, 40) for number, late_s in enumerate(latencies_s)]
    feed = feeds.Feed(Path())
    begun, ended = Usage(1.0, 1 << 20, 10.0), Usage(2.0, 1 << 20, 12.0)
    return chain._Measured(Heard(frames, dropped), feed, True, due, 2.0, begun, ended, 1 << 20, 1.0)


@pytest.mark.parametrize(
    ("latencies_s", "due", "dropped", "tier"),
    [
        ([0.02] * 40, 40, 0, "stable"),
        ([0.02] * 30 + [0.09] * 10, 40, 0, "degrading"),
        ([0.02] * 40, 40, 1, "degrading"),
        ([0.02] * 39, 40, 0, "degrading"),
        ([0.02] * 37, 40, 0, "failing"),
        ([], 40, 0, "failing"),
    ],
)
def test_a_load_is_stable_degrading_or_failing(latencies_s: list[float], due: float, dropped: int, tier: str) -> None:
    """By what came in time, what was dropped, and the slowest of a hundred."""
    assert chain._row(80.0, measured(latencies_s, due, dropped)).tier == tier


def test_latency_runs_from_when_a_line_was_due(tmp_path: Path) -> None:
    """A frame whose lines had to wait is as late as its wait, whenever it was captured."""
    feed = feeds.LinesFeed(tmp_path)
    feed._due_s[3] = 5.0

    assert feed.latency_s(Seen(3, None, 0.0, 5.25, 0.0, 40)) == 0.25
    assert feed.latency_s(Seen(4, None, 0.0, 5.25, 0.0, 40)) is None


@pytest.mark.real
@pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto: sudo apt-get install mosquitto")
def test_the_chain_is_measured_on_a_real_station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame that was fed at a low load came, and JSON and plot are written."""
    monkeypatch.setattr(chain, "IDLE_S", 0.2)
    output, plot = tmp_path / "chain.json", tmp_path / "chain.svg"
    command = ["bench", "--chain", "--source", "lines", "--load", "20", "--seconds", "2", "--json"]
    done = CliRunner().invoke(app, [*command, "--output", str(output), "--plot", str(plot)])

    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == json.loads(output.read_text("utf-8"))
    assert (result["source"], result["broker"], result["tiles_per_frame"]) == ("lines", "mosquitto", 36.0)
    assert result["capacity"]["tiles_per_s"] > 0
    (row,) = result["loads"]
    assert row["delivered_per_s"] == row["fed_per_s"] > 0
    assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert "20 %" in plot.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--source", "tape"], "memory, lines, folder, rtsp are possible"),
        (["--load", "fast"], "percents as 20,50,80 are expected"),
        (["--load", "0"], "1 to 20 percents"),
        (["--plot", "x.gif"], ".svg or .png"),
        (["--output", "/nowhere/at/all/x.json"], "no such folder"),
    ],
)
def test_what_cannot_be_measured_is_wrong_use(options: list[str], said: str) -> None:
    """Before anything is started: exit 2 with the option."""
    done = CliRunner().invoke(app, ["bench", "--chain", *options])

    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("options", [["--output", "x.json"], ["--plot", "x.svg"], ["--chain", "--stages"]])
def test_an_option_that_would_do_nothing_is_wrong_use(options: list[str]) -> None:
    """Exit 2 before anything is measured."""
    assert CliRunner().invoke(app, ["bench", *options]).exit_code == 2


def test_a_plot_shows_each_load_with_its_tier() -> None:
    """The figures of a row are in it."""
    row: dict[str, Any] = asdict(chain._row(95.0, measured([0.02] * 30 + [0.09] * 10, 40)))
    result = {
        "source": "memory", "cpu": "a processor", "workers": 2, "loads": [row],
        "capacity": {"frames_per_s": 10.0, "ratio": 0.97},
    }  # fmt: skip
    picture = report.draw_loads(result).as_svg()

    for word in ("95 %", "degrading", "p99", "0.97 of the bare interpreter", "a processor"):
        assert word in picture

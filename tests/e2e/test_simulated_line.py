"""A station is tested before the coil comes: simulated lines into a real one, and what it says is scored."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import PROGRAM, Daemon, Listener

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def test_a_station_is_scored_on_simulated_lines(
    tmp_path: Path, listener: Listener, make_daemon: Callable[..., Daemon]
) -> None:
    """`simulate` into the FIFO that `run` reads, `score` on what its jsonl sink wrote: found, named, placed."""
    fifo, truth, messages = tmp_path / "lines", tmp_path / "truth.jsonl", tmp_path / "messages"
    os.mkfifo(fifo)
    daemon = make_daemon(
        f'kind = "lines"\npath = "{fifo}"\nwidth_px = 600\nmm_per_px = 0.5',
        f'[decision]\nmode = "alarm"\n[jsonl]\nenabled = true\npath = "{messages}"\n',
    )
    daemon.start()
    strip = ["--seed", "11", "--metres", "12", "--width-px", "600", "--mm-per-px", "0.5", "--defects-per-m", "1"]
    subprocess.run(
        [*PROGRAM, "simulate", *strip, "--format", "raw", "--output", fifo, "--truth", truth], check=True, timeout=60
    )
    written = len(truth.read_text().splitlines())
    listener.wait(lambda: len({d["defect_id"] for d in listener.of("defect")}) >= written - 2, "nearly every defect")
    assert daemon.stop() == 0
    done = subprocess.run(
        [*PROGRAM, "score", messages, "--truth", truth, "--json"], check=True, capture_output=True, text=True
    )
    report = json.loads(done.stdout)

    assert report["station"] == "test/line/cam"
    assert report["defects"] == written == 12
    assert report["recall"]["k"] >= 11
    assert report["right_class"]["k"] >= 10
    assert report["false_calls"] == 0
    assert report["position_error_m"]["max"] < 0.15
    assert report["metres"] == 12.0

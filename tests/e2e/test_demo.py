"""The demo is the product's first five minutes: it must find what it draws, with its own broker and with a real one."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
from pace import slowness
from peers import PROGRAM, Broker, Listener

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


def run_demo(*options: str | Path) -> tuple[int, dict[str, float]]:
    done = subprocess.run([*PROGRAM, "demo", "--headless", *options], capture_output=True, text=True, check=False)
    assert len(done.stdout.splitlines()) == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_demo_finds_what_it_draws() -> None:
    """Of what was drawn 95 % are found and 90 % rightly named, without a false alarm; a slow machine draws less."""
    code, report = run_demo("--seconds", "15")

    assert set(report) == {
        "drawn", "found", "right_label", "false_alarms", "second_events", "wrong_seconds", "frames", "tiles",
        "tiles_per_s", "delivered",
    }  # fmt: skip
    assert code == 0, report
    assert report["drawn"] >= 20
    assert report["found"] >= 0.95 * report["drawn"]
    assert report["right_label"] >= 0.90 * report["drawn"]
    assert report["false_alarms"] == 0
    assert report["delivered"] > report["drawn"]


def test_the_demo_speaks_to_a_real_broker(broker: Broker, listener: Listener) -> None:
    """With --broker everything that was stored is delivered there, marked as simulated."""
    _, report = run_demo("--seconds", "6", "--broker", f"127.0.0.1:{broker.port}")
    listener.wait(lambda: listener.messages[-1][1] == b"stopped", "the last word")

    defects = listener.of("defect")
    assert defects
    assert all(defect["simulated"] for defect in defects)
    told = [message["seq"] for kind in ("defect", "alarm", "coverage") for message in listener.of(kind)]
    assert sorted(told) == list(range(1, int(report["delivered"]) + 1))


def test_the_demo_composes_the_strip_from_real_tiles(tmp_path: Path) -> None:
    """With --images the strip shows the pictures of DIR/<label>/, and they are found."""
    for label in KINDS:
        (tmp_path / label).mkdir()
        for seed in range(3):
            cv2.imwrite(str(tmp_path / label / f"{seed}.png"), draw_tile(label, 500 + seed))
    _, report = run_demo("--seconds", "8", "--images", tmp_path)

    assert report["drawn"] >= 8
    assert report["found"] >= 0.9 * report["drawn"]


@pytest.mark.data
def test_the_demo_names_real_pictures_wherever_the_tiles_cut_them(data_folder: Path) -> None:
    """A strip laid with NEU's official test pictures meets the demo's own marks: exit 0."""
    pictures = data_folder / "neu-det" / "NEU-DET" / "validation" / "images"
    code, report = run_demo("--seconds", "15", "--images", pictures)

    assert code == 0, report
    assert report["drawn"] >= 20


class Terminal:
    """The demo on a terminal of 80 columns.

    Both ends stay open until it has ended: when the last program closes its end, the kernel may drop what was not read.
    """

    def __init__(self, *options: str) -> None:
        self._ours, self._theirs = pty.openpty()
        environ = {**os.environ, "COLUMNS": "80", "LINES": "40", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [*PROGRAM, "demo", *options], stdin=self._theirs, stdout=self._theirs, stderr=self._theirs,
            env=environ,
        )  # fmt: skip
        self.text = ""

    def read(self, until: str = "\0", deadline_s: float = 60) -> None:
        """Read until the screen holds what `until` matches, or the demo has ended and nothing is left to read."""
        end_s = time.monotonic() + deadline_s
        while not re.search(until, self.text) and time.monotonic() < end_s:
            ended = self.process.poll() is not None  # asked first: what it wrote before is there by now
            if select.select([self._ours], [], [], 0.1)[0]:
                piece = os.read(self._ours, 1 << 16)
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece.decode(errors="replace"))
            elif ended:
                return

    def last(self) -> dict[str, Any]:
        """The figures of the last line; where it is missing, the error shows how the demo ended."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        assert lines, f"no last line; exit code {self.process.returncode}, the screen ended with {self.text[-600:]!r}"
        return dict(json.loads(lines[-1]))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_screen_ends_at_once_with_what_it_showed(number: signal.Signals) -> None:
    """Ctrl-C ends the demo within 2 s of a machine's own time, and the last screen holds the last line's figures."""
    terminal = Terminal()
    try:
        terminal.read(r"[1-9]\d*, \d+, \d+ named right")
        slow, asked_s = slowness(), time.monotonic()
        terminal.process.send_signal(number)
        terminal.read()
        terminal.process.wait(30)
        took_s = time.monotonic() - asked_s
        slow = max(slow, slowness())
    finally:
        terminal.close()
    shown = [tuple(map(int, one)) for one in re.findall(r"(\d+), (\d+), (\d+) named right, (\d+) false", terminal.text)]
    last = terminal.last()

    assert took_s < 2.0 * slow
    assert terminal.process.returncode == 0
    assert shown[-1] == (last["drawn"], last["found"], last["right_label"], last["false_alarms"])
    assert {false for *_, false in shown} == {0}


def test_a_broker_that_does_not_answer_cannot_hold_the_end_up() -> None:
    """With a broker that takes connections and says nothing, Ctrl-C still ends the demo within 2 s."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        terminal = Terminal("--broker", f"127.0.0.1:{mute.getsockname()[1]}")
        try:
            terminal.read(r"[1-9]\d*, \d+, \d+ named right")
            slow, asked_s = slowness(), time.monotonic()
            terminal.process.send_signal(signal.SIGINT)
            terminal.read()
            terminal.process.wait(30)
            took_s = time.monotonic() - asked_s
            slow = max(slow, slowness())
        finally:
            terminal.close()

    shown = re.findall(r"(\d+), (\d+), (\d+) named right, (\d+) false", terminal.text)
    last = terminal.last()

    assert took_s < 2.0 * slow
    assert terminal.text.rindex("{") > terminal.text.rindex("└")
    assert [str(last[key]) for key in ("drawn", "found", "right_label", "false_alarms")] == [*shown[-1]]
    assert "nothing was delivered" in terminal.text


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        pytest.param(["--broker", "nowhere"], 78, "--broker", id="no address"),
        pytest.param(["--images", "/nowhere"], 78, "/nowhere", id="no pictures"),
        pytest.param(["--speed", "3"], 2, "--speed", id="unknown option"),
    ],
)
def test_wrong_use_is_named(options: list[str], code: int, named: str) -> None:
    """A wrong command line ends with 2, a refused value with 78, and each names what is wrong."""
    done = subprocess.run([*PROGRAM, "demo", "--headless", *options], capture_output=True, text=True, check=False)

    assert code == done.returncode
    assert named in done.stderr

"""A station that is taught by what it sees: with a real broker, a real folder, and the command line of the engineer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from peers import PROGRAM, Daemon, Listener, free_port, wait_for
from watched_folder import watched

from inspector.drawn.tiles import draw_tile

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

MakeDaemon = Callable[..., Daemon]
TAUGHT_ON = 80


def drawn(folder: Path, label: str, first: int, count: int) -> list[Path]:
    """Draw pictures beside the watched folder."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{label}{number}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        cv2.imwrite(str(path), draw_tile(label, number))
    return paths


def hand_in(paths: list[Path], folder: Path) -> None:
    for path in paths:
        path.rename(folder / path.name)


def health(listener: Listener) -> dict[str, Any]:
    """What the station said last of its health, or nothing yet."""
    said = [payload for topic, payload in list(listener.messages) if topic.endswith("/health") and payload]
    return dict(json.loads(said[-1])) if said else {"state": None, "reason": None, "reference": None}


def named(listener: Listener, kind: str, first: str) -> list[dict[str, Any]]:
    """The messages of files whose names begin so."""
    return [message for message in listener.of(kind) if str(message["frame"]["source_key"]).startswith(first)]


def teach(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "teach", "--config", str(daemon.config), "--json", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture
def daemon(tmp_path: Path, make_daemon: MakeDaemon) -> Daemon:
    """A station with the defaults, a port that can be asked, and a token."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    _, source = watched(tmp_path)
    daemon = make_daemon(source, '[decision]\nmode = "auto"\n')
    toml = daemon.config.read_text().replace("port = 0", f'port = {free_port()}\ntoken_file = "{token}"')
    daemon.config.write_text(toml)
    return daemon


def test_a_station_is_taught_by_what_it_sees(tmp_path: Path, daemon: Daemon, listener: Listener) -> None:
    """Untaught it observes and says so; taught it alarms on a defect and on nothing else; undone it observes again."""
    folder, drawer = tmp_path / "frames", tmp_path / "drawn"
    good = drawn(drawer, "clean", 0, TAUGHT_ON)
    daemon.start()
    daemon.started()
    hand_in(drawn(drawer, "scratches", 0, 1), folder)
    listener.wait(lambda: bool(named(listener, "defect", "scratches0")), "an untaught defect")
    wait_for(lambda: str(health(listener)["reason"]).startswith("untaught: "), "health to say that nobody taught it")

    with subprocess.Popen(
        [*PROGRAM, "teach", "--config", daemon.config, "--minutes", "0.2", "--accept", "--json"],
        stdout=subprocess.PIPE, text=True,
    ) as teaching:  # fmt: skip
        wait_for(lambda: daemon.events("teach_in_begun"), "the teach-in")
        hand_in(good, folder)
        said = json.loads(teaching.communicate(timeout=200)[0].splitlines()[-1])
    reference = said["reference"]
    wait_for(lambda: health(listener)["reference"] == reference, "health to name the reference")
    in_force = health(listener)

    hand_in(drawn(drawer, "clean", 1000, 12), folder)
    hand_in(drawn(drawer, "scratches", 1, 1), folder)
    listener.wait(lambda: len(named(listener, "frame", "clean10")) >= 12, "frames under the reference")
    listener.wait(lambda: bool(named(listener, "defect", "scratches1")), "a defect under the reference")
    undone = teach(daemon, "--undo")
    wait_for(lambda: health(listener)["reference"] is None, "health without a reference")
    hand_in(drawn(drawer, "scratches", 2, 1), folder)
    listener.wait(lambda: bool(named(listener, "defect", "scratches2")), "a defect after the undo")

    defects = [named(listener, "defect", f"scratches{number}")[0] for number in range(3)]
    assert teaching.returncode == 0
    assert (said["state"], said["teach_in"]["tiles"]) == ("accepted", TAUGHT_ON)
    assert not str(in_force["reason"]).startswith("untaught")
    assert [(d["alarm"], d["why"]["rule"], d["reference"]) for d in defects] == [
        (False, "mode", None), (True, "threshold", reference), (False, "mode", None),
    ]  # fmt: skip
    frames = [message for message in named(listener, "frame", "clean1") if message["reference"] == reference]
    assert {message["verdict"] for message in frames} == {"pass"}
    assert undone.returncode == 0
    assert len(daemon.events("started")) == 1
    assert daemon.stop() == 0


def test_what_cannot_be_taught_is_refused_by_name(daemon: Daemon) -> None:
    """No station, two teach-ins at once, and too little to see: exit 1 with the reason, and the station runs on."""
    nobody = teach(daemon, "--minutes", "1")
    daemon.start()
    daemon.started()
    with subprocess.Popen(
        [*PROGRAM, "teach", "--config", daemon.config, "--minutes", "0.15"], stdout=subprocess.PIPE, text=True
    ) as first:
        wait_for(lambda: daemon.events("teach_in_begun"), "the first teach-in")
        second = teach(daemon, "--minutes", "1")
        said = first.communicate(timeout=200)[0]

    assert (nobody.returncode, "does not answer" in nobody.stderr) == (1, True)
    assert (second.returncode, "a teach-in collects until" in second.stderr) == (1, True)
    assert first.returncode == 1
    assert "no tile was collected" in said
    assert daemon.stop() == 0

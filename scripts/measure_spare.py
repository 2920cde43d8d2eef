"""Time a spare PC: the program from nothing, a station restored from its archive, a picture inspected.

scripts/with-test python scripts/measure_spare.py

The first station runs from this tree and is backed up while it runs. Everything of the second one, its program too,
lies below a fresh folder; wheels come from where pip looks for them. What a person does in between is not in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from inspector.drawn.tiles import draw_tile  # noqa: E402

FIRST = (sys.executable, "-m", "inspector")
LONGEST_S = 300.0


def write_station(folder: Path) -> Path:
    """Write the configuration of a station that watches a folder and writes its messages to files."""
    (folder / "in").mkdir(parents=True)
    config = folder / "cam1.toml"
    config.write_text(
        f'[station]\nsite = "works"\nline = "strip"\nname = "cam1"\n[source]\nkind = "folder"\npath = "{folder}/in"\n'
        f'finished = "delete"\n[mqtt]\nenabled = false\n[jsonl]\nenabled = true\npath = "{folder}/messages"\n'
        f'[http]\nenabled = false\n[store]\npath = "{folder}/state"\n'
    )
    return config


def run_until_inspected(program: tuple[str, ...], folder: Path, then: Callable[[], None] = lambda: None) -> None:
    """Start a station, hand a picture in, wait for its message, do something while it runs, and stop it."""
    station = subprocess.Popen([*program, "run", "--config", folder / "cam1.toml"], stderr=subprocess.DEVNULL)
    try:
        picture = folder / "in" / f"{time.time_ns()}.png"
        cv2.imwrite(str(picture.with_suffix(".tmp.png")), draw_tile("scratches", 1, 200))
        picture.with_suffix(".tmp.png").rename(picture)
        pause, until_s = threading.Event(), time.monotonic() + LONGEST_S
        while not any(picture.name in path.read_text("utf-8") for path in (folder / "messages").glob("*")):
            if time.monotonic() > until_s or station.poll() is not None:
                raise SystemExit(f"no message of {picture.name}")
            pause.wait(0.1)
        then()
    finally:
        station.terminate()
        station.wait()


def main() -> None:
    """Print the seconds of each step."""
    place = Path(tempfile.mkdtemp(prefix="inspector-spare-"))
    line, archive, took_s = place / "line", place / "cam1.tar.gz", {}

    def timed(name: str, work: Callable[[], object]) -> None:
        started_s = time.monotonic()
        work()
        took_s[name] = round(time.monotonic() - started_s, 1)

    def call(*command: object) -> None:
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)

    config = write_station(line)
    backed_up = (*FIRST, "backup", "--config", config, "--output", archive)
    run_until_inspected(FIRST, line, lambda: timed("backup, while the station runs", lambda: call(*backed_up)))
    shutil.move(line, place / "lost")
    (line / "in").mkdir(parents=True)
    call(ROOT / "deploy/install/make-wheel.sh", place / "wheel")
    wheel = next((place / "wheel").glob("*.whl"))
    timed("the program, from nothing", lambda: call(ROOT / "deploy/install/make-venv.sh", place, wheel))
    program = (str(place / "opt/inspector/venv/bin/python"), "-m", "inspector")  # its script names its final place
    os.environ.pop("PYTHONPATH", None)
    timed("restore", lambda: call(*program, "restore", archive, "--config-dir", line))
    timed("from the start to the first message", lambda: run_until_inspected(program, line))
    print(json.dumps({**took_s, "in all": round(sum(took_s.values()), 1)}, indent=1))  # noqa: T201
    shutil.rmtree(place)


if __name__ == "__main__":
    main()

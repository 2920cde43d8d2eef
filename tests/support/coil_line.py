"""Three coils past a killed station: positions and lengths against the truth; the figures of docs/coils.md.

Run it as a script. It takes a minute, and needs mosquitto. `inspector simulate` brings lines at the pace of its
profile; a relay sends them on over TCP and loses what nobody reads, as a camera does; a plant says speeds and coils,
and when it said them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock
from inspector.store.store import Store

WIDTH_PX, OFFSET_M, KILL_S, RUN_S = 512, 5.0, 17.0, 46.0
PROFILE = ((0.0, 1.5), (10.0, 0.0), (13.0, 1.5), (20.0, -1.0), (23.0, 2.0))
COILS = ((2.0, "A"), (15.0, "B"), (30.0, "C"))
STATION = """
[station]
site = "mill"
line = "cpl1"
name = "top"
[source]
kind = "lines"
path = "tcp://127.0.0.1:{lines}"
width_px = 512
frame_lines = 200
overlap_lines = 25
[strip]
mm_per_px = 1.0
edges = "find"
offset_m = 5.0
[decision]
mode = "observe"
[mqtt]
port = {broker}
[http]
enabled = false
[store]
path = "{folder}/store"
"""


def ran_m(at_s: float) -> float:
    """How far the strip has run at a second of the profile."""
    ends = [at for at, _ in PROFILE[1:]] + [float("inf")]
    return sum(speed * (min(at_s, end) - at) for (at, speed), end in zip(PROFILE, ends, strict=True) if at_s > at)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def relay(server: socket.socket, lines: Any) -> None:
    """Send lines to whoever is connected; lose them otherwise."""
    connection: socket.socket | None = None
    while data := lines.read(WIDTH_PX):
        try:
            accepted, _ = server.accept()
            accepted.setblocking(True)
            connection = accepted
        except BlockingIOError:
            pass
        try:
            if connection is not None:
                connection.sendall(data)
        except OSError:
            connection = None


class Plant:
    """Says speeds and coils over MQTT."""

    def __init__(self, port: int) -> None:
        self._port = port

    def say(self, name: str, asked: dict[str, Any]) -> None:
        asked["at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        topic = f"inspector/mill/cpl1/top/cmd/{name}"
        subprocess.run(
            ["mosquitto_pub", "-p", str(self._port), "-q", "1", "-t", topic, "-m", json.dumps(asked)], check=True
        )


def start_station(folder: Path, log: str) -> subprocess.Popen[bytes]:
    with (folder / log).open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "inspector", "run", "--config", str(folder / "line.toml")],
                                stdout=out, stderr=out)  # fmt: skip


def wait_for(path: Path, word: str) -> None:
    ready = threading.Event()
    for _ in range(1200):
        if path.exists() and word in path.read_text("utf-8"):
            return
        ready.wait(0.05)
    raise TimeoutError(f"{word!r} is not in {path}")


def play(folder: Path) -> dict[str, float]:
    """Run the line once; returns at which second of the profile each coil was named."""
    lines, broker, pause = free_port(), free_port(), threading.Event()
    (folder / "line.toml").write_text(STATION.format(lines=lines, broker=broker, folder=folder))
    (folder / "speed.txt").write_text("\n".join(f"{at} {speed}" for at, speed in PROFILE))
    named: dict[str, float] = {}
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", lines)))
        server.setblocking(False)
        peer = subprocess.Popen(["mosquitto", "-p", str(broker)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(peer.kill)
        plant, station = Plant(broker), start_station(folder, "first.log")
        wait_for(folder / "first.log", '"broker_connected"')
        strip = subprocess.Popen(
            [sys.executable, "-m", "inspector", "simulate", "--seed", "4", "--metres", "70",
             "--width-px", str(WIDTH_PX), "--mm-per-px", "1", "--defects-per-m", "0.5", "--size-px", "40,80",
             "--edges", "--format", "raw",
             "--speed-profile", str(folder / "speed.txt"), "--output", "-", "--truth", str(folder / "truth.jsonl")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(strip.kill)
        threading.Thread(target=relay, args=(server, strip.stdout), daemon=True).start()
        wait_for(folder / "truth.jsonl.line.jsonl", "command")
        began, said, killed = time.monotonic(), 0, False
        while (now_s := time.monotonic() - began) < RUN_S:
            rows = (folder / "truth.jsonl.line.jsonl").read_text("utf-8").splitlines()
            for row in rows[said:]:
                plant.say("line", json.loads(row)["payload"])
            said = len(rows)
            for at_s, coil in COILS:
                if coil not in named and now_s >= at_s:
                    named[coil] = time.monotonic() - began
                    plant.say("coil", {"coil_id": coil})
            if not killed and now_s >= KILL_S:
                station.kill()
                station.wait()
                station, killed = start_station(folder, "second.log"), True
            pause.wait(0.005)
        plant.say("coil", {"coil_id": None})
        pause.wait(3)
        station.terminate()
        station.wait()
    return named


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def judge(folder: Path, named: dict[str, float]) -> None:
    """Print what was measured against the truth."""
    heads = {coil: ran_m(at_s) + OFFSET_M for coil, at_s in named.items()}
    truth = [json.loads(row) for row in (folder / "truth.jsonl").read_text("utf-8").splitlines()]
    with closing(Store(folder / "store", SystemClock())) as store:
        runs, defects = store.reader.coil_runs(), store.reader.recent_defects(1000)
    for run in reversed(runs):
        record, length_m, inspected_m = run.record, run.record.length_m or 0.0, run.record.inspected_m or 0.0
        over_m = length_m - inspected_m - record.gaps_m
        say(f"{record.coil_id}: length {length_m:.3f} m, inspected {inspected_m:.3f} m, balance {over_m:.6f} m")
    errors = []
    for defect in defects:
        if defect["phase"] != "closed" or defect["coil_id"] not in heads:
            continue
        at_m = heads[defect["coil_id"]] + defect["position_m"]
        middle = defect["box_px"]["x"] + defect["box_px"]["width"] / 2
        near = [abs(row["position_m"] - at_m) for row in truth if abs(row["x"] + row["width"] / 2 - middle) < 40]
        errors += [min(near)] if near and min(near) < 1 else []
    say(f"{len(errors)} defects found near their truth: {max(errors):.3f} m off at most; heads {heads}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        judge(Path(name), play(Path(name)))

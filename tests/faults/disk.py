"""A disk that is full, read-only, failing or hanging, by strace attached to a running station; then it works again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from pace import slowness

from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

KINDS = {
    "full": ("pwrite64,fdatasync,ftruncate,linkat", "error=ENOSPC"),
    "read-only": ("pwrite64,ftruncate,linkat,unlink", "error=EROFS"),
    "failing on writes": ("pwrite64", "error=EIO"),
    "failing on syncs": ("fdatasync", "error=EIO"),
    "hanging": ("fdatasync", "delay_enter=60000000"),
}
PER_S = 5.0
TOLD_S, BACK_S = 2.0, 10.0
UNTIL_SYNC_S = 2 / PER_S
"""A disk hangs from the first sync after the attachment on, which comes with a picture."""
FOR_S = 4.0
SESSION = 5


class Health:
    """Asks `/healthz` ten times a second; keeps each answer's state with its moment."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/healthz"
        self._stopping = threading.Event()
        self.seen: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._ask_on)
        self._thread.start()

    def _ask_on(self) -> None:
        while not self._stopping.wait(0.1):
            self.seen.append((time.time(), self._state()))

    def _state(self) -> str:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                return str(json.load(answer)["state"])
        except urllib.error.HTTPError as refusal:
            return str(json.load(refusal)["state"])
        except (OSError, ValueError) as fault:
            return f"no answer: {fault}"

    def wait_until(self, state: str, since: float, timeout_s: float) -> float | None:
        """Return when a state was seen first after a moment, or None."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if moments := [at for at, seen in self.seen if at >= since and seen == state]:
                return moments[0]
            self._stopping.wait(0.1)
        return None

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def _break(line: Line, kind: str, log: Path) -> subprocess.Popen[bytes]:
    """Attach to the station and let its system calls fail from now on."""
    calls, how = KINDS[kind]
    return subprocess.Popen(
        ["strace", "-p", str(line.pid), "-f", "-qq", "-ttt", "-o", log, "-e", f"trace={calls}", "-e", "signal=none",
         "-e", f"inject={calls}:{how}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _attached(pid: int, timeout_s: float = 20.0) -> float | None:
    """Return the moment from which every thread of a process is traced."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        try:
            states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        except OSError:  # a thread has ended meanwhile
            states = []
        if states and all("TracerPid:\t0\n" not in state for state in states):
            return time.time()
        pause.wait(0.02)
    return None


def _first_refusal(log: Path, timeout_s: float = 20.0) -> float | None:
    """Return the moment of the first call that met the fault."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.1)):
        if log.exists() and (found := re.search(rb"^\d+ +(\d+\.\d+) \w+\(", log.read_bytes(), re.MULTILINE)):
            return float(found[1])
        pause.wait(0.1)
    return None


def _try(line: Line, health: Health, kind: str, log: Path, for_s: float) -> Point:
    pause, slow = threading.Event(), slowness(0.1)
    strace = _break(line, kind, log)
    attached = _attached(line.pid)
    # A call that hangs is in the trace when it returns, so the moment of the attachment stands for its start.
    refused = attached if kind == "hanging" else _first_refusal(log)
    slow = max(slow, slowness(0.1))
    told = refused and health.wait_until("blind", refused, for_s * slow)
    pause.wait(max(0.0, (attached or time.time()) + for_s * slow - time.time()))
    os.kill(strace.pid, signal.SIGKILL)
    strace.wait()
    mended = time.time()
    back = health.wait_until("ok", mended + 0.2, 60.0)
    slow = max(slow, slowness(0.1))
    misses = []
    if refused is None:
        misses.append("no call met the fault")
    elif told is None:
        misses.append(f"not told within {for_s * slow:g} s")
    elif told - refused > (TOLD_S + (UNTIL_SYNC_S if kind == "hanging" else 0.0)) * slow:
        misses.append(f"told after {told - refused:.1f} s")
    if back is None:
        misses.append("not back within 60 s")
    elif back - mended > BACK_S * slow:
        misses.append(f"back after {back - mended:.1f} s")
    facts = {
        "max_told_s": told - refused if told and refused else 0.0,
        "max_back_s": back - mended if back else 0.0,
        "max_slowness": slow,
    }
    return Point(-1, tuple(f"{kind}: {miss}" for miss in misses), facts)


def _run(plan: Plan) -> Iterator[Point]:
    lasts = {"hanging": 60.0} if len(plan.points) > SESSION else {"hanging": 5.0}
    for points in plan.sessions(SESSION):
        with Line(plan.folder / f"session-{points[0]}", plan.planted) as line:
            line.station.start()
            health = Health(int(line.station.started()["http"]))
            try:
                line.oracle.start(PER_S)
                health.wait_until("ok", 0.0, 60.0)
                for number in points:
                    kind = list(KINDS)[number % len(KINDS)]
                    tried = _try(line, health, kind, line.folder / f"trace-{number}", lasts.get(kind, FOR_S))
                    last = line.settle() if number == points[-1] else None
                    misses = [*tried.misses, *((*last.misses(), *line.left_behind()) if last else ())]
                    facts = {**tried.facts, **({"files": len(line.oracle.fed), **last.facts()} if last else {})}
                    yield Point(number, tuple(misses), facts)
            finally:
                health.stop()


ROW = Row(
    fault="the disk under the store is full, read-only, fails on writes or on syncs (4 s each), hangs (60 s)",
    figure="told within 2 s, back within 10 s, loss exact (0)",
    n=50,
    core=5,
    judges=("store", "station", "telemetry"),
    run=_run,
    raised=(
        QUEUE,
        "runs of up to five tries hang for 5 s",
        "limits grow by how slow a busy machine is (max slowness)",
        "a hang may be told 0.4 s later: until the next sync",
    ),
)

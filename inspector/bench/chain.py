"""The whole chain beside the bare interpreter: a real station with store, evidence and broker, under a rising load.

First the station is fed as fast as it takes frames, between two measurements of the bare interpreter on the same cores:
the ratio is what the chain leaves of it. Then it is fed at shares of that rate. Latency runs from the moment at which a
frame was due to the arrival of its message at a subscriber, when the broker acknowledges it, too. So time in which the
feed had to wait for the station counts (Tene, "How NOT to measure latency": no coordinated omission).
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inspector.bench.feeds import KINDS, Feed
from inspector.bench.inspecting import bare_rate
from inspector.bench.peers import Heard, Listener, MeasuredStation, Usage, broker
from inspector.clock import to_rfc3339
from inspector.errors import WorkerError
from inspector.model.bundle import Bundle

SCHEMA = "inspector/bench/1"
WARM_UP_S, IDLE_S = 1.0, 4.0
LATE_S = 1.0
"""How much later than its feed a frame's message may come and still count as delivered at this load."""
SLOWEST_MS = 80.0
"""p99 above which a load that loses nothing is degrading."""
FAILING_BELOW = 0.95

Tier = Literal["stable", "degrading", "failing"]


@dataclass(frozen=True, slots=True)
class LoadRow:
    """What a load has given.

    Attributes:
        load: Percent of the capacity.
        tier: `stable`: all came, p99 within 80 ms. `failing`: less than 95 % came in time. Else `degrading`.
        fed_per_s: Frames a second that were due.
        delivered_per_s: Frames a second whose message came, during the feed or within a second after it.
        p50_ms: From the moment at which a frame was due to the arrival of its message, as the following.
        p90_ms: As above.
        p99_ms: As above.
        max_ms: As above.
        dropped: Frames that the station reported as dropped.
        told: What health said.
        cores: Busy for the station.
        rss_mib: Its resident memory at the end, at most.
        start_s: From its start to its first health message.
    """

    load: float
    tier: Tier
    fed_per_s: float
    delivered_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    dropped: int
    told: list[str]
    cores: float
    rss_mib: float
    start_s: float


def run_chain(
    bundle: Bundle, workers: int, source: str, loads: Sequence[float], seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the result as JSON values: the capacity beside the bare interpreter, then a row a load.

    Args:
        bundle: A proven bundle, which the station runs, too.
        workers: Interpreters on each side.
        source: One of `KINDS`.
        loads: Percent of the capacity.
        seconds: Feed of each load.
        say: Told what is being measured.

    Raises:
        ConfigError: What this source needs is not installed.
        WorkerError: The station does not start, or inspects nothing.
    """
    with tempfile.TemporaryDirectory(prefix="inspector-bench-") as temporary:
        folder = Path(temporary)
        with broker(folder) as (port, broker_name):
            chain = _Chain(bundle, workers, source, folder, port)
            try:
                return chain.measure(loads, seconds, say) | {"broker": broker_name}
            finally:
                chain.feed.close()


class _Chain:
    def __init__(self, bundle: Bundle, workers: int, source: str, folder: Path, port: int) -> None:
        self._bundle, self._workers, self._folder, self._port = bundle, workers, folder, port
        self._source = source
        (folder / "feed").mkdir()
        self.feed: Feed = KINDS[source].opened(folder / "feed")

    def measure(self, loads: Sequence[float], seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
        say("the bare interpreter, and the station as fast as it goes")
        before = bare_rate(self._bundle, self._workers, seconds / 4)
        whole, idle = self._run(0.0, seconds, idle=True)
        after = bare_rate(self._bundle, self._workers, seconds / 4)
        bare = (before + after) / 2
        frames_per_s, tiles = _steady_rate(whole.heard)
        if not frames_per_s:
            raise WorkerError(
                f"the measured station has inspected nothing; health: {[reason for _, reason in whole.heard.reasons]}"
            )
        left = 1 / (tiles / bare + self.feed.decode_s / _cores(self._workers))
        rows = []
        for load in loads:
            say(f"{load:g} % of {frames_per_s:.1f} frames/s")
            measured, _ = self._run(frames_per_s * load / 100, seconds)
            rows.append(_row(load, measured))
        return {
            "schema": SCHEMA,
            "at": to_rfc3339(datetime.now(UTC)),
            "source": self._source,
            "bundle": self._bundle.short,
            "cpu": cpu_name(),
            "cores": len(os.sched_getaffinity(0)),
            "workers": self._workers,
            "seconds": seconds,
            "tiles_per_frame": round(tiles, 1),
            "bare_tiles_per_s": round(bare, 1),
            "capacity": {
                "frames_per_s": round(frames_per_s, 2),
                "tiles_per_s": round(frames_per_s * tiles, 1),
                "ratio": round(frames_per_s * tiles / bare, 3),
                "decode_ms": round(1000 * self.feed.decode_s, 2),
                "of_what_decoding_leaves": round(frames_per_s / left, 3),
                "cores": whole.cores,
                "rss_mib": whole.rss_mib,
            },
            "start_s": round(whole.start_s, 2),
            "idle_cores": idle,
            "loads": [asdict(row) for row in rows],
        }

    def _run(self, rate: float, seconds: float, *, idle: bool = False) -> tuple[_Measured, float | None]:
        """Run one station over one feed."""
        config = self._folder / "bench.toml"
        state = tempfile.mkdtemp(prefix="state-", dir=self._folder)
        config.write_text(self._toml(state), "utf-8")
        listener = Listener(self._port)
        station = MeasuredStation(self.feed.command(config, rate), self._folder)
        stop = threading.Event()
        try:
            start_s = station.wait_for(listener.heard.healthy, "said how it is")
            resting = None
            waits = KINDS[self._source].paced
            if idle and waits:
                stop.wait(WARM_UP_S)
                rested = station.usage()
                stop.wait(IDLE_S)
                resting = round(station.usage().cores_since(rested), 3)
            if not waits:  # a camera delivers by itself, once it is open
                station.wait_for(listener.heard.first, "published a frame")
            begun, most = station.usage(), [0]
            sampler = threading.Thread(target=_sample, args=(station, stop, most))
            sampler.start()
            try:
                due = self.feed.feed(rate, seconds, stop)
                ended = station.usage()
                stop.wait(LATE_S)
            finally:
                stop.set()
                sampler.join()
            heard = listener.heard
            return _Measured(
                heard, self.feed, waits, due, seconds, begun, ended, max(most[0], ended.rss_bytes), start_s
            ), resting
        finally:
            stop.set()
            station.stop()
            listener.close()

    def _toml(self, state: str) -> str:
        return (
            f'[station]\nsite = "bench"\nline = "chain"\nname = "station"\n[source]\n{self.feed.source}\n'
            f'[model]\npath = "{self._bundle.root}"\nworkers = {self._workers}\n[mqtt]\nport = {self._port}\n'
            f'[store]\npath = "{state}"\n[http]\nport = 0\n[events]\nframe_messages = true\n'
        )


@dataclass(frozen=True, slots=True)
class _Measured:
    heard: Heard
    feed: Feed
    waits: bool
    due: float
    seconds: float
    begun: Usage
    ended: Usage
    rss_bytes: int
    start_s: float

    @property
    def cores(self) -> float:
        return round(self.ended.cores_since(self.begun), 2)

    @property
    def rss_mib(self) -> float:
        return round(self.rss_bytes / 2**20, 1)


def _sample(station: MeasuredStation, stop: threading.Event, most: list[int]) -> None:
    """Note the largest resident memory until it stops."""
    while not stop.wait(0.2):
        try:
            most[0] = max(most[0], station.usage().rss_bytes)
        except OSError:  # it has ended; who feeds it finds out
            return


def _steady_rate(heard: Heard) -> tuple[float, float]:
    """Return frames a second and tiles a frame between the first quarter of the messages and the last."""
    frames = heard.frames[len(heard.frames) // 4 :]
    if len(frames) < 3:
        return 0.0, 0.0
    spent_s = frames[-1].arrived_mono_s - frames[0].arrived_mono_s
    return (len(frames) - 1) / spent_s, float(np.median([seen.tiles for seen in frames]))


def _row(load: float, measured: _Measured) -> LoadRow:
    heard = measured.heard
    until_s = measured.ended.at_mono_s + (LATE_S if measured.waits else 0.0)
    came = [seen for seen in list(heard.frames) if measured.begun.at_mono_s <= seen.arrived_mono_s <= until_s]
    within = [latency for seen in came if (latency := measured.feed.latency_s(seen)) is not None]
    times = 1000 * np.array(within[len(within) // 10 :])  # the first tenth warms up
    share = len(within) / max(1.0, measured.due)
    p50, p90, p99 = (round(float(np.quantile(times, q)), 1) if len(times) else None for q in (0.5, 0.9, 0.99))
    lost = heard.missed or share < 0.99
    tier: Tier = "failing" if share < FAILING_BELOW else "stable"
    if tier == "stable" and (lost or p99 is None or p99 > SLOWEST_MS):
        tier = "degrading"
    return LoadRow(
        load, tier, round(measured.due / measured.seconds, 2), round(len(within) / measured.seconds, 2), p50, p90, p99,
        round(float(times.max()), 1) if len(times) else None, heard.missed, _told(measured), measured.cores,
        measured.rss_mib, round(measured.start_s, 2),
    )  # fmt: skip


def _told(measured: _Measured) -> list[str]:
    """Return what health said while it was fed, but that nobody has taught it, which is so."""
    begun_s, ended_s = measured.begun.at_mono_s, measured.ended.at_mono_s
    said = (reason for at_s, reason in measured.heard.reasons if begun_s < at_s < ended_s)
    return list(dict.fromkeys(reason for reason in said if not reason.startswith("untaught")))


def _cores(workers: int) -> int:
    return min(workers, len(os.sched_getaffinity(0)))


def cpu_name() -> str:
    """Return what the processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor()
    return platform.processor()

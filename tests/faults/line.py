"""A line to try faults on: a real broker, a station on a watched folder, the oracle that feeds it, a consumer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from peers import Broker, Daemon, station_toml

from tests.faults.checker import Findings, check
from tests.faults.consumer import Consumer
from tests.faults.oracle import Oracle

QUEUE = "the broker's max_queued_messages is 0 (no limit): mosquitto drops what a consumer who is away has beyond 1,000"
BROKER = "allow_anonymous true\nmax_queued_messages 0\n"
END_S = 300.0
"""Longest wait for the last message of what was fed; later it counts as lost."""
PUT_AWAY_S = 60.0
"""Longest wait for the last file to be put away after its message came."""
PLANTED_END_S = 30.0
"""The same for what is known not to come."""


class Line:
    """Peers in one folder; all are gone at the end of the `with`.

    Args:
        folder: For everything; one that an earlier session used is continued by nobody, so take a new one.
        planted: Let the consumer forget the message of its seventh arrival.
        extra: More of the station's TOML.
        broker: The broker's configuration, but for listener and persistence.
        persistence: Whether the broker keeps its state on disk, with its default autosave of 1,800 s.
        source: More lines of `[source]`.
        port: Where the station finds its broker; unset: at the broker itself.
    """

    def __init__(
        self,
        folder: Path,
        planted: bool = False,
        extra: str = "",
        broker: str = BROKER,
        persistence: bool = True,
        source: str = "",
        port: Callable[[Broker], int] | None = None,
        feeder: Oracle | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.end_s = PLANTED_END_S if planted else END_S
        self.oracle = feeder or Oracle(folder)
        self.broker = Broker(folder / "broker", broker, persistence)
        self.consumer = Consumer(folder / "consumer.sqlite3", self.broker.port, forget=7 if planted else None)
        lines = f"{self.oracle.source}\n{source}"
        port_of = port or (lambda broker: broker.port)
        self.station = Daemon(folder, station_toml(folder, port_of(self.broker), lines, extra))
        self._end = ExitStack()

    def __enter__(self) -> Line:
        """Start the broker and the consumer; the station is the row's to start."""
        with ExitStack() as end:
            end.callback(self.broker.kill)
            self.broker.start()
            end.callback(self.consumer.close)
            self.consumer.start()
            end.callback(self.station.end)
            end.callback(self.oracle.stop)
            self._end = end.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    @property
    def pid(self) -> int:
        """Of the station's process."""
        assert self.station._process is not None
        return self.station._process.pid

    @property
    def runs(self) -> bool:
        """Whether the station's process is there."""
        return self.station._process is not None and self.station._process.poll() is None

    def settle(self) -> Findings:
        """Stop feeding, wait for what is still under way, and return what does not fit."""
        self.oracle.stop()
        fed = set(self.oracle.fed)
        self.consumer.wait(lambda: fed <= self.consumer.names() | self.consumer.dropped, self.end_s, every_s=0.5)
        self.consumer.wait_quiet()
        return check(self.oracle.fed, self.consumer.received())

    def left_behind(self) -> tuple[str, ...]:
        """Return as a miss that not every file was put away once, which the next scans do where a disk refused."""
        fed = sorted(self.oracle.fed)
        self.consumer.wait(lambda: self._put_away() == fed, PUT_AWAY_S, every_s=0.5)
        there = self._put_away()
        return () if there == fed else (f"{len(there)} files put away of {len(fed)} fed",)

    def _put_away(self) -> list[str]:
        return sorted(path.name for path in self.oracle.done.rglob("*") if path.is_file())

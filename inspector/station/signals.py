"""Signals to the daemon, which outlives its stations: a reload ends one station and starts another."""

from __future__ import annotations

import signal
from types import FrameType

from inspector.station.station import Station, Verb


class PendingSignals:
    """Signals that arrived and were not acted on yet; none is forgotten, not even between two stations."""

    def __init__(self) -> None:
        self._station: Station | None = None
        self._stop = self._reload = False

    def note(self, number: int, _: FrameType | None) -> None:
        """Note a signal; the handler."""
        verb: Verb = "reload" if number == signal.SIGHUP else "stop"
        self._stop = self._stop or verb == "stop"
        self._reload = self._reload or verb == "reload"
        if self._station is not None:
            self._station.request(verb)

    def forward_to(self, station: Station) -> None:
        """Forward signals to `station` from now on, and deliver any that arrived while none could take them."""
        self._station = station
        if self._stop or self._reload:
            station.request("stop" if self._stop else "reload")

    @property
    def stop_wanted(self) -> bool:
        """Whether a stop has arrived."""
        return self._stop

    def begin_reload(self) -> None:
        """Clear the pending reload: the configuration read after this call satisfies it.

        A pending stop is repeated to the station.
        """
        self._reload = False
        if self._stop and self._station is not None:
            self._station.request("stop")

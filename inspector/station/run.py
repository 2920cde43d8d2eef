"""Runs stations one after the other: signals, and reloads of the configuration."""

from __future__ import annotations

import faulthandler
import signal
from functools import partial
from pathlib import Path
from types import FrameType

from inspector.clock import SystemClock
from inspector.errors import EXIT_FAILURE, EXIT_OK, InspectorError, RefusedError, WorkerError
from inspector.http.server import require_listener
from inspector.settings.loading import Loaded, load_settings
from inspector.settings.sections import Settings
from inspector.sinks.mqtt.options import require_files
from inspector.station.station import Station, Verb, _log
from inspector.station.wiring import OpenModel, http_options, mqtt_options, open_bundle
from inspector.telemetry.notify import Notifier


def run_daemon(config: Path) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP takes a new configuration or bundle if both are good.

    Returns:
        The exit code.

    Raises:
        RefusedError: The configuration or bundle does not let it start.
    """
    faulthandler.enable()  # a watchdog's SIGABRT leaves all stacks in the journal
    notifier, clock, wishes = Notifier(), SystemClock(), _PendingSignals()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, wishes.take)
    loaded = load_settings(config)
    brain = open_bundle(loaded.settings)
    station = Station(loaded.settings, brain, clock, notifier)
    while True:
        wishes.hand_to(station)
        try:
            reloaded = station.run(reload=partial(_check_reload, config, station, notifier, wishes))
        except WorkerError as exc:
            _log.error("failed", reason=str(exc))
            return EXIT_FAILURE
        if reloaded is None:
            return EXIT_OK
        before = loaded
        loaded, brain = reloaded
        try:
            station = Station(loaded.settings, brain, clock, notifier)
        except RefusedError as exc:
            _log.error("reload_refused", reason=str(exc), still="the configuration of before")
            brain.pool.close()
            loaded, brain = before, open_bundle(before.settings)
            station = Station(loaded.settings, brain, clock, notifier)
            station.metrics.reload_ok.set(0)


class _PendingSignals:
    """Signals, whoever runs when they come: no wish is forgotten, not between two stations either."""

    def __init__(self) -> None:
        self._station: Station | None = None
        self._stop = self._reload = False

    def take(self, number: int, _: FrameType | None) -> None:
        """Note a signal; the handler."""
        verb: Verb = "reload" if number == signal.SIGHUP else "stop"
        self._stop = self._stop or verb == "stop"
        self._reload = self._reload or verb == "reload"
        if self._station is not None:
            self._station.request(verb)

    def hand_to(self, station: Station) -> None:
        """Tell this station from now on, and at once of a wish that the one before could not follow."""
        self._station = station
        if self._stop or self._reload:
            station.request("stop" if self._stop else "reload")

    def begin_reload(self) -> None:
        """What is read from here on is as wished; a later wish is another, and one to stop is said again."""
        self._reload = False
        if self._stop and self._station is not None:
            self._station.request("stop")


def _check_reload(
    config: Path, station: Station, notifier: Notifier, wishes: _PendingSignals
) -> tuple[Loaded, OpenModel] | None:
    """Return the new configuration and its proven bundle, or None when the old ones must stay."""
    wishes.begin_reload()
    notifier.reloading()
    try:
        loaded = load_settings(config)
        _require_peers(loaded.settings, station.settings)
        return loaded, open_bundle(loaded.settings)
    except InspectorError as exc:
        _log.error("reload_refused", reason=str(exc), still="the configuration of before")
        station.metrics.reload_ok.set(0)
        notifier.ready("reload refused, still running as before")
        return None


def _require_peers(settings: Settings, running: Settings) -> None:
    """Refuse what the next station would stumble over while the present one still runs.

    Raises:
        ConfigError: A file that is named cannot be used, or another program has the new port.
    """
    require_files(mqtt_options(settings))
    if settings.http.enabled:
        # Its own port is free once the old station stops.
        same_port = running.http.enabled and settings.http.port == running.http.port
        require_listener(http_options(settings), bind=not same_port)

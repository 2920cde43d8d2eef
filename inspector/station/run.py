"""Runs stations one after the other, until a signal or a dead part ends the daemon."""

from __future__ import annotations

import faulthandler
import gc
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from inspector.clock import Clock, SystemClock
from inspector.errors import EXIT_FAILURE, EXIT_OK, StoreDamagedError, WorkerError
from inspector.settings.loading import Loaded, load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.station.arenas import keep_few_arenas
from inspector.station.refitting import open_taught
from inspector.station.reload import check_reload, naming
from inspector.station.signals import PendingSignals
from inspector.station.station import Station
from inspector.station.wiring import OpenModel, open_bundle
from inspector.telemetry.notify import Notifier

WAIT_S = 0.5
"""Between two tries to open a store whose disk refuses."""

_log = structlog.get_logger("daemon")


def run_daemon(config: Path) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP takes a new configuration or bundle if both are good.

    Returns:
        The exit code.

    Raises:
        RefusedError: The configuration or bundle does not let it start.
    """
    faulthandler.enable()  # a watchdog's SIGABRT leaves all stacks in the journal
    keep_few_arenas()
    notifier, clock, signals = Notifier(), SystemClock(), PendingSignals()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signals.note)
    loaded = load_settings(config)
    _log_warnings(loaded)
    with naming(config):
        model = open_taught(loaded.settings, clock, notifier.alive)
        _log_bundle(model)
        first = _begin(loaded.settings, model, clock, notifier, signals)
    if first is None:
        return EXIT_OK
    station = first
    del first  # the last name of a station that a reload replaces
    begins: Literal["started", "reloaded", "resumed"] = "started"
    while True:
        signals.forward_to(station)
        if begins != "started":  # a station's parts know each other: left to itself, each reload costs 0.5 MB
            gc.collect()
        try:
            reloaded = station.run(reload=partial(check_reload, config, station, notifier, signals), begins=begins)
        except StoreDamagedError as exc:
            _log.error("store_damaged", reason=str(exc))
            model, begins = open_bundle(loaded.settings, station.model.bundle), "resumed"
            again = _begin(loaded.settings, model, clock, notifier, signals)  # sets the file aside
            if again is None:
                return EXIT_OK
            station = again
            continue
        except WorkerError as exc:
            _log.error("failed", reason=str(exc))
            return EXIT_FAILURE
        if reloaded is None:
            return EXIT_OK
        previous, bundle = loaded, station.model.bundle
        loaded, model = reloaded
        _log_warnings(loaded)
        _log_bundle(model)
        try:
            station, begins = Station(loaded.settings, model, clock, notifier), "reloaded"
        except Exception as exc:  # noqa: BLE001 - of whatever kind: the previous one has just run
            _log.error("reload_refused", reason=str(exc), still="the previous configuration")
            model.pool.close()
            loaded, begins = previous, "resumed"
            station = Station(loaded.settings, open_bundle(loaded.settings, bundle), clock, notifier)
            station.metrics.reload_ok.set(0)


def _begin(
    settings: Settings, model: OpenModel, clock: Clock, notifier: Notifier, signals: PendingSignals
) -> Station | None:
    """Return a station; while its store's disk refuses, wait for it. None: a stop came meanwhile.

    Nothing is renamed or begun anew meanwhile: the disk may come back with everything on it.
    """
    said, pause = "", threading.Event()
    while not signals.stop_wanted:
        try:
            return Station(settings, model, clock, notifier)
        except WorkerError as exc:
            if str(exc) != said:
                _log.error("store_refuses", folder=str(state_folder(settings)), reason=str(exc))
                notifier.ready(f"blind: store: {exc}")
            said = str(exc)
        notifier.alive()
        pause.wait(WAIT_S)
    notifier.stopping()
    model.pool.close()
    return None


def _log_warnings(loaded: Loaded) -> None:
    for text in loaded.warnings:
        _log.warning("configuration_warning", reason=text)


def _log_bundle(model: OpenModel) -> None:
    for text in model.bundle.warnings:
        _log.warning("bundle_warning", reason=text)

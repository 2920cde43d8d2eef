"""Runs stations one after the other, until a signal or a dead part ends the daemon."""

from __future__ import annotations

import faulthandler
import signal
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from inspector.clock import SystemClock
from inspector.errors import EXIT_FAILURE, EXIT_OK, StoreDamagedError, WorkerError
from inspector.settings.loading import Loaded, load_settings
from inspector.station.reload import check_reload, naming
from inspector.station.signals import PendingSignals
from inspector.station.station import Station
from inspector.station.wiring import OpenModel, open_bundle
from inspector.telemetry.notify import Notifier

_log = structlog.get_logger("daemon")


def run_daemon(config: Path) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP takes a new configuration or bundle if both are good.

    Returns:
        The exit code.

    Raises:
        RefusedError: The configuration or bundle does not let it start.
    """
    faulthandler.enable()  # a watchdog's SIGABRT leaves all stacks in the journal
    notifier, clock, signals = Notifier(), SystemClock(), PendingSignals()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signals.note)
    loaded = load_settings(config)
    _log_warnings(loaded)
    with naming(config):
        model = open_bundle(loaded.settings)
        _log_bundle(model)
        station = Station(loaded.settings, model, clock, notifier)
    begins: Literal["started", "reloaded", "resumed"] = "started"
    while True:
        signals.forward_to(station)
        try:
            reloaded = station.run(reload=partial(check_reload, config, station, notifier, signals), begins=begins)
        except StoreDamagedError as exc:
            _log.error("store_damaged", reason=str(exc))
            model, begins = open_bundle(loaded.settings, station.model.bundle), "resumed"
            station = Station(loaded.settings, model, clock, notifier)  # sets the file aside
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


def _log_warnings(loaded: Loaded) -> None:
    for text in loaded.warnings:
        _log.warning("configuration_warning", reason=text)


def _log_bundle(model: OpenModel) -> None:
    for text in model.bundle.warnings:
        _log.warning("bundle_warning", reason=text)

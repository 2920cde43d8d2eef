"""Look at a configuration before it runs: every value and its origin, bundle, source, broker, disk.

Exit 0: good. 78: configuration or bundle would be refused. 1: something is not reachable now; the daemon would start
and wait.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock
from inspector.daemon import mqtt_options, open_brain
from inspector.errors import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_REFUSED,
    BrokerError,
    InspectorError,
    RefusedError,
    SourceError,
)
from inspector.settings import Loaded, Settings, load_settings, state_folder
from inspector.sinks.mqtt import probe_broker, require_files
from inspector.sources import open_source
from inspector.sources.base import EndOfSource, SourceContext


@dataclass(slots=True)
class Report:
    """What a check found in one file.

    Attributes:
        path: The configuration file.
        values: `section.key` → value and origin.
        good, unreachable, refused: Findings, each a sentence.
    """

    path: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    good: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, 1 or 78."""
        return EXIT_REFUSED if self.refused else EXIT_FAILURE if self.unreachable else EXIT_OK

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": self.path, "exit_code": self.exit_code, "values": self.values, "good": self.good,
            "unreachable": self.unreachable, "refused": self.refused,
        }  # fmt: skip


def check_files(paths: Sequence[Path]) -> list[Report]:
    """Return one report per file; several files are also compared for a shared root, store or port."""
    reports, loaded = [], list[tuple[Report, Loaded]]()
    for path in paths:
        report = Report(str(path))
        reports.append(report)
        try:
            one = load_settings(path)
        except InspectorError as exc:
            report.refused.append(str(exc))
            continue
        loaded.append((report, one))
        _show_values(report, one)
        _check_bundle(report, one.settings)
        _check_store(report, one.settings)
        _check_source(report, one.settings)
        _check_broker(report, one.settings)
    _check_duplicates(loaded)
    return reports


def _show_values(report: Report, loaded: Loaded) -> None:
    for section, model in loaded.settings.model_dump(mode="json").items():
        for key, value in model.items():
            dotted = f"{section}.{key}"
            report.values[dotted] = {"value": value, "origin": loaded.origins.get(dotted, "default")}


def _check_bundle(report: Report, settings: Settings) -> None:
    try:
        brain = open_brain(settings)
    except RefusedError as exc:
        report.refused.append(f"model: {exc}")
        return
    brain.pool.close()
    report.good.append(f"model: {brain.bundle.short}, golden tiles score {brain.golden.agreement} on this machine")


def _check_store(report: Report, settings: Settings) -> None:
    folder = state_folder(settings)
    nearest = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        report.refused.append(f"store.path: {folder} cannot be made: {nearest} is not writable for this user")
    else:
        report.good.append(f"store: {folder}")


def _check_source(report: Report, settings: Settings) -> None:
    if settings.source.kind == "lines" and settings.source.path == "-":
        report.good.append("source: standard input, not read by a check")
        return
    try:
        seen = probe_source(settings)
    except SourceError as exc:
        report.unreachable.append(f"source: {exc}")
    except InspectorError as exc:
        report.refused.append(f"source: {exc}")
    else:
        report.good.append(f"source: {seen}")


def probe_source(settings: Settings) -> str:
    """Open the source, read once, and close it; returns its description.

    Raises:
        SourceError: It is not there.
    """
    context = SourceContext(SystemClock(), lambda: 1, "check")
    source = open_source(settings.source, context, NoLedger())
    try:
        source.read()
    except EndOfSource:
        return f"{source.description} (at its end)"
    finally:
        source.close()
    return source.description


class NoLedger:
    """A ledger for looks without a store: nothing is done, nothing is noted."""

    def is_done(self, source_key: str, size_bytes: int, mtime_ns: int) -> bool:
        """Say no."""
        return False

    def was_refused(self, source_key: str) -> bool:
        """Say no."""
        return False

    def suspects(self) -> dict[str, int]:
        """Know of none."""
        return {}

    def starting(self, source_key: str) -> None:
        """Forget it."""


def _check_broker(report: Report, settings: Settings) -> None:
    if not settings.mqtt.enabled:
        report.good.append("mqtt: switched off")
        return
    options = mqtt_options(settings)
    try:
        require_files(options)
        protocol = probe_broker(options)
    except BrokerError as exc:
        report.unreachable.append(f"mqtt: {exc}")
    except RefusedError as exc:
        report.refused.append(str(exc))
    else:
        report.good.append(f"mqtt: {options.address} answers, MQTT {protocol}, topics below {options.root}")


def _check_duplicates(loaded: Sequence[tuple[Report, Loaded]]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for report, one in loaded:
        settings = one.settings
        marks = [("mqtt root", settings.root), ("store folder", str(state_folder(settings)))]
        if settings.http.enabled and settings.http.port:
            marks.append(("http address", f"{settings.http.address}:{settings.http.port}"))
        for mark in marks:
            if other := seen.get(mark):
                report.refused.append(f"{report.path}: the same {mark[0]} as {other}: {mark[1]}")
            else:
                seen[mark] = report.path

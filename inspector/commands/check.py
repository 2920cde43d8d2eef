"""Check a configuration before it runs: every value and its origin, bundle, source, broker, disk.

Exit 0: good. 78: configuration or bundle would be refused. 1: something is not reachable now; the daemon would start
and wait. A station's file in /etc/inspector is checked as the station's unit would see it, as far as the user may.
"""

from __future__ import annotations

import grp
import http.client
import json
import os
import pwd
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock
from inspector.commands.taught import reference_lines
from inspector.errors import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED, BrokerError, InspectorError, RefusedError, SourceError
from inspector.http.options import HttpOptions
from inspector.http.server import require_listener
from inspector.settings.loading import Loaded, load_settings
from inspector.settings.places import STATION_STATE, is_station_file, state_folder
from inspector.settings.sections import Settings
from inspector.settings.source import CameraOptions, FolderOptions, LinesOptions
from inspector.sinks.mqtt.connection import probe_broker
from inspector.sinks.mqtt.options import require_files
from inspector.sources.base import EndOfSource, NoLedger, SourceContext
from inspector.sources.opening import open_source
from inspector.station.coil_report import report_cost
from inspector.station.wiring import http_options, jsonl_options, mqtt_options, open_bundle, untaught_reason

UNIT_USER, UNIT_GROUPS = "inspector", ("inspector-frames",)
HIDDEN_FROM_UNITS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
"""What `ProtectHome=` and `PrivateTmp=` hide from a station's unit."""


@dataclass(slots=True)
class Report:
    """What the check found in one file.

    Attributes:
        path: The configuration file.
        values: `section.key` → value and origin.
        good, unreachable, refused: Findings, each a sentence.
        notes: No fault in itself, but surprising; it does not change the exit code.
    """

    path: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    good: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, 1 or 78."""
        return EXIT_REFUSED if self.refused else EXIT_FAILURE if self.unreachable else EXIT_OK

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": self.path, "exit_code": self.exit_code, "values": self.values, "good": self.good,
            "unreachable": self.unreachable, "refused": self.refused, "notes": self.notes,
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
        report.notes += one.warnings
        _check_bundle(report, one.settings, path)
        _check_store(report, state_folder(one.settings, unit_file=path), one.settings)
        _check_http(report, one.settings, is_station_file(path))
        _check_source(report, one.settings)
        _check_broker(report, one.settings)
        _check_files(report, one.settings, path)
        _check_paths(report, one)
    _check_duplicates(loaded)
    return reports


def _show_values(report: Report, loaded: Loaded) -> None:
    for name, value in loaded.json_values().items():
        report.values[name] = {"value": value, "origin": loaded.origins[name]}


def _check_bundle(report: Report, settings: Settings, path: Path) -> None:
    try:
        model = open_bundle(settings, unit_file=path)
    except RefusedError as exc:
        report.refused.append(str(exc))
        return
    model.pool.close()
    report.notes.extend(f"model: {warning}" for warning in model.bundle.warnings)
    report.good.append(f"model: {model.bundle.short}, golden tiles score {model.golden.agreement} on this machine")
    folder = state_folder(settings, unit_file=path)
    for line in reference_lines(folder, model.taught):
        report.good.append(f"reference: {line}")
    if model.taught.reference is None and (why := untaught_reason(settings.decision.mode, model.taught)) is not None:
        report.good.append(f"reference: none in force: {why}")


def _check_store(report: Report, folder: Path, settings: Settings) -> None:
    if folder.parent == STATION_STATE and os.geteuid() != 0:
        report.notes.append(f"store: {folder}, which only root and the station can look into")
        return
    nearest = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        report.refused.append(f"store.path: {folder} cannot be made: {nearest} is not writable for this user")
    else:
        report.good.append(f"store: {folder}")
        report.good.append(f"reports: {report_cost(settings)}")
        kept, free = settings.store, shutil.disk_usage(nearest).free
        needed = kept.outbox_limit_bytes + kept.floor_bytes
        if free < needed:
            report.notes.append(
                f"store.outbox_limit_bytes: an outage that fills the outbox needs {needed >> 20} MB of disk;"
                f" {free >> 20} MB are free in {nearest}, so messages are given up sooner"
            )


def _check_http(report: Report, settings: Settings, unit: bool) -> None:
    if not settings.http.enabled:
        report.good.append("http: switched off")
        return
    address = f"{settings.http.address} port {settings.http.port}"
    try:
        options = http_options(settings)
        require_listener(options, bind=False)
    except RefusedError as exc:
        report.refused.append(str(exc))
        return
    try:
        require_listener(options)
    except RefusedError as exc:
        found = _station_at(options, tls=False) or _station_at(options, tls=True)
        if found == settings.station.text:
            report.good.append(f"http: {address}, where this station runs now")
        elif found is not None:
            report.unreachable.append(
                f"http: {address} is held by the station {found}: free only if that is this one, before its new name"
            )
        else:
            report.refused.append(str(exc))
    else:
        report.good.append(f"http: {address} is free")
        if unit and os.geteuid() == 0 and 0 < settings.http.port < 1024:
            report.notes.append(f"http.port: the unit may not listen below 1024: {settings.http.port}")


def _station_at(options: HttpOptions, tls: bool) -> str | None:
    """Return the name of the station that listens there already, or None when something else does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.address, options.address)  # noqa: S104 - asked, not bound
    client: http.client.HTTPConnection
    if tls:
        context = ssl._create_unverified_context()  # noqa: S323 - nothing secret is sent
        client = http.client.HTTPSConnection(host, options.port, timeout=2, context=context)
    else:
        client = http.client.HTTPConnection(host, options.port, timeout=2)
    try:
        client.request("GET", "/healthz")
        station: str | None = json.loads(client.getresponse().read(65536))["station"]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        client.close()
    return station


def _check_source(report: Report, settings: Settings) -> None:
    if isinstance(settings.source, LinesOptions) and settings.source.path == "-":
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


def _check_broker(report: Report, settings: Settings) -> None:
    if not settings.mqtt.enabled:
        report.good.append("mqtt: switched off")
        return
    options = mqtt_options(settings)
    try:
        require_files(options)
        protocol = probe_broker(options)
    except BrokerError as exc:
        report.unreachable.append(f"mqtt: {str(exc).removeprefix('mqtt: ')}")
    except RefusedError as exc:
        report.refused.append(str(exc))
    else:
        report.good.append(
            f"mqtt: {options.address} answers, MQTT {protocol}; topics below {options.root}, rights not tried"
        )


def _check_files(report: Report, settings: Settings, config: Path) -> None:
    if not settings.jsonl.enabled:
        return
    folder = jsonl_options(settings, state_folder(settings, unit_file=config)).path
    if folder.is_relative_to(STATION_STATE) and os.geteuid() != 0:
        report.notes.append(f"jsonl: {folder}, which only root and the station can look into")
        return
    nearest = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        report.unreachable.append(f"jsonl.path: {folder} cannot be written: {nearest} is not writable for this user")
    else:
        report.good.append(f"jsonl: files in {folder}")
    if is_station_file(config) and not folder.is_relative_to(STATION_STATE):
        report.notes.append(f"jsonl.path: the unit may write where a drop-in's ReadWritePaths= allows it: {folder}")


def _check_paths(report: Report, loaded: Loaded) -> None:
    """Report the paths that mean something else to the station than to the user of the check."""
    settings = loaded.settings
    source = settings.source
    named = {
        name: value
        for name, value in loaded.items()
        if isinstance(value, Path) and not loaded.origins[name].startswith("credential")
    }
    if isinstance(source, FolderOptions) or (
        isinstance(source, CameraOptions) and not source.path.isdecimal() and not source.remote
    ):
        named["source.path"] = Path(source.path)
    if "/" in settings.model.path:
        named["model.path"] = Path(settings.model.path)
    unit = loaded.path is not None and is_station_file(loaded.path)
    for key, path in named.items():
        if not path.is_absolute():
            report.notes.append(f"{key}: {path} is looked for in the folder that the daemon is started in")
        elif unit and any(path.is_relative_to(hidden) for hidden in HIDDEN_FROM_UNITS):
            report.notes.append(f"{key}: the unit does not see {', '.join(HIDDEN_FROM_UNITS)}: {path}")
        elif unit and key != "store.path" and os.geteuid() == 0:
            _check_as_unit(report, key, path, settings)


def _check_as_unit(report: Report, key: str, path: Path, settings: Settings) -> None:
    """Try what the unit's user may do, because root may do anything."""
    if UNIT_USER not in {user.pw_name for user in pwd.getpwall()}:
        return
    more = (*UNIT_GROUPS, "video") if path.is_relative_to("/dev") else UNIT_GROUPS  # v4l2-camera.conf
    groups = [group.gr_gid for group in grp.getgrall() if group.gr_name in more or UNIT_USER in group.gr_mem]
    wanted = {"-r": "read"}
    if path.is_dir():
        wanted["-x"] = "enter"
    source = settings.source
    changes = isinstance(source, FolderOptions) and {source.finished, source.refused} != {"keep"}
    written = {"source.finished_dir", "source.refused_dir", "jsonl.path"}
    if key in written or (key == "source.path" and changes and path.is_dir()):
        wanted["-w"] = "write"
    if not path.exists():
        return  # said elsewhere, or made when it is needed
    for flag, verb in wanted.items():
        tried = subprocess.run(
            ["/usr/bin/test", flag, path], user=UNIT_USER, group=UNIT_USER, extra_groups=groups, check=False
        )
        if tried.returncode:
            report.unreachable.append(f"{key}: the user {UNIT_USER} may not {verb} {path}")


def _check_duplicates(loaded: Sequence[tuple[Report, Loaded]]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for report, one in loaded:
        settings = one.settings
        marks = [("mqtt root", settings.root), ("store folder", str(state_folder(settings, unit_file=one.path)))]
        if settings.jsonl.enabled:
            files = jsonl_options(settings, state_folder(settings, unit_file=one.path)).path
            marks.append(("folder of message files", str(files)))
        if settings.http.enabled and settings.http.port:
            marks.append(("http address", f"{settings.http.address}:{settings.http.port}"))
        for mark in marks:
            if other := seen.get(mark):
                report.refused.append(f"{report.path}: the same {mark[0]} as {other}: {mark[1]}")
            else:
                seen[mark] = report.path

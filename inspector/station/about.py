"""What runs here, as the station reports it: the `about` message, the facts of the status page, the constant metrics.

Nothing here changes while the station runs, except the broker's state, the coil and the site's reference: they are read
on request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog

import inspector
from inspector.clock import to_rfc3339
from inspector.errors import StoreBusyError
from inspector.http.page import PageFacts
from inspector.messages import MESSAGE_TYPES, AboutMessage, CoilMessage, encode, schema_name
from inspector.settings.places import config_name
from inspector.settings.sections import Settings
from inspector.sinks.base import SinkStatus
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.station.report_writer import LastReport
from inspector.station.wiring import OpenModel
from inspector.store.coils import Coils
from inspector.store.notes import StationNotes
from inspector.teach.accepted import UNTAUGHT, Accepted
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.kernel_clock import read_kernel_clock
from inspector.telemetry.metrics import SINKS, Metrics
from inspector.track.operators import OperatorState

_log = structlog.get_logger("daemon")


class About:
    """What runs here.

    Args:
        settings: The configuration.
        model: The bundle and where it runs.
        source: Description of the source.
        store_id: Of the store that numbers the messages.
        started_at: When the station was built.
        taught: Returns what is known about the site's reference now.
        proof: What was seen under it so far, in one line, or None.
    """

    def __init__(
        self,
        settings: Settings,
        model: OpenModel,
        source: str,
        store_id: str,
        started_at: datetime,
        taught: Callable[[], Accepted] = lambda: UNTAUGHT,
        proof: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._model = model
        self._source = source
        self._store_id = store_id
        self._started_at = started_at
        self._taught = taught
        self._proof = proof

    def message(self) -> AboutMessage:
        """Return it as a message."""
        bundle, clock = self._model.bundle, read_kernel_clock()
        return AboutMessage(
            station=self._settings.station.text,
            version=inspector.__version__,
            runtime=self._model.runtime,
            golden=self._model.golden.agreement,
            bundle=bundle.short,
            bundle_sha256=bundle.fingerprint,
            config=self._settings.fingerprint()[:12],
            source=self._source,
            store_id=self._store_id,
            started_at=to_rfc3339(self._started_at),
            clock=clock.state,
            clock_offset_ms=clock.offset_ms,
            reference=self._taught().short,
            own_labels=" ".join(f"{label.name}+{label.short}" for label in self._model.rules.decision.own) or None,
            schemas=" ".join(schema_name(topic) for topic in sorted(MESSAGE_TYPES)),
        )

    def page_facts(
        self, broker: BrokerStatus | None, files: SinkStatus | None, operators: OperatorState | None = None
    ) -> PageFacts:
        """Return what the status page shows of the station.

        Args:
            broker: What is known about it; None if delivery to one is disabled.
            files: What is known about the message files; None if they are disabled.
            operators: What people have asked for; None: nothing.
        """
        about = self.message()
        rows = {
            "station": about.station,
            "source": about.source,
            "bundle": about.bundle,
            "golden tiles": about.golden,
            "reference": about.reference or "–",
            "proven so far": self._proof() or "–",
            "config": about.config,
            "version": about.version,
            "started": about.started_at,
            "topics": self._settings.root,
        }
        simulated = self._settings.source.kind == "demo"
        return PageFacts(rows, broker, files, simulated, operators or OperatorState(), config_name())

    def retained(
        self,
        health: HealthBoard,
        coils: Coils,
        probed: Callable[[], tuple[int, int] | None],
        last: LastReport | None = None,
    ) -> Mapping[str, bytes]:
        """Return the payloads of the retained topics as of now, by topic below the root.

        Args:
            health: As it was last judged.
            coils: Which one runs.
            probed: Returns how many known defects were laid onto the running coil and how many found; None: no proof.
            last: The report that was written last; None: there is none yet.
        """
        coil_id, since_ms = coils.current()
        since = datetime.fromtimestamp(since_ms / 1000, tz=UTC)
        shown, found = (None, None) if coil_id is None else probed() or (None, None)
        coil = CoilMessage(
            station=self._settings.station.text,
            coil_id=coil_id,
            since=to_rfc3339(since),
            recipe=health.recipe(),
            **({} if coil_id is None else asdict(coils.facts())),
            probes_shown=shown,
            probes_found=found,
            **_report_fields(last, runs=coil_id is not None),
        )
        return {"about": encode(self.message()), "health": encode(health.message()), "coil": encode(coil)}


def _report_fields(last: LastReport | None, *, runs: bool) -> dict[str, Any]:
    """Return what the topic `coil` says of the report of the coil that ended; its metres only between coils."""
    if last is None:
        return {"report": None}
    one = last.report
    fields = {"report": last.reference, "ended_at": one.ended_at, "assessed": one.assessed,
              "surface_class": one.surface_class, "disposition": one.disposition}  # fmt: skip
    return fields if runs else {**fields, "length_m": one.length_m, "inspected_m": one.inspected_m}


def show_constants(metrics: Metrics, settings: Settings, model: OpenModel, now: datetime) -> None:
    """Set the metrics that do not change: versions, names, limits; and that the model has just been proven."""
    card = model.bundle.card
    metrics.build.info({"version": inspector.__version__, "python": sys.version.split()[0]})
    metrics.bundle.info({"name": card.name, "version": card.version, "fingerprint": model.bundle.fingerprint[:12]})
    metrics.config.info({"fingerprint": settings.fingerprint()[:12]})
    station = settings.station
    metrics.station.info({"site": station.site, "line": station.line, "name": station.name})
    metrics.workers.set(model.pool.workers)
    for sink in SINKS:
        metrics.outbox_limit.labels(sink).set(settings.store.outbox_limit_bytes)
    metrics.selftest.set(now.timestamp())


def remember_versions(notes: StationNotes, settings: Settings, model: OpenModel) -> None:
    """Store configuration and card under the fingerprints that messages carry."""
    card_text = (model.bundle.root / "card.json").read_text("utf-8")
    try:
        notes.remember("configuration", settings.fingerprint(), settings.model_dump_json())
        notes.remember("bundle", model.bundle.fingerprint, card_text)
    except StoreBusyError as exc:
        _log.warning("housekeeping_failed", reason=str(exc))

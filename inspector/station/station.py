"""The composition root: the only module that knows all parts. One `Station` runs one configuration.

Main thread: signals, watchdog, health, housekeeping. Everything else has a thread and an owner of its own; they meet
in the item queue, the dispatcher and the store.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from pydantic import ValidationError

import inspector
from inspector.clock import Clock, to_rfc3339
from inspector.errors import BundleError, InspectorError, SourceError, WorkerError
from inspector.frame import Cause, Gap
from inspector.http.app import Shown, make_app
from inspector.http.server import HttpServer
from inspector.inspection.picture import classify_pixels
from inspector.messages import (
    MESSAGE_TYPES,
    AboutMessage,
    Body,
    CoilCommand,
    CoilMessage,
    ReplyMessage,
    encode,
    schema_name,
)
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.settings.loading import Loaded
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.sinks.mqtt.options import MqttOptions, require_files
from inspector.sinks.mqtt.publisher import SINK, MqttPublisher
from inspector.sources.base import FrameSource, Policy, SourceContext
from inspector.sources.opening import open_source
from inspector.sources.queues import FrameQueue, ItemQueue, Mailbox
from inspector.sources.reader import Reader
from inspector.station.committer import Committer, CommitterOptions
from inspector.station.dispatcher import Dispatcher
from inspector.station.wiring import OpenModel, http_options, mqtt_options, track_rules
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.telemetry.health import Facts, HealthBoard, judge_health
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier

BROKER_GRACE_S = 5.0
"""An outage of the broker shorter than this is nobody's news."""
HOUSEKEEPING_S = 5.0
SELFTEST_S = 3600.0
STUCK_AFTER_S = 30.0
"""A part without progress for this long, and with something to do, is stuck: the watchdog is not fed any more."""
LOOKUP_S = 60.0
"""So much longer where a host's name has to be found first: name servers that do not answer are no stuck part."""
PUBLISH_AT_STOP_S = 3.0
STOP_LIMIT_S = 60


_log = structlog.get_logger("daemon")


Verb = Literal["stop", "reload"]


class Station:
    """Everything that runs for one configuration. Build it, `run` it; it cleans up after itself.

    Args:
        settings: The configuration.
        brain: The proven bundle; the station closes its pool.
        clock: Time.
        notifier: The supervisor.
        committed: Told of every committed message, on the committer's thread (the demo listens).

    Raises:
        RefusedError: The store cannot be used, a named file is missing, or the port is taken.
    """

    def __init__(
        self,
        settings: Settings,
        brain: OpenModel,
        clock: Clock,
        notifier: Notifier,
        committed: Callable[[Sequence[Body]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.brain = brain
        self._clock = clock
        self._notifier = notifier
        self._listener = committed
        self._verb: Verb | None = None
        self._pause = threading.Event()  # never set: a handler that sets what the main thread waits for may block it
        self.delivered = 0
        options = mqtt_options(settings)
        require_files(options)
        store_settings = settings.store
        folder = state_folder(settings)
        self.store = Store(folder, clock, store_settings.outbox_limit_bytes)
        try:
            self._build(settings, brain, options, folder)
        except BaseException:
            self.store.close()
            raise

    def _build(self, settings: Settings, brain: OpenModel, options: MqttOptions, folder: Path) -> None:
        clock, card = self._clock, brain.bundle.card
        severity = brain.rules.decision.severity
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # start time (restarts), memory, CPU, open files
        self.metrics = Metrics(self.registry, card.defect_labels, severity)
        self.health = HealthBoard(settings.station.text, clock)
        self._started_at = clock.now()
        kept = settings.store
        self.evidence = None
        if kept.evidence == "on":
            self.evidence = EvidenceFolder(
                folder / "evidence", clock, kept.evidence_limit_bytes, kept.evidence_max_age_days * 86400,
                kept.free_floor_bytes, kept.evidence_px,
            )  # fmt: skip
        context = SourceContext(clock, self._next_epoch, self.store.store_id)
        self.source: FrameSource = open_source(settings.source, context, self.store.ledger)
        live = self.source.policy is Policy.LIVE
        self._items: ItemQueue = Mailbox() if live else FrameQueue(2 * brain.pool.workers)
        self.reader = Reader(self.source, self._items, clock, self.metrics)
        depth = brain.pool.workers
        self.dispatcher = Dispatcher(self._items, brain.pool, brain.rules, depth, clock, self.metrics)
        rules = track_rules(settings, brain.bundle, brain.rules)
        self.committer = Committer(
            self.dispatcher, self.source, self.store, self.evidence, rules,
            CommitterOptions(rules.mm_per_px, brain.bundle.short), clock, self.metrics, self._on_committed,
        )  # fmt: skip
        self.publisher: MqttPublisher | None = None
        if settings.mqtt.enabled:
            self.publisher = MqttPublisher(
                options, self.store.outbox, clock, self.metrics, self._retained, self._on_lost, self._obey,
                settings.mqtt.commands,
            )  # fmt: skip
        self.http = self._make_http() if settings.http.enabled else None
        self._show_static(settings, brain)
        if self.http is not None:
            self.http.start()

    def _next_epoch(self) -> int:
        try:
            return self.store.notes.next_epoch()
        except sqlite3.OperationalError as exc:
            raise SourceError(f"the store in {self.store.folder} refuses: {exc}") from exc

    def _make_http(self) -> HttpServer:
        options = http_options(self.settings)
        rules, pool = self.brain.rules, self.brain.pool
        shown = Shown(
            metrics=self.metrics,
            records=self.store.records,
            evidence=self.evidence,
            health=self.health,
            facts=self.facts,
            classify=lambda pixels, name: classify_pixels(pixels, name, pool, rules),
            clock=self._clock,
        )
        return HttpServer(make_app(options, shown), options)

    def facts(self) -> Mapping[str, str | int | float | None]:
        """Return what the status page shows of the station."""
        about = self.about()
        broker = self.publisher.status if self.publisher is not None else None
        shown = "switched off"
        if broker is not None:
            shown = (
                f"connected, MQTT {broker.protocol}" if broker.connected else f"away: {broker.reason or 'connecting'}"
            )
        return {
            "station": about.station,
            "source": about.source,
            "bundle": about.bundle,
            "golden tiles": about.golden,
            "config": about.config,
            "version": about.version,
            "started": about.started_at,
            "topics": self.settings.root,
            "broker": shown,
            "simulated": "yes" if self.settings.source.kind == "demo" else None,
        }

    def _show_static(self, settings: Settings, brain: OpenModel) -> None:
        metrics, card = self.metrics, brain.bundle.card
        metrics.build.info({"version": inspector.__version__, "python": sys.version.split()[0]})
        metrics.bundle.info({"name": card.name, "version": card.version, "fingerprint": brain.bundle.fingerprint[:12]})
        metrics.config.info({"fingerprint": settings.fingerprint()[:12]})
        station = settings.station
        metrics.station.info({"site": station.site, "line": station.line, "name": station.name})
        metrics.workers.set(brain.pool.workers)
        metrics.outbox_limit.set(settings.store.outbox_limit_bytes)
        metrics.selftest.set(self._clock.now().timestamp())
        card_text = (brain.bundle.root / "card.json").read_text("utf-8")
        try:
            self.store.notes.remember("configuration", settings.fingerprint(), settings.model_dump_json())
            self.store.notes.remember("bundle", brain.bundle.fingerprint, card_text)
        except sqlite3.OperationalError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))

    # --- Running --------------------------------------------------------------------------------------------------

    def request(self, verb: Verb) -> None:
        """Ask the running station to stop or to reload; from a signal handler or another thread."""
        if self._verb != "stop":
            self._verb = verb

    def run(
        self,
        until: Callable[[], bool] = lambda: False,
        reload: Callable[[], tuple[Loaded, OpenModel] | None] = lambda: None,
    ) -> tuple[Loaded, OpenModel] | None:
        """Inspect until asked to stop, until `until` is true, or until `reload` gives something to go on with.

        Args:
            until: Asked several times a second.
            reload: Called after a request to reload; None keeps everything as it is.

        Returns:
            What `reload` gave, or None when it is over.

        Raises:
            WorkerError: A part has died; nothing that was committed is lost.
        """
        following: tuple[Loaded, OpenModel] | None = None
        failed = True
        try:
            self._tell_of_absence()
            if self.publisher is not None:
                self.publisher.start()
            self.committer.start()
            self.dispatcher.start()
            self.reader.start()
            self._notifier.ready("starting")
            _log.info("started", station=self.settings.station.text, source=self.source.description,
                      bundle=self.brain.bundle.short, workers=self.brain.pool.workers,
                      http=None if self.http is None else self.http.port)  # fmt: skip
            while following is None and self._verb != "stop" and not until():
                if self._verb == "reload":
                    self._verb = None
                    following = reload()
                    if following is not None and self._verb == "stop":  # came while the reload was checked
                        following[1].pool.close()
                        following = None
                else:
                    self._watch(until)
            failed = False
        finally:
            if following is None:
                self._notifier.stopping()
            ended = threading.Event()
            threading.Thread(target=self._ping_while_stopping, args=(ended,), name="stopping", daemon=True).start()
            self._stop("offline" if failed else "stopped", failed)
            ended.set()
        return following

    def _watch(self, until: Callable[[], bool]) -> None:
        tidied = tested = self._clock.monotonic()
        period_s = min(0.25, (self._notifier.watchdog_s or 1.0) / 3)
        told = 0.0
        while self._verb is None and not until():
            self._pause.wait(period_s)
            self._raise_failures()
            busy_s = sum(self.brain.pool.busy_s)
            self.metrics.worker_busy.inc(busy_s - self._busy_s)
            self._busy_s = busy_s
            waited_s = self.reader.waited_s
            self.metrics.source_wait.inc(waited_s - self._waited_s)
            self._waited_s = waited_s
            now = self._clock.monotonic()
            if self.health.update(*judge_health(self._facts(now))) or now - told > 10:
                message = self.health.message()
                if now - told <= 10 or told == 0.0:
                    _log.info("health", state=message.state, reason=message.reason)
                told = now
                self.metrics.show_health(message.state)
                self._notifier.status(f"{message.state}{': ' + message.reason if message.reason else ''}")
                if self.publisher is not None:
                    self.publisher.wake()
            if not (stuck := self._stuck(now)):
                self._notifier.alive()
            else:
                _log.error("stuck", parts=", ".join(stuck))
            if now - tidied >= HOUSEKEEPING_S:
                tidied = now
                self._tidy()
            if now - tested >= SELFTEST_S:
                tested = now
                self._self_test()

    def _raise_failures(self) -> None:
        failures = {
            "source": self.reader.failure,
            "dispatcher": self.dispatcher.failure,
            "committer": self.committer.failure,
            "publisher": self.publisher.failure if self.publisher is not None else None,
            "HTTP listener": self.http.failure if self.http is not None else None,
        }
        for name, failure in failures.items():
            if isinstance(failure, InspectorError):
                raise failure
            if failure is not None:
                raise WorkerError(f"the {name} has died: {failure!r}") from failure

    def _stuck(self, now: float) -> list[str]:
        source, owes = self.settings.source, self.dispatcher.owes
        reader_busy = not (self.reader.waiting_to_put or self.reader.ended)
        patience_s = STUCK_AFTER_S + source.open_timeout_s + source.read_timeout_s
        patience_s += LOOKUP_S if "://" in source.path else 0
        parts = [("source", self.reader.progress_mono_s, reader_busy, patience_s),
                 ("inspection", self.dispatcher.progress_mono_s, owes, STUCK_AFTER_S),
                 ("committer", self.committer.progress_mono_s, True, STUCK_AFTER_S)]  # fmt: skip
        if self.publisher is not None:
            parts.append(("publisher", self.publisher.progress_mono_s, True, STUCK_AFTER_S + LOOKUP_S))
        return [name for name, progress, busy, limit_s in parts if busy and now - progress > limit_s]

    def _facts(self, now: float) -> Facts:
        recent = self.committer.recent_unknown
        broker = self.publisher.status if self.publisher is not None else None
        if broker is None or broker.connected:
            self._broker_gone_mono_s = None
        elif self._broker_gone_mono_s is None:
            self._broker_gone_mono_s = now
        gone = self._broker_gone_mono_s is not None and now - self._broker_gone_mono_s > BROKER_GRACE_S
        broker_reason = broker.trouble if broker is not None else None
        if broker is not None and gone:
            broker_reason = broker_reason or broker.reason or "not connected"
        busy = not self.dispatcher.idle
        return Facts(
            started=self.reader.started,
            source_reason=self.reader.reason,
            source_ended=self.reader.ended and not busy,
            idle_s=0.0 if busy else now - self.reader.item_mono_s,
            missed_frames=self.committer.missed_frames,
            missed_cause=self.committer.missed_cause,
            store_reason=self.committer.store_reason,
            broker_reason=broker_reason,
            outbox_share=self._outbox_share,
            unknown_share=sum(list(recent)) / len(recent) if recent else 0.0,
            recent_tiles=len(recent),
            off_domain_share=self.settings.events.off_domain_share,
            dropped_share=self._dropped_share,
            live=self.source.policy is Policy.LIVE,
        )

    _broker_gone_mono_s: float | None = None
    _outbox_share: float = 0.0
    _busy_s: float = 0.0
    _waited_s: float = 0.0
    _dropped_share: float = 0.0
    _last_seen: tuple[int, int] = (0, 0)

    def _tidy(self) -> None:
        """Look after the disk, and refresh what health and metrics know about the outbox."""
        captured, dropped = self.reader.captured, self.reader.dropped
        new, gone = captured - self._last_seen[0], dropped - self._last_seen[1]
        self._last_seen = (captured, dropped)
        self._dropped_share = gone / new if new else 0.0
        if self.evidence is not None:  # first: it makes room where the rest finds none
            try:
                self.evidence.tidy()
            except OSError as exc:
                _log.warning("housekeeping_failed", reason=str(exc))
        try:
            self._note_alive()
            if self.publisher is None:  # nobody waits for them: the records stay
                self.store.outbox.acknowledge(SINK, self.store.outbox.outbox_state(SINK).last_seq)
            self.store.candidates.trim()
            lost = self.store.outbox.prune(SINK, self.settings.mqtt.resend_horizon_s)
        except sqlite3.OperationalError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))
            return
        if lost is not None:
            count, first, last = lost
            self.metrics.outbox_lost.labels("outbox_full").inc(count)
            _log.error("messages_lost", count=count, first_seq=first, last_seq=last, reason="outbox full")
            self._report_lost(first, last, count, "the outbox was full")
        self.refresh_outbox()

    def _note_alive(self) -> None:
        """Note that somebody looks, if so: an outage is told when it ends, and the process may end before."""
        if self.reader.reason is None and self.committer.missed_cause != Cause.FROZEN:
            self.store.notes.heartbeat()

    def refresh_outbox(self) -> None:
        """Set the outbox metrics as of now."""
        state = self.store.outbox.outbox_state(SINK)
        self._outbox_share = state.bytes / self.settings.store.outbox_limit_bytes
        self.metrics.outbox_messages.set(state.messages)
        self.metrics.outbox_bytes.set(state.bytes)
        self.metrics.outbox_oldest.set((state.oldest_ms or 0) / 1000)

    def _self_test(self) -> None:
        try:
            check_golden(Classifier(self.brain.bundle, self.settings.model.runtime))
        except BundleError as exc:
            raise WorkerError(f"the self-test fails: {exc}") from exc
        self.metrics.selftest.set(self._clock.now().timestamp())

    def _tell_of_absence(self) -> None:
        """Publish how long nobody looked, where frames did not wait for us."""
        alive_ms = self.store.notes.last_alive_ms()
        try:
            if alive_ms is None:
                self.store.notes.heartbeat()  # from here on somebody is to look, whether or not the source is there
        except sqlite3.OperationalError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))
        waits = self.settings.source.kind in ("folder", "demo") or (
            self.settings.source.kind == "camera" and self.source.policy is Policy.LOSSLESS
        )
        if alive_ms is not None and not waits:
            now = self._clock.now()
            since = min(now, datetime.fromtimestamp(alive_ms / 1000, tz=now.tzinfo))
            if now - since > timedelta(seconds=1):
                self.committer.report_gap(Gap(Cause.PROCESS_DOWN, since, now, 0))

    def _ping_while_stopping(self, ended: threading.Event) -> None:
        """Keep the watchdog quiet for as long as a stop, or a change of stations, may take."""
        for _ in range(STOP_LIMIT_S):
            if ended.wait(1.0):
                return
            self._notifier.alive()

    def _stop(self, status: Literal["stopped", "offline"], failed: bool) -> None:
        closed_at = self._clock.now()  # nobody looks from here on, however long the rest takes
        told = self.reader.stop()
        self.dispatcher.drain()
        clean = self.committer.join(30.0)
        if self.publisher is not None:
            self.publisher.stop(PUBLISH_AT_STOP_S, status)
        if self.http is not None:
            self.http.stop(2.0)
        self.brain.pool.close()
        self.delivered = self.store.outbox.cursor(SINK)
        try:
            if clean and told and self.committer.missed_cause != Cause.FROZEN:  # else the next start tells of it
                self.store.notes.heartbeat(closed_at)
        except sqlite3.OperationalError as exc:
            _log.warning("last_heartbeat_not_stored", reason=str(exc))
        self.store.close(clean and not failed)
        _log.info("stopped", station=self.settings.station.text)

    # --- Callbacks ------------------------------------------------------------------------------------------------

    def _on_committed(self, bodies: Sequence[Body]) -> None:
        if bodies and self.publisher is not None:
            self.publisher.wake()
        if bodies and self._listener is not None:
            self._listener(bodies)

    def _on_lost(self, seq: int, reason: str) -> None:
        self._report_lost(seq, seq, 1, reason)

    def _report_lost(self, first: int, last: int, count: int, reason: str) -> None:
        now = self._clock.now()
        self.committer.report_gap(Gap(Cause.DROPPED, now, now, 0, count, detail=reason), (first, last))

    def _retained(self) -> Mapping[str, bytes]:
        coil_id, since_ms = self.store.notes.coil()
        since = datetime.fromtimestamp(since_ms / 1000, tz=UTC)
        coil = CoilMessage(station=self.settings.station.text, coil_id=coil_id, since=to_rfc3339(since), report=None)
        return {"about": encode(self.about()), "health": encode(self.health.message()), "coil": encode(coil)}

    def _obey(self, command: str, payload: bytes) -> ReplyMessage:
        """Take a command of the plant; runs on the publisher's thread."""
        try:
            wanted = CoilCommand.model_validate_json(payload)
        except ValidationError as exc:
            detail = f"not understood: {exc.errors(include_url=False, include_input=False)[0]['msg']}"
            _log.warning("command_refused", command=command, detail=detail)
            return ReplyMessage(command=command, ok=False, error="invalid", accepted=False, detail=detail)
        if wanted.coil_id != self.store.notes.coil()[0]:
            try:
                self.store.notes.set_coil(wanted.coil_id)
            except sqlite3.OperationalError as exc:
                return ReplyMessage(
                    command=command, ok=False, error="store", accepted=True, detail=f"the store refuses: {exc}"
                )
            self.committer.change_coil(wanted.coil_id)
            _log.info("coil", coil_id=wanted.coil_id)
        return ReplyMessage(command=command, ok=True, accepted=True, detail=f"coil {wanted.coil_id or 'ended'}")

    def about(self) -> AboutMessage:
        """Return what runs here."""
        bundle = self.brain.bundle
        return AboutMessage(
            station=self.settings.station.text,
            version=inspector.__version__,
            runtime=self.brain.runtime,
            golden=self.brain.golden.agreement,
            bundle=bundle.short,
            bundle_sha256=bundle.fingerprint,
            config=self.settings.fingerprint()[:12],
            source=self.source.description,
            store_id=self.store.store_id,
            started_at=to_rfc3339(self._started_at),
            clock="synchronized" if Path("/run/systemd/timesync/synchronized").exists() else "unknown",
            schemas=" ".join(schema_name(topic) for topic in sorted(MESSAGE_TYPES)),
        )

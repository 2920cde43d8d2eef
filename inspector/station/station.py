"""The composition root: the only module that knows all parts. One `Station` runs one configuration.

Main thread: signals, watchdog, health; it never waits for the store or the disk. Everything else has a thread and an
owner of its own; they meet in the item queue, the dispatcher and the store. `supervision` does the work of the main
thread; here the parts are built, started in one order and stopped in the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from inspector.clock import Clock
from inspector.http.app import Shown, make_app
from inspector.http.server import HttpServer
from inspector.ids import Ids
from inspector.inspection.picture import classify_pixels
from inspector.messages import Body
from inspector.settings.loading import Loaded
from inspector.settings.places import door_file, state_folder
from inspector.settings.sections import Settings
from inspector.sinks.mqtt.options import require_files
from inspector.station.about import About, remember_versions, show_constants
from inspector.station.alarm_area import AlarmArea
from inspector.station.broken_store import report_aside
from inspector.station.delivery import Delivery, Losses, open_outbox_care, open_sinks
from inspector.station.door import Door
from inspector.station.housekeeping import (
    Drops,
    Heartbeat,
    Housekeeping,
    frames_wait,
)
from inspector.station.known import known_of
from inspector.station.pipeline import Pipeline
from inspector.station.plant import Plant
from inspector.station.probe import open_prober
from inspector.station.report_desk import report_desk
from inspector.station.report_writer import ReportWriter
from inspector.station.room_care import open_room_care
from inspector.station.supervision import (
    SELFTEST_S,
    Part,
    Supervision,
    WorkMeter,
    health_facts,
    list_parts,
    prove_model,
)
from inspector.station.teaching import open_teaching
from inspector.station.wiring import (
    OpenModel,
    health_limits,
    http_options,
    mqtt_options,
    open_evidence,
    open_recipes,
    track_rules,
)
from inspector.store.store import Store
from inspector.telemetry.health import Facts, HealthBoard
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier
from inspector.telemetry.pulse import Pulse
from inspector.years.shift_files import ShiftReports

PUBLISH_AT_STOP_S = 2.0
HOUSEKEEPING_AT_STOP_S = 3.0
PROBE_AT_STOP_S = 1.0
TEACHING_AT_STOP_S = 3.0
REPORTS_AT_STOP_S = 2.0
STOP_LIMIT_S = 60


_log = structlog.get_logger("daemon")


Verb = Literal["stop", "reload"]


class Station:
    """Everything that runs for one configuration. Build it, `run` it; it cleans up after itself.

    Args:
        settings: The configuration.
        model: The proven bundle; the station closes its pool.
        clock: Time.
        notifier: The supervisor.
        committed: Given every committed message, on the committer's thread (the demo listens).

    Raises:
        RefusedError: The store cannot be used, a named file is missing, or the port is taken.
    """

    def __init__(
        self,
        settings: Settings,
        model: OpenModel,
        clock: Clock,
        notifier: Notifier,
        committed: Callable[[Sequence[Body]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.model = model
        self._clock = clock
        self._notifier = notifier
        self._listener = committed
        self._verb: Verb | None = None
        self._pause = threading.Event()  # never set: a handler that sets what the main thread waits for may block it
        self.delivered = 0
        require_files(mqtt_options(settings))
        self.store = Store(state_folder(settings), clock, settings.store.outbox_limit_bytes)
        try:
            self._build_inspection()
            self._build_outside()
            self._build_watch()
            self._store_notice = report_aside(self.store.aside, self.pipeline.inbox, self.metrics, clock.now())
            show_constants(self.metrics, settings, model, clock.now())
            remember_versions(self.store.notes, settings, model)
            if self.http is not None:
                self.http.start()
        except BaseException:
            self.store.close()
            raise

    # --- Building -------------------------------------------------------------------------------------------------

    def _build_inspection(self) -> None:
        settings, model = self.settings, self.model
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # start time (restarts), memory, CPU, open files
        self.metrics = Metrics(self.registry, model.labels, model.rules.decision.severity)
        self.evidence = open_evidence(settings.store, self.store.folder / "evidence", self._clock)
        self.pipeline = Pipeline(
            settings.source,
            model,
            track_rules(settings, model.bundle, model.rules),
            store=self.store,
            evidence=self.evidence,
            clock=self._clock,
            metrics=self.metrics,
            committed=self._on_committed,
            inspected=lambda inspection: self.prober.offer(inspection),
            seen=lambda bodies, firsts, results: self.teaching.see(bodies, firsts, results),
            recipes=open_recipes(settings, model),
        )
        self.prober = open_prober(settings.teach, model.pool, self.pipeline.rules, self.store, self._clock,
                                  self.metrics)  # fmt: skip

    def _build_outside(self) -> None:
        """Build what the outside sees of the station: sinks, commands, pages."""
        settings, clock, in_force = self.settings, self._clock, self.pipeline.rules
        self.health = HealthBoard(settings.station.text, clock, lambda: in_force.now.taught.short,
                                  lambda: self.pipeline.committer.operators, lambda: self.pipeline.recipe)  # fmt: skip
        self._pulse, self.alarms = Pulse(self.health, clock), AlarmArea(settings, self.pipeline, clock, self.metrics)
        self.teaching = open_teaching(
            settings, self.model, in_force, self.store, clock, self.metrics, self.health, lambda: self.delivery.wake(),
            lambda: self.request("reload"),
        )  # fmt: skip
        self.reports = ReportWriter(settings, self.store, clock, lambda: self.delivery.wake())
        self._losses = Losses(self.pipeline.inbox, clock)
        about = About(settings, self.model, self.pipeline.source.description, self.store.store_id, clock.now(),
                      lambda: in_force.now.taught, lambda: self.teaching.proof_text)  # fmt: skip
        self.plant = Plant(self.store, self.pipeline.inbox, clock, lambda seq: self.delivery.resend(seq),
                           self.teaching.execute, known_of(settings, self.pipeline), Ids(settings.root),
                           self.pipeline.mark, self.reports.keep)  # fmt: skip
        self.delivery = Delivery(open_sinks(
            settings, self.store, clock, self.metrics, losses=self._losses, on_command=self.plant.execute,
            retained=lambda: about.retained(self.health, self.store.coils, self.prober.of_coil, self.reports.last),
            beat=self._pulse.beat, area=self.alarms.port,
        ))  # fmt: skip
        self._door = Door(door_file(settings), self.plant.execute, clock)
        self.http = self._make_http(about) if settings.http.enabled else None

    def _make_http(self, about: About) -> HttpServer:
        options = http_options(self.settings)
        rules, pool = self.pipeline.rules, self.model.pool
        shown = Shown(
            metrics=self.metrics,
            records=self.store.reader,
            evidence=self.evidence,
            health=self.health,
            facts=lambda: about.page_facts(
                self.delivery.broker, self.delivery.files, self.pipeline.committer.operators
            ),
            classify=lambda pixels, name: classify_pixels(pixels, name, pool, rules.now.inspect),
            execute=self.plant.execute,
            clock=self._clock,
            reports=report_desk(self.settings, self.store.folder, self.store.reader, self._clock),
        )
        return HttpServer(make_app(options, shown), options)

    def _build_watch(self) -> None:
        """Build what the main thread does."""
        settings, pipeline = self.settings, self.pipeline
        self._heartbeat = Heartbeat(self.store.notes, pipeline, self._clock)
        outbox = open_outbox_care(settings, self.store, self._losses, self.metrics, self.delivery.sinks)
        self._housekeeping = Housekeeping(
            self.evidence, self._heartbeat, self.store, self._clock, outbox, Drops(pipeline.reader),
            room=open_room_care(self.store, settings.store, pipeline.inbox, self._clock, self.metrics),
            shifts=ShiftReports(self.store.folder, settings.plant, settings.station.text, self._clock),
        )  # fmt: skip
        self._meter = WorkMeter(self.model.pool, pipeline.reader, self.metrics)
        self._supervision = Supervision(
            (
                Part("store", lambda: self.store.failure),
                Part("door", lambda: self._door.failure),
                Part("reports", lambda: self.reports.failure),
                *list_parts(settings.source, pipeline, self._housekeeping, self.delivery.sinks, self.http),
            ),
            self._health_facts,
            health_limits(settings),
            self.health,
            clock=self._clock,
            metrics=self.metrics,
            notifier=self._notifier,
            pulse=self._pulse,
            changed=self.delivery.wake,
        )

    def _health_facts(self, now_mono_s: float) -> Facts:
        return health_facts(
            self.pipeline, self._housekeeping, now_mono_s, delivery_reason=self.delivery.reason(now_mono_s),
            store_notice=self._housekeeping.room.notice or self._store_notice, insensitive=self.prober.reason,
            untaught=self.teaching.untaught,
        )  # fmt: skip

    def _on_committed(self, bodies: Sequence[Body]) -> None:
        if bodies:
            self.delivery.wake()
        if bodies and self._listener is not None:
            self._listener(bodies)

    # --- Running --------------------------------------------------------------------------------------------------

    def request(self, verb: Verb) -> None:
        """Ask the running station to stop or to reload; from a signal handler or another thread."""
        if self._verb != "stop":
            self._verb = verb

    def run(
        self,
        until: Callable[[], bool] = lambda: False,
        reload: Callable[[], tuple[Loaded, OpenModel] | None] = lambda: None,
        begins: Literal["started", "reloaded", "resumed"] = "started",
    ) -> tuple[Loaded, OpenModel] | None:
        """Inspect until asked to stop, until `until` is true, or until `reload` returns something to continue with.

        Args:
            until: Asked several times a second.
            reload: Called after a request to reload; None keeps everything as it is.
            begins: What the log calls the beginning: of the process, of a new configuration, or of the previous one
                again.

        Returns:
            What `reload` returned, or None if the run is over.

        Raises:
            WorkerError: A part has died; what was committed is not lost.
        """
        following: tuple[Loaded, OpenModel] | None = None
        failed = True
        try:
            self._start(begins)
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
            threading.Thread(
                target=_ping_while_stopping, args=(self._notifier, ended), name="stopping", daemon=True
            ).start()
            self._stop("offline" if failed else "stopped", failed)
            ended.set()
        if following is None:
            _log.info("stopped", station=self.settings.station.text)
        return following

    def _start(self, begins: str) -> None:
        self._heartbeat.begin(frames_wait(self.settings.source.kind, self.pipeline.live))
        self.delivery.start()
        self.pipeline.start()
        self.prober.start()
        self._housekeeping.start()
        for part in (self.teaching, self.reports, self._door):
            part.start()
        self._notifier.ready("starting")
        _log.info(begins, station=self.settings.station.text, source=self.pipeline.source.description,
                  bundle=self.model.bundle.short, workers=self.model.pool.workers,
                  http=None if self.http is None else self.http.port)  # fmt: skip

    def _watch(self, until: Callable[[], bool]) -> None:
        tested = self._clock.monotonic()
        period_s = min(0.25, (self._notifier.watchdog_s or 1.0) / 3)
        self._supervision.begin()
        while self._verb is None and not until():
            self._pause.wait(period_s)
            self._supervision.look()
            self._meter.count()
            self.alarms.count()
            now = self._clock.monotonic()
            if now - tested >= SELFTEST_S:
                tested = now
                prove_model(self.model.bundle, self.settings.model.runtime)
                self.metrics.selftest.set(self._clock.now().timestamp())

    def _stop(self, status: Literal["stopped", "offline"], failed: bool) -> None:
        self._door.stop()
        self._housekeeping.stop(HOUSEKEEPING_AT_STOP_S)  # before: no heartbeat may be later than what was watched
        self.prober.stop(PROBE_AT_STOP_S)
        self.reports.stop(REPORTS_AT_STOP_S)
        closed_at = self._clock.now()  # the source is not watched from here on, however long the rest takes
        read, clean = self.pipeline.stop()
        self.teaching.stop(TEACHING_AT_STOP_S)
        self.delivery.stop(PUBLISH_AT_STOP_S, status)
        if self.http is not None:
            self.http.stop(2.0)
        self.model.pool.close()
        self.delivered = min((self.store.outbox.cursor(sink.name) for sink in self.delivery.sinks), default=0)
        self._heartbeat.end(closed_at, reported=clean and read)
        self.store.close(clean and not failed)


def _ping_while_stopping(notifier: Notifier, ended: threading.Event) -> None:
    """Keep the watchdog quiet for as long as a stop, or a change of stations, may take."""
    for _ in range(STOP_LIMIT_S):
        if ended.wait(1.0):
            return
        notifier.alive()

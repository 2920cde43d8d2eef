"""`inspector strip`: takes the messages of its stations, joins them, and publishes the strip's under its own root.

Arrivals are kept in a queue before the broker hears that they came (`consume`). The fold reads the queue, and its state
is stored with what it publishes, in one transaction of a store of its own; a sink of MQTT delivers as a station's does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

import inspector
from inspector.clock import Clock, from_timestamp_ms, to_rfc3339, to_timestamp_ms
from inspector.consume.consumer import Consumer
from inspector.consume.kept import KeptQueue
from inspector.errors import InspectorError, StoreBusyError, WorkerError
from inspector.joiner.defects import Group
from inspector.joiner.fold import Fold, JoinerState, Step
from inspector.joiner.reports import FOLDER, coil_report, name_of, write_report
from inspector.joiner.settings import JoinerSettings, joiner_folder
from inspector.messages import MESSAGE_TYPES, AboutMessage, CoilMessage, encode, schema_name
from inspector.sinks.mqtt.options import MqttOptions
from inspector.sinks.mqtt.outgoing import LossReports
from inspector.sinks.mqtt.publisher import MqttPublisher
from inspector.store.broker_notes import BrokerNotes
from inspector.store.database import DATABASE
from inspector.store.entries import Entry
from inspector.store.joined import JoinedDefects
from inspector.store.set_aside import SetAside
from inspector.store.store import Store
from inspector.store.years import CoilRun, PeriodReader
from inspector.telemetry.health import HealthBoard, State
from inspector.telemetry.kernel_clock import read_kernel_clock
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier
from inspector.telemetry.pulse import Pulse

QUEUE = "arrivals.sqlite3"
STEP_ROWS = 500
"""Arrivals that are joined in one transaction."""
LOOK_S = 0.2
TIDY_S = 5.0
KEPT_REPORTS = 20_000
AWAY_WORDS = ("offline", "stopped")

_log = structlog.get_logger("strip")


class StripService:
    """The joiner of one strip.

    Args:
        settings: What is joined.
        clock: Time.

    Raises:
        StoreError: Another process has the store.
        WorkerError: The disk is full or broken.
        SourceError: The queue cannot be used.
    """

    def __init__(self, settings: JoinerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._folder = joiner_folder(settings)
        self._fold = Fold(settings)
        self._store = Store(self._folder, clock)
        self._queue = KeptQueue(self._folder / QUEUE)
        text = self._store.notes.track_state()
        self._joined = JoinedDefects(self._store.database)
        state = JoinerState() if text is None else JoinerState.model_validate_json(text)
        published = tuple(Group.model_validate_json(one) for one in self._joined.all())
        self._state = state.model_copy(update={"groups": (*published, *state.groups)})
        if self._state.place > self._queue.last_place():  # the queue is another one: what is in it is new
            self._state = self._state.model_copy(update={"place": 0})
        self._started_at = clock.now()
        self._status: dict[str, str] = {}
        self.health = HealthBoard(settings.strip.text, clock)
        self._pulse = Pulse(self.health, clock)
        options = MqttOptions.model_validate(
            {**dict(settings.mqtt), "root": settings.root,
             "client_id": settings.mqtt.client_id or settings.root.replace("/", "-")}
        )  # fmt: skip
        self.publisher = MqttPublisher(
            options, self._store.outbox, BrokerNotes(self._store.database, self._store.topics, MqttPublisher.name),
            SetAside(self._store.database, clock, MqttPublisher.name), clock, Metrics(CollectorRegistry(), (), {}),
            retained=self._retained, losses=LossReports(_lost, _unheard), beat=self._pulse.beat,
        )  # fmt: skip
        self._store.outbox.enable([MqttPublisher.name])
        self.consumer = Consumer(
            options.model_copy(update={"client_id": f"{options.client_id}-in",
                                       "protocol": "5" if options.protocol == "auto" else options.protocol}),
            [one.root.strip("/") for one in settings.station], self._queue, clock,
            also=self._take_state, more=("coil", "status"),
        )  # fmt: skip
        self._failure: BaseException | None = None

    def run(self, stopping: threading.Event, notifier: Notifier | None = None) -> None:
        """Join until `stopping` is set.

        Raises:
            WorkerError: A thread has died.
        """
        notifier = notifier or Notifier()
        intake = threading.Thread(target=self._take, args=(stopping,), name="intake", daemon=True)
        try:
            self._report_missing()
            self.publisher.start()
            intake.start()
            notifier.ready("joining")
            _log.info("started", station=self._settings.strip.text, stations=len(self._settings.station))
            tidied_s = self._clock.monotonic()
            while not stopping.wait(LOOK_S):
                self.step()
                if failure := self._failure or self.publisher.failure:
                    raise WorkerError(f"a thread of the strip has ended: {failure}") from failure
                if self._clock.monotonic() - tidied_s >= TIDY_S:
                    tidied_s = self._clock.monotonic()
                    self._tidy()
                self.health.update(*self._judge())
                self._pulse.judged()
                notifier.alive()
        finally:
            notifier.stopping()
            stopping.set()
            if intake.is_alive():
                intake.join(5)
            self.publisher.stop(3)
            self._queue.close()
            self._store.close()
            _log.info("stopped", station=self._settings.strip.text)

    def step(self) -> bool:
        """Join what has arrived and what is due, and store it; returns whether more waits."""
        now_ms = to_timestamp_ms(self._clock.now())
        rows = self._queue.after(self._state.place, STEP_ROWS)
        steps = [Step(self._state)]
        for place, root, topic, payload in rows:
            taken = self._fold.take(steps[-1].state, root, topic, payload, now_ms)
            steps.append(Step(taken.state.model_copy(update={"place": place}), taken.drafts, taken.records))
        steps.append(self._fold.tick(steps[-1].state, now_ms))
        state = steps[-1].state
        records = tuple(record for one in steps for record in one.records)
        drafts = [draft for one in steps for draft in one.drafts]
        if not rows and not drafts and not records:
            return False
        try:
            text, also = self._stored(state)
            bodies = self._store.commit([Entry(drafts, {}, coils=records, also=also)], text)
        except StoreBusyError as exc:
            _log.warning("commit_failed", reason=str(exc))
            return True
        for number in state.troubles.keys() - self._state.troubles.keys():
            _log.warning("station_trouble", reason=state.troubles[number])
        if state.strange != self._state.strange:
            _log.warning("strange_messages", count=state.strange)
        self._state = state
        if bodies or records:
            self.publisher.wake()
        if records:
            self._report({record.coil_id for record in records})
        return len(rows) == STEP_ROWS

    def _stored(self, state: JoinerState) -> tuple[str, Callable[[Any], None]]:
        """Return the text of a state, and what writes the published defects that changed since the last one."""
        was = {str(group.defect_id): group for group in self._state.groups if group.due_ms is None}
        now = {str(group.defect_id): group for group in state.groups if group.due_ms is None}
        changed = {key: group.model_dump_json() for key, group in now.items() if was.get(key) is not group}
        gone = was.keys() - now.keys()
        waiting = state.model_copy(update={"groups": tuple(one for one in state.groups if one.due_ms is not None)})
        return waiting.model_dump_json(), lambda db: self._joined.change(db, changed, gone)

    # --- The stations ---------------------------------------------------------------------------------------------

    def _take(self, stopping: threading.Event) -> None:
        try:
            self.consumer.run(stopping)
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the main loop reads it
            self._failure = exc

    def _take_state(self, root: str, topic: str, payload: bytes) -> None:
        if topic == "status":
            self._status[root] = payload.decode(errors="replace")[:64]
        else:
            self._queue.put_state(root, topic, payload)

    def _judge(self) -> tuple[State, str | None]:
        if not self.consumer.connected:
            return "degraded", f"broker: {self._settings.mqtt.host} is not reached"
        away = [one.root for one in self._settings.station if self._status.get(one.root.strip("/")) in AWAY_WORDS]
        if len(away) == len(self._settings.station):
            return "blind", f"station_away: {', '.join(away)}"
        if away:
            return "degraded", f"station_away: {', '.join(away)}"
        if self._state.troubles:
            return "degraded", next(iter(self._state.troubles.values()))
        if missing := self.consumer.intake.missing:
            return "degraded", f"missing: {missing} messages of stations have not arrived; they were asked for"
        return "ok", None

    # --- What the strip says --------------------------------------------------------------------------------------

    def _retained(self) -> Mapping[str, bytes]:
        return {"about": encode(self._about()), "health": encode(self.health.message()), "coil": encode(self._coil())}

    def _about(self) -> AboutMessage:
        clock = read_kernel_clock()
        return AboutMessage(
            station=self._settings.strip.text, version=inspector.__version__, runtime="none", golden="stub", bundle="",
            bundle_sha256="", config="", source=f"stations {', '.join(one.root for one in self._settings.station)}",
            store_id=self._store.store_id, started_at=to_rfc3339(self._started_at), clock=clock.state,
            clock_offset_ms=clock.offset_ms, schemas=" ".join(schema_name(topic) for topic in sorted(MESSAGE_TYPES)),
        )  # fmt: skip

    def _coil(self) -> CoilMessage:
        runs = next((coil for coil in reversed(self._state.coils) if coil.ended_ms is None), None)
        done = next((coil for coil in reversed(self._state.coils) if coil.closed), None)
        record = None if done is None else self._fold.record(done)
        since_ms = runs.began_ms if runs else (done.ended_ms or 0) if done else 0
        shown = record if runs is None else None
        return CoilMessage(
            station=self._settings.strip.text, coil_id=runs.coil_id if runs else None,
            since=to_rfc3339(from_timestamp_ms(since_ms)), length_m=shown.length_m if shown else None,
            inspected_m=shown.inspected_m if shown else None,
            ended_at=to_rfc3339(record.ended_at) if record and record.ended_at else None,
            assessed=record.assessed if record else None,
            report=None if record is None else f"{self._folder / FOLDER}/{record.coil_id}",
        )  # fmt: skip

    def _report(self, coil_ids: set[str]) -> None:
        """Write the reports of coils whose record is new."""
        with closing(PeriodReader(self._folder / DATABASE)) as reader:
            for coil_id in sorted(coil_ids):
                for run in reader.coils(0, 1 << 53, coil_id)[-1:]:
                    self._write(reader, run)

    def _report_missing(self) -> None:
        """Write the reports that a process which died has left unwritten."""
        with closing(PeriodReader(self._folder / DATABASE)) as reader:
            for run in reader.coils(0, 1 << 53)[-KEPT_REPORTS:]:
                if run.record and not (self._folder / FOLDER / f"{name_of(run)}.html").is_file():
                    self._write(reader, run)

    def _write(self, reader: PeriodReader, run: CoilRun) -> None:
        try:
            page = write_report(self._folder / FOLDER, run, coil_report(reader, run, self._settings), self._settings)
            _log.info("coil_reported", coil_id=run.coil_id, file=str(page))
        except OSError as exc:
            _log.warning("report_failed", coil_id=run.coil_id, reason=str(exc))

    def _tidy(self) -> None:
        now_ms = to_timestamp_ms(self._clock.now())
        try:
            for loss in self._store.outbox.prune(self._settings.mqtt.resend_horizon_s):
                _log.error("messages_lost", sink=loss.sink, count=loss.messages, reason="outbox full")
            self._queue.forget(self._state.place, now_ms - int(self._settings.store.keep_days * 86_400_000), now_ms)
        except InspectorError as exc:
            _log.warning("housekeeping_failed", reason=str(exc))


def _lost(first: int, last: int, count: int, reason: str) -> None:
    _log.error("messages_lost", first_seq=first, last_seq=last, count=count, reason=reason)


def _unheard(first: int, last: int, count: int) -> None:
    _log.error("messages_lost", reason="their subscribers stayed away", first_seq=first, last_seq=last, count=count)

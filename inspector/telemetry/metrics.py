"""Every metric, in one place, on a registry that is handed in.

Base units, `_total` for counters, label values from fixed sets and there from the start with 0, no ids in labels,
timestamps rather than ages. They show progress, not liveness. `docs/reference/metrics.md` is generated from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import nan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from inspector.drawn.laid import SIZES_PX, laid_labels
from inspector.frame import Cause
from inspector.labels import CLEAN, OVERRULED, UNCLASSIFIED, UNCLASSIFIED_SEVERITY, UNKNOWN, Severity

OUTCOMES = ("inspected", *(cause.value for cause in Cause))
HEALTH_STATES = ("starting", "ok", "degraded", "blind", "idle", "paused")
HEALTH_REASONS = tuple(
    dict.fromkeys(
        ("store", "source_down", "no_frames", "unjudged", *(cause.value for cause in Cause), "outbox_filling", "broker",
         "store_set_aside", "store_log_grows", "disk_full",
         "jsonl", "insensitive", "no_recipe", "untaught", "off_domain", "falling_behind", "line_stands",
         "ended", "other")
    )
)  # fmt: skip
"""First words of the reasons of health; one that is not among them counts as `other`."""
STAGES = ("classify", "inspect", "track", "evidence", "commit")
SUPPRESSED = ("weld", "head", "tail", "mode", "severity", "n_of_m", "periodic", "shelved", "limit")
SINKS = ("mqtt", "jsonl")
NUMBERED = ("frame", "defect", "alarm", "periodic", "coverage")
STORE_PARTS = ("file", "log")
PER = ("km", "1000_pictures")
LOST = ("outbox_full", "rejected", "damaged")
REJECTED = ("login", "certificate", "protocol", "refused", "unreachable", "publish")


disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` gauge beside each counter would double the table and say nothing here
_STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_AGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
_SCORE_BUCKETS = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """The metric table of one station.

    Args:
        registry: Where they are registered: one per process, one per test.
        labels: Defect labels of the bundle.
        severity: Per defect label.
    """

    def __init__(self, registry: CollectorRegistry, labels: Sequence[str], severity: Mapping[str, Severity]) -> None:
        self.registry = registry

        def counter(name: str, text: str, *label_names: str) -> Counter:
            return Counter(name, text, label_names, registry=registry)

        def gauge(name: str, text: str, *label_names: str) -> Gauge:
            return Gauge(name, text, label_names, registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *label_names: str) -> Histogram:
            return Histogram(name, text, label_names, buckets=tuple(buckets), registry=registry)

        self.frames_captured = counter("inspector_frames_captured_total", "Frames that the source delivered.")
        self.frames = counter("inspector_frames_total", "Frames by what became of them.", "outcome")
        self.strip_meters = counter(
            "inspector_strip_meters_total", "Metres of strip, where the scale is known.", "outcome"
        )
        self.tiles = counter("inspector_tiles_total", "Tiles by verdict.", "verdict")
        self.defects = counter("inspector_defects_total", "Defects at or over their threshold.", "label", "severity")
        self.alarms = counter("inspector_alarms_total", "Alarms that left.", "label", "severity")
        self.alarms_suppressed = counter(
            "inspector_alarms_suppressed_total", "Defects without alarm, by rule.", "reason"
        )
        self.unclassified_held_back = counter(
            "inspector_unclassified_held_back_total", "Unclassified defects beyond what is published in an hour."
        )
        self.tile_score = histogram("inspector_tile_score", "Leading score of tiles by label.", _SCORE_BUCKETS, "label")
        self.health_state = gauge("inspector_health_state", "1 for the present state of health.", "state")
        self.health_info = gauge("inspector_health_info", "1 for the reason of the present state, if any.", "reason")
        self.last_frame = gauge("inspector_last_frame_timestamp_seconds", "When the last frame was captured.")
        self.last_inference = gauge("inspector_last_inference_timestamp_seconds", "When the last frame was inspected.")
        self.last_puback = gauge("inspector_last_puback_timestamp_seconds", "When the broker last acknowledged.")
        self.selftest = gauge(
            "inspector_selftest_last_success_timestamp_seconds", "When golden tiles last scored right."
        )
        self.stage_seconds = histogram("inspector_stage_duration_seconds", "Time in a stage.", _STAGE_BUCKETS, "stage")
        self.frame_age = histogram("inspector_frame_age_seconds", "From capture to commit.", _AGE_BUCKETS)
        self.delivery_seconds = histogram("inspector_delivery_duration_seconds", "From commit to PUBACK.", _AGE_BUCKETS)
        self.outbox_messages = gauge("inspector_outbox_messages", "Messages that wait for a sink.", "sink")
        self.outbox_bytes = gauge("inspector_outbox_bytes", "Their payload bytes.", "sink")
        self.outbox_limit = gauge(
            "inspector_outbox_limit_bytes", "Bytes beyond which messages are lost for a sink.", "sink"
        )
        self.outbox_oldest = gauge(
            "inspector_outbox_oldest_timestamp_seconds", "When the oldest was stored; 0: none waits.", "sink"
        )
        self.store_aside = gauge(
            "inspector_store_set_aside_timestamp_seconds", "When this store replaced a broken one; 0: it did not."
        )
        self.store_bytes = gauge("inspector_store_bytes", "Size of the store's file and of its log.", "part")
        self.disk_free = gauge("inspector_store_disk_free_bytes", "Free space on the store's disk.")
        self.records_pruned = counter("inspector_records_pruned_total", "Records that were deleted to make room.")
        self.files_forgotten = counter(
            "inspector_files_forgotten_total", "Finished files that were forgotten to make room."
        )
        self.outbox_lost = counter(
            "inspector_outbox_lost_total", "Messages that were never delivered to a sink.", "sink", "reason"
        )
        self.mqtt_connected = gauge("inspector_mqtt_connected", "1 while the broker is connected.")
        self.mqtt_connects = counter("inspector_mqtt_connects_total", "Connections that the broker accepted.")
        self.mqtt_rejected = counter("inspector_mqtt_rejected_total", "Refusals by the broker.", "reason")
        self.mqtt_set_aside = gauge(
            "inspector_mqtt_set_aside_messages", "Messages that the broker does not take, kept for another try."
        )
        self.mqtt_unheard = counter(
            "inspector_mqtt_unheard_total", "Messages that the broker accepted while nobody subscribed.", "topic"
        )
        self.reload_ok = gauge("inspector_config_last_reload_successful", "1 if the last reload was taken.")
        self.build = Info("inspector_build", "The program.", registry=registry)
        self.bundle = Info("inspector_bundle", "The model bundle.", registry=registry)
        self.config = Info("inspector_config", "The configuration.", registry=registry)
        self.station = Info("inspector_station", "The station.", registry=registry)
        self._add_load()
        self._add_reference()
        self._add_proof(labels)
        self._touch(labels, severity)

    def _add_load(self) -> None:
        registry = self.registry
        self.worker_busy = Counter(
            "inspector_worker_busy_seconds_total", "Time that workers spent scoring.", registry=registry
        )
        self.source_wait = Counter(
            "inspector_source_wait_seconds_total", "Time that the source waited because the inspection was busy.",
            registry=registry,
        )  # fmt: skip
        self.looks_left_out = Counter(
            "inspector_looks_left_out_total", "Tiles that were not scored again for lack of time: frames were dropped.",
            registry=registry,
        )  # fmt: skip
        self.workers = Gauge("inspector_workers", "Inspection workers.", registry=registry)

    def _add_proof(self, labels: Sequence[str]) -> None:
        kind, registry = ("class", "size"), self.registry
        self.sensitivity_ratio = Gauge(
            "inspector_sensitivity_ratio", "Share of the recent known defects that were found; NaN: none was laid.",
            kind, registry=registry,
        )  # fmt: skip
        self.sensitivity_shown = Counter(
            "inspector_sensitivity_shown_total", "Known defects laid onto clean tiles, as a proof.", kind,
            registry=registry,
        )  # fmt: skip
        self.sensitivity_found = Counter(
            "inspector_sensitivity_found_total", "Those that were found.", kind, registry=registry
        )
        self.sensitivity_seconds = Counter(
            "inspector_sensitivity_seconds_total", "Time that this proof took.", registry=registry
        )
        for label in laid_labels(labels):
            for size in map(str, SIZES_PX):
                self.sensitivity_ratio.labels(label, size).set(nan)
                self.sensitivity_shown.labels(label, size)
                self.sensitivity_found.labels(label, size)

    def _add_operator(self) -> None:
        self.periodic = Counter(
            "inspector_periodic_total", "Findings of defects that return at a fixed distance, as a roll's marks.",
            ("label",), registry=self.registry,
        )  # fmt: skip

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=self.registry)

        self.operator_alarms = gauge(
            "inspector_operator_alarms_last_hour",
            "Alarms of the operator's area in the last hour, its summary among them.",
        )
        self.alarms_standing = gauge("inspector_alarms_standing", "Alarms of this station that nobody acknowledged.")
        self.area_stations = gauge("inspector_area_stations", "Stations of the operator's area that can be heard.")
        self.alarm_flood = gauge(
            "inspector_alarm_flood", "1 with more than 10 alarms in 10 minutes, whether or not they were held back."
        )
        self.alarm_flood_seconds = Counter(
            "inspector_alarm_flood_seconds_total", "Time in such a flood.", registry=self.registry
        )

    def _add_reference(self) -> None:
        self._add_operator()

        def gauge(name: str, text: str, *label_names: str) -> Gauge:
            return Gauge(name, text, label_names, registry=self.registry)

        self.reference = Info("inspector_reference", "The site's reference; none: untaught.", registry=self.registry)
        self.reference_accepted = gauge(
            "inspector_reference_accepted_timestamp_seconds", "When a person accepted it; 0: none is in force."
        )
        self.reference_metres = gauge(
            "inspector_reference_inspected_meters", "Strip inspected under it, where the scale is known."
        )
        self.reference_pictures = gauge("inspector_reference_inspected_pictures", "Frames inspected under it.")
        self.reference_calls = gauge(
            "inspector_reference_calls", "Calls under it, but for those that a person verified as defects."
        )
        self.reference_bound = gauge(
            "inspector_reference_calls_bound", "Most calls per unit that this proves, 95 %; NaN: unknown.", "unit"
        )

    def _touch(self, labels: Sequence[str], severity: Mapping[str, Severity]) -> None:
        for outcome in OUTCOMES:
            self.frames.labels(outcome)
        for outcome in ("inspected", "missed"):
            self.strip_meters.labels(outcome)
        for label in (*labels, CLEAN, UNKNOWN, OVERRULED, UNCLASSIFIED):
            self.tiles.labels(label)
        for label in (*labels, CLEAN):
            self.tile_score.labels(label)
        for label, how_bad in (*((label, severity[label]) for label in labels), (UNCLASSIFIED, UNCLASSIFIED_SEVERITY)):
            self.defects.labels(label, how_bad)
            self.alarms.labels(label, how_bad)
            self.periodic.labels(label)
        for metric, values in (
            (self.alarms_suppressed, SUPPRESSED), (self.mqtt_rejected, REJECTED),
            (self.mqtt_unheard, NUMBERED),
            (self.outbox_messages, SINKS), (self.outbox_bytes, SINKS), (self.outbox_limit, SINKS),
            (self.outbox_oldest, SINKS), (self.store_bytes, STORE_PARTS), (self.reference_bound, PER),
        ):  # fmt: skip
            for value in values:
                metric.labels(value)
        for sink in SINKS:
            for reason in LOST:
                self.outbox_lost.labels(sink, reason)
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.show_health("starting", None)
        self.reload_ok.set(1)

    def show_health(self, state: str, reason: str | None) -> None:
        """Set the one state that is 1, and the one reason, if any; only its first word, before a colon, is a label."""
        for other in HEALTH_STATES:
            self.health_state.labels(other).set(other == state)
        word = reason.partition(":")[0] if reason else None
        shown = word if word is None or word in HEALTH_REASONS else "other"
        for known in HEALTH_REASONS:
            self.health_info.labels(known).set(known == shown)

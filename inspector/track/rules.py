"""What `track` depends on besides what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inspector.ids import Ids
from inspector.labels import UNCLASSIFIED, UNCLASSIFIED_SEVERITY, Severity


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What `track` depends on.

    Attributes:
        ids: Namer of this station.
        station: site/line/name.
        bundle: `Bundle.short`.
        config: Fingerprint of the settings.
        thresholds: Score per defect label.
        severity: Per defect label.
        mode: `observe` raises no alarm.
        alarm_hits, alarm_window: N of M frames with the label make an alarm.
        alarm_min_severity: Defects below raise none.
        alarm_limit, alarm_limit_s: Alarms per label in that many seconds.
        frame_messages: Per frame; None: for stills only.
        mm_per_px: Scale, or None while it is unknown.
        scale_source: Where the scale is from.
        reference: `SiteReference.short` of the site's reference, or None where there is none.
        unclassified_threshold: Distance from it beyond which something is unclassified.
        alarm_unclassified: What is unclassified may be an alarm.
        unclassified_limit: Unclassified defects that are published in an hour.
    """

    ids: Ids
    station: str
    bundle: str
    config: str
    thresholds: Mapping[str, float]
    severity: Mapping[str, Severity]
    mode: Literal["observe", "alarm"] = "alarm"
    alarm_hits: int = 1
    alarm_window: int = 1
    alarm_min_severity: Severity = "minor"
    alarm_limit: int = 6
    alarm_limit_s: float = 60.0
    frame_messages: bool | None = None
    mm_per_px: float | None = None
    scale_source: Literal["card", "configuration"] | None = None
    reference: str | None = None
    unclassified_threshold: float = 0.0
    alarm_unclassified: bool = False
    unclassified_limit: int = 60

    def severity_of(self, label: str) -> Severity:
        """Return how bad a defect of this label is."""
        return UNCLASSIFIED_SEVERITY if label == UNCLASSIFIED else self.severity[label]

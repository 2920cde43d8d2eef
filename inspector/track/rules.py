"""What `track` depends on besides what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inspector.ids import Ids
from inspector.labels import UNCLASSIFIED, UNCLASSIFIED_SEVERITY, Severity
from inspector.strip.periodic import PeriodicRules, Roll
from inspector.strip.rules import StripRules


@dataclass(frozen=True, slots=True)
class ClassWords:
    """What the plant calls a label.

    Attributes:
        code: Its code.
        name: Its name, for messages.
        group: The group that it belongs to.
    """

    code: str | None = None
    name: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class SeverityRule:
    """How severe a defect is that fits all that is named here; None: whatever it is.

    Attributes:
        severity: What it is.
        label: Its label.
        size_mm, size_px: Its longer side, at least.
        score: At least.
        from_mm, to_mm: Some of it lies between these, across from the frame's left.
        per_100m: So many of its label in the last 100 m, at least, itself included.
    """

    severity: Severity
    label: str | None = None
    size_mm: float | None = None
    size_px: float | None = None
    score: float | None = None
    from_mm: float | None = None
    to_mm: float | None = None
    per_100m: int | None = None


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
        mm_per_px: Scale across, or None while it is unknown.
        scale_source: Where the scale is from.
        reference: `SiteReference.short` of the site's reference, or None where there is none.
        unclassified_threshold: Distance from it beyond which something is unclassified.
        alarm_unclassified: What is unclassified may be an alarm.
        unclassified_limit: Unclassified defects that are published in an hour.
        place_px: Findings of a label that lie less than this apart lie at one place, for N of M.
        keep_open: Share of its threshold that a weak piece needs to keep an open defect open.
        severity_rules: The first that fits a defect says how severe it is; none: its label.
        area: The operator's area; None: this station alone.
        alarms_per_hour: For the operator of the area.
        words: What the plant calls labels.
        periodic: How marks that return are found; None: they are not looked for.
        rolls: Of the configuration; the plant may name others.
        recipe, recipe_hash: In force: its name, and the hash of its content; None: there are none.
        no_recipe: There are recipes, and none fits the coil: it is not assessed.
        public_url: Where the station's pages are for those who read its messages, without a slash at the end.
        strip: How metres are counted, and what a coil is.
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
    place_px: int = 0
    keep_open: float = 0.8
    severity_rules: tuple[SeverityRule, ...] = ()
    area: str | None = None
    alarms_per_hour: int = 6
    words: Mapping[str, ClassWords] = field(default_factory=dict)
    public_url: str | None = None
    periodic: PeriodicRules | None = field(default_factory=PeriodicRules)
    rolls: tuple[Roll, ...] = ()
    recipe: str | None = None
    recipe_hash: str | None = None
    no_recipe: bool = False
    strip: StripRules = field(default_factory=StripRules)

    @property
    def mm_per_line(self) -> float | None:
        """Scale along, or None while it is unknown."""
        return self.strip.mm_per_line or self.mm_per_px

    def severity_of(self, label: str) -> Severity:
        """Return how bad a defect of this label is."""
        return UNCLASSIFIED_SEVERITY if label == UNCLASSIFIED else self.severity[label]

    def named(self, label: str) -> str:
        """Return what the plant calls a label, with its code; the label where it has no name."""
        words = self.words.get(label, ClassWords())
        return " ".join(filter(None, (words.name or label, words.code and f"({words.code})")))

"""From the configuration to the rules and options of each part; opens the bundle.

Starts no thread but the model's workers and knows no running part, so that commands can share it with the station.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import structlog

from inspector.clock import Clock
from inspector.errors import BundleError, ConfigError, InspectorError
from inspector.http.options import HttpOptions, read_token
from inspector.ids import Ids
from inspector.inspection.edges import EdgeRules
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.own_labels import OwnLabel
from inspector.inspection.quality import QualityRules
from inspector.inspection.reference import SiteReference
from inspector.inspection.tiling import TilingRules
from inspector.labels import UNCLASSIFIED
from inspector.model.bundle import Bundle, find_bundle, load_bundle
from inspector.model.golden import GoldenResult
from inspector.model.interpreter import load_runtime
from inspector.model.pool import WorkerPool, open_model
from inspector.model.rules import decision_rules
from inspector.settings.alarm import LabelWords
from inspector.settings.hints import nearest
from inspector.settings.places import state_folder
from inspector.settings.recipe import name_of
from inspector.settings.sections import Decision, Settings, Tiling
from inspector.settings.store import StoreOptions
from inspector.settings.strip import Strip
from inspector.sinks.jsonl import JsonlOptions
from inspector.sinks.mqtt.options import MqttOptions
from inspector.station.in_force import Rules
from inspector.station.recipes import Recipes
from inspector.store.evidence import EvidenceFolder
from inspector.strip.periodic import PeriodicRules, Roll, pitch_of
from inspector.strip.rules import StripRules
from inspector.teach.accepted import UNTAUGHT, Accepted, read_accepted
from inspector.teach.files import FOLDER
from inspector.teach.own_labels import FOLDER as LABELS
from inspector.teach.own_labels import fit_label, label_names, label_state, read_labels
from inspector.telemetry.health import HealthLimits
from inspector.track.rules import ClassWords, SeverityRule, TrackRules

_log = structlog.get_logger("daemon")


@dataclass(frozen=True, slots=True, eq=False)
class OpenModel:
    """A proven bundle with its workers and rules, and the site's reference, which the rules hold.

    `label_state` is that of the site's own labels before they were read; `named` are the references that recipes name.
    """

    bundle: Bundle
    pool: WorkerPool
    golden: GoldenResult
    rules: InspectRules
    runtime: str
    taught: Accepted = UNTAUGHT
    label_state: tuple[object, ...] = ()
    named: Mapping[str, Accepted] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Defect labels: the bundle's, and those that the site taught itself."""
        return (*self.bundle.card.defect_labels, *(label.name for label in self.rules.decision.own))


def worker_count(wanted: int) -> int:
    """Return how many interpreters work: as configured, or one per core this process may use, at most 4."""
    return wanted or min(4, len(os.sched_getaffinity(0)))


def inspect_rules(
    tiling: Tiling,
    decision: Decision,
    bundle: Bundle,
    reference: SiteReference | None = None,
    own_names: Collection[str] = (),
    edges: EdgeRules | None = None,
) -> InspectRules:
    """Return the rules of the first pure function; with a reference, those of a station that was taught.

    Raises:
        ConfigError: A label, overlap or region that does not fit the bundle.
    """
    return InspectRules(
        TilingRules(bundle.card.tile_px, tiling.overlap_px, tiling.roi_xy),
        decision_rules(
            bundle, decision.thresholds, decision.severity, decision.record_floor, decision.unknown,
            decision.second_look, decision.never_overrule, reference, own_names,
        ),
        QualityRules(decision.blank_std, decision.overexposed_share, decision.underexposed_share),
        bundle.card.input_px,
        edges or EdgeRules(),
    )  # fmt: skip


def edge_rules(strip: Strip) -> EdgeRules:
    """Return how the strip's edges are known."""
    return EdgeRules(strip.edges == "find", strip.edges if isinstance(strip.edges, tuple) else None, strip.background)


def alarm_mode(mode: Literal["auto", "alarm", "observe"], *, taught: bool) -> Literal["alarm", "observe"]:
    """Return whether defects may alarm: with `auto` only where the site was taught for the running bundle."""
    if mode == "auto":
        return "alarm" if taught else "observe"
    return mode


def untaught_reason(mode: Literal["auto", "alarm", "observe"], taught: Accepted) -> str | None:
    """Return why the accepted reference, or any where one is expected, is not in force, for health, or None."""
    if taught.trouble is not None:
        return taught.trouble
    if taught.reference is not None or mode != "auto":
        return None
    return "it observes and raises no alarm until it is taught its good surface: inspector teach"


def with_reference(rules: InspectRules, taught: Accepted) -> InspectRules:
    """Return rules that decide under the site's reference, if there is one."""
    return replace(rules, decision=replace(rules.decision, reference=taught.reference))


def reference_named(settings: Settings, name: str, unit_file: Path | None = None) -> Path:
    """Return where the references lie that a recipe names; arguments as of `state_folder`."""
    return state_folder(settings, unit_file=unit_file) / f"{FOLDER}-{name}"


def read_named(settings: Settings, bundle: Bundle, unit_file: Path | None = None) -> Mapping[str, Accepted]:
    """Return the references that recipes name, by name; one that cannot be used now says why.

    Raises:
        ConfigError: Of this name none was ever accepted.
    """
    found: dict[str, Accepted] = {}
    for number, recipe in enumerate(settings.recipe):
        if recipe.reference is None or recipe.reference in found:
            continue
        folder = reference_named(settings, recipe.reference, unit_file)
        accepted = found[recipe.reference] = read_accepted(folder, bundle)
        if accepted.reference is None and accepted.trouble is None:
            raise ConfigError(
                f"recipe.{number}.reference: none of this name was accepted ({folder}): {recipe.reference!r}; teach it:"
                f" inspector teach --config FILE --reference {recipe.reference} --frames DIR, then with --accept"
            )
    return found


def recipe_rules(settings: Settings, model: OpenModel, base: Rules, number: int | None) -> Rules:
    """Return the rules of a recipe, or with None those of a coil that no recipe fits: they observe."""
    if number is None:
        return replace(base, track=replace(base.track, mode="observe", no_recipe=True))
    recipe = settings.recipe[number]
    taught = base.taught if recipe.reference is None else model.named[recipe.reference]
    rules = with_reference(base.inspect, taught)
    decision = rules.decision
    rules = replace(rules, decision=replace(
        decision,
        thresholds={**decision.thresholds, **(recipe.thresholds or {})},
        severity={**decision.severity, **(recipe.severity or {})},
    ))  # fmt: skip
    own = settings.model_copy(update={"events": settings.events.model_copy(update=recipe.events())})
    track = replace(
        track_rules(own, model.bundle, rules), config=base.track.config, recipe=name_of(settings.recipe, number),
        recipe_hash=recipe.content_hash,
    )  # fmt: skip
    return Rules(rules, track, taught)


def open_recipes(settings: Settings, model: OpenModel) -> Recipes | None:
    """Return which recipe holds for which frame; None where the configuration has none."""
    if not settings.recipe:
        return None
    return Recipes(
        settings.recipe,
        lambda base, number: recipe_rules(settings, model, base, number),
        at_once=not track_rules(settings, model.bundle, model.rules).strip.offset_m,
    )


def rules_in_force(settings: Settings, model: OpenModel, taught: Accepted) -> Rules:
    """Return all rules that go with a reference, or with none."""
    rules = with_reference(model.rules, taught)
    return Rules(rules, track_rules(settings, model.bundle, rules), taught)


def label_folder(settings: Settings, unit_file: Path | None = None) -> Path:
    """Return where a station's own labels lie; arguments as of `state_folder`."""
    return state_folder(settings, unit_file=unit_file) / LABELS


def reference_folder(settings: Settings, unit_file: Path | None = None) -> Path:
    """Return where the references of a station lie; arguments as of `state_folder`."""
    return state_folder(settings, unit_file=unit_file) / FOLDER


def strip_rules(settings: Settings) -> StripRules:
    """Return how metres are counted, and what a coil is."""
    strip = settings.strip
    own = {name: getattr(strip, name) for name in StripRules.__slots__ if name in type(strip).model_fields}
    return StripRules(**own | {
        "edges": strip.edges if isinstance(strip.edges, tuple) else None,
        "coil_pattern": strip.coil_expression,
        "runs_on": settings.source.kind in ("camera", "lines"),
    })  # fmt: skip


def track_rules(settings: Settings, bundle: Bundle, rules: InspectRules) -> TrackRules:
    """Return the rules of the second pure function, for frames that are inspected by `rules`."""
    events, reference = settings.events, rules.decision.reference
    scale = settings.mm_per_px or bundle.card.mm_per_px
    return TrackRules(
        ids=Ids(settings.root),
        station=settings.station.text,
        bundle=bundle.short,
        config=settings.fingerprint()[:12],
        thresholds=rules.decision.thresholds,
        severity=rules.decision.severity,
        mode=alarm_mode(settings.decision.mode, taught=reference is not None),
        alarm_hits=events.alarm_hits,
        alarm_window=events.alarm_window,
        alarm_min_severity=events.alarm_min_severity,
        alarm_limit=events.alarm_limit,
        alarm_limit_s=events.alarm_limit_s,
        frame_messages=events.frame_messages,
        mm_per_px=scale,
        scale_source=None if scale is None else "configuration" if settings.mm_per_px else "card",
        reference=reference.short if reference else None,
        unclassified_threshold=reference.unclassified_threshold if reference else 0.0,
        alarm_unclassified=events.alarm_unclassified,
        unclassified_limit=events.unclassified_limit,
        place_px=bundle.card.tile_px,
        keep_open=events.keep_open,
        severity_rules=tuple(SeverityRule(**dict(row)) for row in settings.alarm.severity),
        area=settings.alarm.area,
        alarms_per_hour=settings.alarm.per_hour,
        words={
            label: ClassWords(words.code, words.name_in(), words.group)
            for label, words in settings.labels.words.items()
        },
        public_url=settings.http.public_url if settings.http.enabled else None,
        periodic=PeriodicRules(*settings.strip.pitch_mm) if settings.strip.periodic else None,
        strip=strip_rules(settings),
        rolls=tuple(
            Roll(row.stand, row.position, row.roll_id, pitch_of(row.diameter_mm, row.elongation))
            for row in settings.strip.rolls
        ),
    )


def require_labels(settings: Settings, known: Collection[str], bundle: str) -> None:
    """Refuse a table or rule about a label that the running bundle does not have.

    Checked wherever a bundle is opened: at the start, at each reload, and by `inspector check`.

    Raises:
        ConfigError: There is no such label; the text names the key, the labels and the nearest one.
    """
    labels = (*known, UNCLASSIFIED)
    if settings.labels.words.get(UNCLASSIFIED, LabelWords()).severity is not None:
        raise ConfigError(
            f"labels.{UNCLASSIFIED}.severity: what is unclassified is minor; [[alarm.severity]] may say more"
        )
    named = [(f"labels.{label}", label) for label in settings.labels.words]
    named += [(f"alarm.severity.{n}.label", row.label) for n, row in enumerate(settings.alarm.severity) if row.label]
    for n, recipe in enumerate(settings.recipe):
        given = {"thresholds": recipe.thresholds, "severity": recipe.severity}
        named += [(f"recipe.{n}.{key}", label) for key, table in given.items() for label in table or ()]
    for key, label in named:
        if label not in labels:
            meant = nearest(label, labels)
            hint = f"; did you mean {meant!r}?" if meant else ""
            raise ConfigError(f"{key}: no label of bundle {bundle} ({', '.join(labels)}): {label!r}{hint}")


def worded(settings: Settings) -> Decision:
    """Return `[decision]` with the severities of `[labels]`, which give way to its own."""
    given = {label: words.severity for label, words in settings.labels.words.items() if words.severity is not None}
    return settings.decision.model_copy(update={"severity": {**given, **settings.decision.severity}})


def health_limits(settings: Settings) -> HealthLimits:
    """Return the limits of the station's health."""
    return HealthLimits(off_domain_share=settings.events.off_domain_share)


def mqtt_options(settings: Settings) -> MqttOptions:
    """Return how to reach the broker."""
    mqtt, root = settings.mqtt, settings.root
    own = {"root": root, "client_id": mqtt.client_id or root.replace("/", "-")}
    return MqttOptions.model_validate(dict(mqtt) | own)


def jsonl_options(settings: Settings, store_folder: Path) -> JsonlOptions:
    """Return where messages are written to files, below the store's folder unless another is configured."""
    jsonl = settings.jsonl
    return JsonlOptions.model_validate(dict(jsonl) | {"path": jsonl.path or store_folder / "jsonl"})


def open_evidence(kept: StoreOptions, folder: Path, clock: Clock) -> EvidenceFolder | None:
    """Return where pictures of defects are kept, or None if they are not."""
    if kept.evidence != "on":
        return None
    return EvidenceFolder(
        folder,
        clock,
        limit_bytes=kept.evidence_limit_bytes,
        max_age_s=kept.evidence_max_age_days * 86400,
        free_floor_bytes=kept.free_floor_bytes,
        longest_px=kept.evidence_px,
    )


def http_options(settings: Settings) -> HttpOptions:
    """Return how to listen.

    Raises:
        ConfigError: The token cannot be used.
    """
    http, source = settings.http, settings.source
    return HttpOptions(
        **dict(http),
        token=read_token(http.token_file) if http.token_file is not None else None,
        max_frame_px=source.max_frame_px,
        full_scale=source.full_scale,
        root=settings.root,
        labels=settings.labels.words,
    )


def with_own_labels(rules: InspectRules, own: Sequence[OwnLabel], decision: Decision) -> InspectRules:
    """Return the rules with the site's own labels: minor, at their fitted threshold, unless the configuration says."""
    own = [replace(label, threshold=decision.thresholds.get(label.name, label.threshold)) for label in own]
    named = replace(
        rules.decision,
        own=tuple(own),
        thresholds={**rules.decision.thresholds, **{label.name: label.threshold for label in own}},
        severity={**{label.name: "minor" for label in own}, **rules.decision.severity},
    )
    return replace(rules, decision=named)


def open_bundle(settings: Settings, loaded: Bundle | None = None, unit_file: Path | None = None) -> OpenModel:
    """Load the bundle and prove it on this machine; the accepted reference decides with it if it can be used.

    Args:
        settings: The configuration.
        loaded: Prove this one again, in place of what lies on the disk now.
        unit_file: As of `state_folder`: for a command that decides as a unit's station does.

    Raises:
        BundleError: It does not hold what its card says.
        ConfigError: The configuration does not fit it.
    """
    root = find_bundle(settings.model.path)
    try:
        bundle = loaded or load_bundle(root)
        labels = label_folder(settings, unit_file)
        state = label_state(labels)
        own, troubles = read_labels(labels, bundle.card.labels)
        names = label_names(labels)
        require_labels(settings, (*bundle.card.defect_labels, *names), bundle.card.name)
        rules = inspect_rules(
            settings.tiling, worded(settings), bundle, own_names=names, edges=edge_rules(settings.strip)
        )
        pool, golden = open_model(bundle, worker_count(settings.model.workers), settings.model.runtime, places=True)
        rules = with_own_labels(rules, [fit_label(pixels, pool).label for pixels in own], settings.decision)
        for trouble in troubles:
            _log.warning("label_refused", reason=trouble)
        taught = read_accepted(reference_folder(settings, unit_file), bundle)
        named = read_named(settings, bundle, unit_file)
    except InspectorError:
        raise
    except Exception as exc:  # whatever a foreign bundle sets off in the libraries: it is refused, nothing else ends
        raise BundleError(f"{root}: cannot be used: {exc!r}") from exc
    runtime = load_runtime(settings.model.runtime)[0]
    return OpenModel(bundle, pool, golden, with_reference(rules, taught), runtime, taught, state, named)

"""What leaves the station: the message types, their deterministic ids, and their one canonical encoding.

Each type is declared once, here; `inspector/schemas/*.json` is generated from it (`inspector.schema_files`) and a test
holds the two together. Payloads are flat with at most one level of nesting, have no arrays, and always carry
every key: absent is null. Published schemas are open: a new key is not a new version, so a consumer ignores keys that
it does not know; a removed key, or one of another type, is. A message is a `Draft` until the store gives it
`store_id` and `seq`; stored bytes never change afterwards. The schema files of version 1 stay for stored rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inspector.box import Box
from inspector.clock import to_rfc3339, to_timestamp_ms
from inspector.json_text import canonical_json
from inspector.labels import Severity

Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Score = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$")]
Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]


class _Flat(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )


class FrameRef(_Flat):
    """Which frame."""

    epoch: Count = Field(description="Source start of this store, from 1.")
    frame_id: Count = Field(description="Captured frames of this epoch, from 0; a jump means dropped frames.")
    source_key: str | None = Field(description="Path relative to the watched folder.")


class BoxPx(_Flat):
    """A rectangle in source-frame pixels, EXIF orientation ignored."""

    x: Count = Field(description="Left edge.")
    y: Count = Field(description="Top edge.")
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]

    @classmethod
    def of(cls, box: Box) -> BoxPx:
        """Return a tiling box as message part."""
        return cls.model_construct(x=box.x, y=box.y, width=box.width, height=box.height)


class RunnerUp(_Flat):
    """The label that came second in the tile that decided; in an unclassified one, what the bundle put first."""

    label: str = Field(description="Its name.")
    score: Score = Field(description="Its score.")


Rule = Literal["threshold", "weld", "head", "tail", "mode", "severity", "n_of_m", "periodic", "shelved", "limit"]
"""Rules that decide on an alarm."""


class Why(_Flat):
    """The reason, and what would change it."""

    rule: Rule = Field(description="Rule that decided last.")
    key: str = Field(description="Configuration key that would change the outcome.")
    severity_key: str | None = Field(default=None, description="Key of the rule of severity; null: by the label.")
    measure: Literal["score", "distance"] = Field(default="score", description="What threshold and score measure.")
    threshold: NotNegative = Field(description="What the score has to reach.")
    score: NotNegative = Field(description="What it was.")
    margin: float = Field(description="score - threshold, rounded to four decimals.")
    hits: Count = Field(description="Frames with this label among the last `window`.")
    window: Count = Field(description="How many last frames count (`events.alarm_window`).")


class Evidence(_Flat):
    """The picture that shows it; null where none was kept."""

    sha256: str | None = Field(description="Of the file.")
    url: str | None = Field(description="Path at the station's HTTP listener.")


class _Common(_Flat):
    id: Uuid = Field(description="Of this message: a consumer drops repeats by it.")
    store_id: str = Field(description="Of the store that numbered it.")
    seq: Count = Field(description="Numbers every QoS 1 message of one store without gaps, from 1.")
    captured_at: Moment = Field(description="End of exposure, RFC 3339, UTC.")
    timestamp_ms: int = Field(description="The same in milliseconds since 1970-01-01 UTC.")
    station: str = Field(description="site/line/name")
    coil_id: str | None = Field(description="The coil that ran; null: none was named.")
    bundle: str = Field(description="name@version+fingerprint of the model bundle.")
    config: str = Field(description="Fingerprint of the configuration.")
    simulated: bool = Field(description="True for generated pictures.")
    side: Literal["top", "bottom"] | None = Field(default=None, description="Which side of the strip; null: not said.")
    reference: str | None = Field(default=None, description="Hash of the site's reference; null: not taught.")
    recipe: str | None = Field(default=None, description="Name of the recipe in force.")
    recipe_hash: str | None = Field(default=None, description="Hash of its content.")


class _Named(_Common):
    class_code: str | None = Field(default=None, description="The plant's code for the label.")
    class_name: str | None = Field(default=None, description="The plant's name for the label.")
    class_group: str | None = Field(default=None, description="The plant's group of the label.")
    distance: NotNegative | None = Field(default=None, description="From the site's reference; null: not taught.")


class DefectMessage(_Named):
    """One phase of one defect; an independent still gives exactly one message per defect, `closed`."""

    schema_: Literal["inspector/defect/2"] = Field(default="inspector/defect/2", alias="schema")
    defect_id: Uuid = Field(description="The same in all phases of the defect.")
    phase: Literal["opened", "updated", "closed"] = Field(description="Always `closed` for a still.")
    frame: FrameRef
    box_px: BoxPx = Field(description="Where it shows; around whole tiles if the bundle's maps do not show that.")
    line: int | None = Field(description="Absolute first line on a line stream.")
    lines: int | None = Field(description="Length in lines on a line stream.")
    position_m: float | None = Field(description="From the coil's head; before any coil, from the first line seen.")
    from_tail_m: float | None = Field(default=None, description="From the coil's tail, once its length is known.")
    position_source: Literal["lines", "speed", "rate", "encoder"] | None = Field(
        default=None, description="What the position was counted from."
    )
    across_mm: float | None = Field(description="Left edge, from the frame's left.")
    from_operator_mm: float | None = Field(default=None, description="Left edge, from the strip's operator side.")
    from_centre_mm: float | None = Field(default=None, description="Middle, from the strip's centre line.")
    width_mm: float | None = Field(description="Across the strip; null: no scale.")
    length_mm: float | None = Field(description="Along the strip; null: no scale.")
    scale_source: Literal["card", "configuration"] | None = Field(description="Origin of the scale; null: no scale.")
    label: str = Field(description="What it is, by the model; `unclassified`: not like the reference, of no class.")
    score: Score = Field(description="Highest score of its tiles; of an unclassified one, its runner-up's.")
    runner_up: RunnerUp
    severity: Severity = Field(description="By its label.")
    alarm: bool = Field(description="Whether an alarm was sent for it.")
    why: Why
    shelved_by: str | None = Field(default=None, description="Id of the command that shelved its alarm.")
    periodic_id: Uuid | None = Field(default=None, description="The periodic finding that it belongs to.")
    tiles: Count = Field(description="Tiles that show it.")
    frames: Count = Field(description="Frames that show it.")
    evidence: Evidence


class FrameMessage(_Named):
    """What became of one frame; every captured still gives exactly one."""

    schema_: Literal["inspector/frame/2"] = Field(default="inspector/frame/2", alias="schema")
    frame: FrameRef
    verdict: Literal["pass", "fail", "unknown", "not_inspected"] = Field(description="The frame in one word.")
    reason: str | None = Field(
        description="Why it was not inspected: a word of the coverage causes; `unclassified` if `unknown` for that."
    )
    detail: str | None = Field(description="The same for a person.")
    label: str | None = Field(description="Label of the most severe defect.")
    score: Score | None = Field(description="Its score.")
    defects: Count = Field(description="How many defects it has.")
    defect_ids: str = Field(description="defect_id of each, separated by spaces, most severe first.")
    width_px: int | None = Field(description="Of the frame.")
    height_px: int | None = Field(description="Of the frame.")
    tiles: Count = Field(description="Tiles that were inspected.")
    unknown_tiles: Count = Field(description="Tiles among them that the model does not know.")
    unclassified_tiles: Count | None = Field(default=None, description="Not like the reference; null: not taught.")


class AlarmMessage(_Named):
    """A defect that needs a person, or a report of how many more there were."""

    schema_: Literal["inspector/alarm/2"] = Field(default="inspector/alarm/2", alias="schema")
    kind: Literal["defect", "suppressed", "summary"] = Field(description="What it reports.")
    defect_id: Uuid = Field(description="The defect; of `suppressed`, the first held back; of a `summary`, its own.")
    defect_ids: str | None = Field(default=None, description="Of a summary: all new critical defects, then the latest.")
    periodic_id: Uuid | None = Field(default=None, description="The periodic finding that it is raised for.")
    area: str | None = Field(default=None, description="The operator's area that the limit holds for.")
    url: str | None = Field(default=None, description="A link that opens the defect.")
    position_m: float | None = Field(default=None, description="As in the defect.")
    across_mm: float | None = Field(default=None, description="As in the defect.")
    label: str = Field(description="As in the defect.")
    score: Score = Field(description="As in the defect.")
    severity: Severity = Field(description="As in the defect.")
    suppressed: Count = Field(description="Alarms held back; of a summary, all since it began.")
    why: Why
    text: str = Field(description="One line for a person.")


class PeriodicMessage(_Named):
    """Defects of one class at one place across that return at a fixed distance: the mark of a roll."""

    schema_: Literal["inspector/periodic/1"] = Field(default="inspector/periodic/1", alias="schema")
    periodic_id: Uuid = Field(description="The same in all phases; `periodic_id` of its defects names it.")
    phase: Literal["opened", "updated", "closed"] = Field(
        description="`updated` when it has twice as many marks; `closed` at the end of the coil."
    )
    label: str = Field(description="Of its defects.")
    severity: Severity = Field(description="Of the most severe of them.")
    pitch_mm: Annotated[float, Field(gt=0)] = Field(description="Distance of its marks along the strip.")
    across_mm: float = Field(description="Where the middle of its marks lies, as `across_mm` of a defect.")
    phase_mm: NotNegative = Field(description="Where they lie within a pitch, from the coil's head.")
    count: Count = Field(description="Marks so far.")
    first_m: float = Field(description="Middle of the first mark, as `position_m` of a defect.")
    last_m: float = Field(description="Middle of the last one.")
    roll: str | None = Field(description="Stand, position and name of the roll that is suspected; null: none fits.")
    harmonic: str | None = Field(
        default=None, description="Pitch over the roll's: 1; 1/2: two marks a turn; 2: one mark in two turns."
    )
    defect_ids: str = Field(description="Defects by which it was found: those before it was known among them.")


class CoverageMessage(_Common):
    """A stretch that was not inspected, or messages that were lost."""

    schema_: Literal["inspector/coverage/2"] = Field(default="inspector/coverage/2", alias="schema")
    from_: Moment = Field(alias="from", description="Start of the stretch.")
    to: Moment = Field(description="Its end.")
    cause: str = Field(description="Why, in one word.")
    frames: Count = Field(description="Frames that are missing; 0: not known.")
    epoch: Count = Field(description="Source start of this store, from 1.")
    source_key: str | None = Field(description="Path relative to the watched folder, for a file.")
    from_m: float | None = Field(default=None, description="Start of the stretch, as `position_m` of a defect.")
    to_m: float | None = Field(default=None, description="Its end.")
    detail: str | None = Field(description="The cause for a person.")
    person: str | None = Field(default=None, description="Who asked for it, for cause `paused`.")
    sink: str | None = Field(
        default=None, description="Which sink, for `messages_lost` and `messages_unheard`; null: all."
    )
    lost: Count | None = Field(default=None, description="How many messages were lost, or went unheard.")
    first_seq: int | None = Field(description="First of these messages; null: unknown.")
    last_seq: int | None = Field(description="Last of them; others between may have arrived.")
    lost_seqs: str | None = Field(
        default=None, description="Exactly which messages were lost, as `4-9 12`; null: too many to list, or none."
    )


class HealthMessage(_Flat):
    """Whether the station sees. Retained; a consumer that reads it after `valid_until` must take it for `blind`."""

    schema_: Literal["inspector/health/2"] = Field(default="inspector/health/2", alias="schema")
    station: str = Field(description="site/line/name")
    state: Literal["starting", "ok", "degraded", "blind", "idle", "paused"] = Field(description="Whether it sees.")
    reason: str | None = Field(description="Why; the first word is from a fixed list.")
    since: Moment = Field(description="Start of this state.")
    valid_until: Moment = Field(description="Take it for `blind` after this moment.")
    running: bool | None = Field(default=None, description="Whether the line runs, as the plant said.")
    speed_m_s: float | None = Field(default=None, description="Its speed, as the plant said; negative: backwards.")
    person: str | None = Field(default=None, description="Who paused it.")
    until: Moment | None = Field(default=None, description="When the pause ends by itself.")
    shelved: Count | None = Field(default=None, description="Shelved alarms in force.")
    reference: str | None = Field(default=None, description="Hash of the site's reference; null: not taught.")
    recipe: str | None = Field(default=None, description="Name of the recipe in force.")


class AboutMessage(_Flat):
    """What runs here. Retained."""

    schema_: Literal["inspector/about/2"] = Field(default="inspector/about/2", alias="schema")
    station: str = Field(description="site/line/name")
    version: str = Field(description="Of the program.")
    runtime: str = Field(description="Of the inference.")
    golden: Literal["exact", "tolerated", "stub"] = Field(description="How this machine scores the golden tiles.")
    bundle: str = Field(description="name@version+fingerprint of the model bundle.")
    bundle_sha256: str = Field(description="Fingerprint of the bundle.")
    config: str = Field(description="Fingerprint of the configuration.")
    source: str = Field(description="What is read.")
    store_id: str = Field(description="Of the store.")
    started_at: Moment = Field(description="Start of the process.")
    clock: Literal["synchronized", "unsynchronized", "unknown"] = Field(description="State of the clock.")
    clock_offset_ms: float | None = Field(default=None, description="How far the clock is off, as the kernel says.")
    reference: str | None = Field(default=None, description="Hash of the site's reference; null: not taught.")
    own_labels: str | None = Field(
        default=None, description="Labels that the site taught itself, as name+hash, separated by spaces; null: none."
    )
    schemas: str = Field(description="Schemas in use, separated by spaces.")


class MarkMessage(_Flat):
    """The last message that the broker acknowledged. Retained: read back, it tells what a broker has lost."""

    schema_: Literal["inspector/mark/1"] = Field(default="inspector/mark/1", alias="schema")
    store_id: str
    seq: Count


class HeartbeatMessage(_Flat):
    """The station's main loop lives: once a second, QoS 0, not retained, and never while it hangs."""

    schema_: Literal["inspector/heartbeat/1"] = Field(default="inspector/heartbeat/1", alias="schema")
    at: Moment = Field(description="When it was sent.")
    state: Literal["starting", "ok", "degraded", "blind", "idle", "paused"] = Field(description="As in `health`.")
    beat: Count = Field(description="Counts the beats of this process, from 1; a jump means that some did not arrive.")


class AreaMessage(_Flat):
    """What a station tells the others of its operator's area: so much of the hour's alarms is used. Retained."""

    schema_: Literal["inspector/area/1"] = Field(default="inspector/area/1", alias="schema")
    station: str = Field(description="site/line/name")
    area: str = Field(description="The area; the topic is `inspector/areas/AREA/site/line/name`.")
    at: Moment = Field(description="When it said so; a station that was silent for 150 s has no share.")
    alarms: str = Field(description="When alarms left in the last hour, separated by spaces.")
    summary: Uuid | None = Field(description="`defect_id` of the summary that it updates, or null.")
    summary_at: Moment | None = Field(description="When it held an alarm back last.")
    held: Count = Field(description="How many it has held back.")
    wanted: Count = Field(description="Alarms of the last ten minutes, with those held back.")


class CoilMessage(_Flat):
    """Which coil or batch runs, as the plant said on `cmd/coil`. Retained."""

    schema_: Literal["inspector/coil/2"] = Field(default="inspector/coil/2", alias="schema")
    station: str = Field(description="site/line/name")
    coil_id: str | None = Field(description="Null between coils.")
    since: Moment = Field(description="Its start.")
    product: str | None = Field(default=None, description="What it becomes.")
    grade: str | None = Field(default=None, description="Of the steel.")
    width_mm: NotNegative | None = Field(default=None, description="Of the strip.")
    thickness_mm: NotNegative | None = Field(default=None, description="Of the strip.")
    length_m: NotNegative | None = Field(default=None, description="Of the coil.")
    inspected_m: NotNegative | None = Field(default=None, description="How much of it was inspected.")
    recipe: str | None = Field(default=None, description="Name of the recipe in force.")
    ended_at: Moment | None = Field(default=None, description="When the coil of the report ended.")
    assessed: bool | None = Field(default=None, description="False: too little of it was inspected to judge it.")
    surface_class: str | None = Field(default=None, description="Of the coil of the report.")
    disposition: str | None = Field(default=None, description="Of the coil of the report.")
    probes_shown: Count | None = Field(
        default=None, description="Known defects laid onto copies of its clean tiles, as a proof; null: none."
    )
    probes_found: Count | None = Field(default=None, description="How many of these were found.")
    report: str | None = Field(description="Reference of the report of the coil that ended; null while there is none.")


class ReplyMessage(_Flat):
    """The answer to a command: what was asked, whether it is in force, and if not, why."""

    schema_: Literal["inspector/reply/2"] = Field(default="inspector/reply/2", alias="schema")
    command: str = Field(description="Its name.")
    ok: bool = Field(description="Whether the command was carried out.")
    error: str | None = Field(default=None, description="One word: why it was not.")
    request_id: str | None = Field(default=None, description="As it was asked.")
    accepted: bool = Field(description="Whether the command was understood and allowed.")
    detail: str = Field(description="The same for a person.")


Body = DefectMessage | FrameMessage | AlarmMessage | PeriodicMessage | CoverageMessage
State = HealthMessage | HeartbeatMessage | AreaMessage | AboutMessage | MarkMessage | CoilMessage | ReplyMessage

MESSAGE_TYPES: Mapping[str, type[BaseModel]] = {
    "defect": DefectMessage,
    "frame": FrameMessage,
    "alarm": AlarmMessage,
    "periodic": PeriodicMessage,
    "coverage": CoverageMessage,
    "health": HealthMessage,
    "heartbeat": HeartbeatMessage,
    "area": AreaMessage,
    "about": AboutMessage,
    "mark": MarkMessage,
    "coil": CoilMessage,
    "reply": ReplyMessage,
}
"""Message type by topic below the root; `area` is the exception, see there."""


_TOPICS = {kind: topic for topic, kind in MESSAGE_TYPES.items()}


def topic_of(body: Body | State) -> str:
    """Return the topic of a message below the root."""
    return _TOPICS[type(body)]


def encode(body: Body | State) -> bytes:
    """Return the canonical JSON of a message: sorted keys, no spaces, UTF-8."""
    return canonical_json(body.model_dump(mode="json", by_alias=True))


def moment_fields(moment: datetime) -> dict[str, Any]:
    """Return `captured_at` and `timestamp_ms` of a moment."""
    return {"captured_at": to_rfc3339(moment), "timestamp_ms": to_timestamp_ms(moment)}


def schema_name(topic: str) -> str:
    """Return the name of the schema that messages of a topic carry, as `inspector/defect/2`."""
    return str(MESSAGE_TYPES[topic].model_fields["schema_"].default)


def schema_file(topic: str) -> str:
    """Return the name of its file in `inspector/schemas`, as `defect-2.json`."""
    return f"{topic}-{schema_name(topic).rpartition('/')[2]}.json"

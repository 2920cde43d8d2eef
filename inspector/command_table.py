"""The commands that a station takes: one table for `cmd/NAME` over MQTT, `POST /api/commands/NAME`, `inspector do`.

`station.plant` has a handler for each row, and says what the command does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from inspector.messages import Uuid

MAX_PAYLOAD_BYTES = 4096
"""A longer payload is refused unread."""
MAX_HOURS = 8.0
"""A shift: nobody inherits what the previous shift has silenced or paused."""
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sentence = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Millimetres = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]


class Asked(BaseModel):
    """What every command may carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: Name | None = None
    """Returned in the reply; the same command again under the same id within an hour is not done twice."""
    person: Name | None = None
    """Who asks; over the socket on the PC, who is logged in there."""
    reason: Sentence | None = None
    """Why, for the next shift."""


class _Strict(Asked):
    """Takes no number in quotes, and no 1 for true."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Timed(_Strict):
    """What ends by itself."""

    hours: float = Field(default=1, gt=0, le=MAX_HOURS, allow_inf_nan=False)
    """How long it lasts."""
    off: bool = False
    """Ends it now."""


class PauseCommand(Timed):
    """Inspect nothing for a while: what passes is a gap with the cause `paused`."""


class ShelveCommand(Timed):
    """Raise no alarm for a while for a class, a place across the strip, or both; the defects are recorded.

    With `off`, the shelves of that label, or that place, end; where neither is given, all.
    """

    label: Name | None = None
    """Of the defects; null: all."""
    from_mm: Millimetres | None = None
    """Left end of the place, from the frame's left; null: anywhere."""
    to_mm: Millimetres | None = None
    """Its right end."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.from_mm is None) != (self.to_mm is None):
            raise ValueError("from_mm and to_mm belong together")
        if self.from_mm is not None and self.to_mm is not None and self.from_mm >= self.to_mm:
            raise ValueError(f"from_mm must be less than to_mm: {self.from_mm:g}, {self.to_mm:g}")
        return self


class AckCommand(_Strict):
    """Note that somebody has seen an alarm, or with null all of them."""

    defect_id: Uuid | None


class VerifyCommand(_Strict):
    """What a person found where a defect was reported."""

    defect_id: Uuid
    verdict: Literal["confirmed", "false_call", "reclassified", "unsure"]
    label: Name | None = None
    """What it is instead, for `reclassified`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.verdict == "reclassified" and self.label is None:
            raise ValueError("label: what is it instead? reclassified needs it")
        return self


class Said(_Strict):
    """What the plant says, which may come late: a broker keeps it while the station restarts."""

    at: AwareDatetime | None = None
    """When it was said, RFC 3339, at most a day ago; null: now."""


class LineCommand(Said):
    """Whether the line runs: a line that stands is idle, not blind."""

    running: bool
    speed_m_s: float | None = Field(default=None, ge=-200, le=200, allow_inf_nan=False)
    """How fast; negative: backwards; null: not known."""


class RollsCommand(_Strict):
    """The roll that runs at a place of the mill: marks at its distance name it."""

    stand: Name
    """Where, as `F4`."""
    position: Name
    """Which roll of the stand, as `top`."""
    roll_id: Name | None = None
    """Its own name."""
    diameter_mm: float | None = Field(gt=0, le=10_000, allow_inf_nan=False)
    """As it is ground now; null: none runs there."""
    elongation: float = Field(default=1, ge=0.1, le=1000, allow_inf_nan=False)
    """How many times longer the strip is at the camera than where it leaves the roll."""


class CoilCommand(Said):
    """The coil that begins, or null at its end; said again of the running coil, what is new about it."""

    coil_id: Name | None
    product: Name | None = None
    """What it becomes."""
    grade: Name | None = None
    """Of the steel."""
    width_mm: float | None = Field(default=None, gt=0, le=100_000, allow_inf_nan=False)
    """Of the strip."""
    thickness_mm: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    """Of the strip."""
    length_m: float | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)
    """Of the coil."""
    mother: Annotated[str, Field(min_length=1, max_length=129, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    """The coil that it was split from; of a joined one both, as `A+B`."""
    winding: Literal["head_first", "tail_first"] | None = None
    """Which end passes first; null: the head."""
    ends: Name | None = None
    """With a null: the coil that ends. If another one runs, the command is refused."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ends is not None and self.coil_id is not None:
            raise ValueError("ends belongs to coil_id = null: it names the coil that ends")
        return self


class WeldCommand(Said):
    """Where a weld lies: what is found near it (`strip.weld_window_m`) raises no alarm."""

    at_m: float | None = Field(default=None, ge=0, le=1_000_000, allow_inf_nan=False)
    """From the head of the coil that runs; null: where coils are named, `strip.offset_m` before the camera."""


class ResendCommand(Asked):
    """Send kept messages again, from a number on."""

    from_seq: int = Field(ge=1, le=2**53)


class SectionCommand(_Strict):
    """A code that is printed on the strip, as EN 10372 numbers its sections, and where it stands."""

    code: Name
    at_m: float = Field(ge=0, le=1_000_000, allow_inf_nan=False)
    """From the coil's head."""
    coil_id: Name | None = None
    """Which coil; null: the one that runs."""


class KeepCommand(_Strict):
    """Keep the report of a coil, with its pictures, whatever else is deleted."""

    coil_id: Name
    off: bool = False
    """Keeps it no longer."""


class TeachCommand(Asked):
    """What the site's good surface is taught from, and whether it counts."""

    action: Literal["start", "accept", "undo", "cancel"] = "start"
    """start: collect for some minutes, then fit a candidate; accept: let it count; undo: the one before counts."""
    minutes: float = Field(default=60, gt=0, le=20160)
    """How long a start collects."""
    false_calls_per_km: float | None = Field(default=None, gt=0, le=1000)
    """What a start aims at, per side; null: the usual aim."""
    accept: bool = False
    """Whether the candidate of a start counts at once, unless it is refused."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a command came.

    Attributes:
        retained: The broker had kept it, and sends it at each new subscription.
        packet: Its number in the broker's session; None: it came another way.
        again: The broker sends it again: it got no answer.
        person: Who is known to have sent it; None: whoever it says.
    """

    retained: bool = False
    packet: int | None = None
    again: bool = False
    person: str | None = None


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A row of the table.

    Attributes:
        model: Its payload, as JSON.
        default: Whether it may come over MQTT if `mqtt.commands` is not set.
        needs_token: Whether HTTP accepts it with a token only.
        summary: What it does.
        role: Who usually gives it; stands for the person where `privacy.persons = "role"`.
        instant: It is done when it is recorded; anything else is in force until it ends or the next one comes.
    """

    model: type[Asked]
    default: bool
    needs_token: bool
    summary: str
    role: str = "operator"
    instant: bool = False


COMMANDS: Mapping[str, CommandKind] = {
    "coil": CommandKind(CoilCommand, True, True, "names the coil that begins, or ends it", "plant"),
    "line": CommandKind(LineCommand, True, True, "says whether the line runs, and how fast", "plant"),
    "rolls": CommandKind(RollsCommand, True, True, "names the roll that runs at a place of the mill", "plant"),
    "weld": CommandKind(WeldCommand, True, True, "says where a weld lies: near it nothing alarms", "plant", True),
    "ack": CommandKind(AckCommand, True, True, "notes that an alarm was seen, or all", instant=True),
    "verify": CommandKind(
        VerifyCommand, True, True, "notes what a person found where a defect was reported", instant=True
    ),
    "shelve": CommandKind(
        ShelveCommand, False, True, "silences the alarms of a class, of a place, or of both, for some hours"
    ),
    "pause": CommandKind(PauseCommand, False, True, "inspects nothing for some hours"),
    "section": CommandKind(
        SectionCommand, True, True, "says where a code stands that is printed on the strip", "plant", True
    ),
    "keep": CommandKind(KeepCommand, False, True, "keeps the report of a coil for good, or no longer", instant=True),
    "resend": CommandKind(ResendCommand, False, True, "sends kept messages again, from a seq on", instant=True),
    "teach": CommandKind(
        TeachCommand, False, True, "teaches the good surface of the site, and lets it count or not", "engineer", True
    ),
}
"""By the last level of the topic."""
DEFAULT_COMMANDS = tuple(name for name, kind in COMMANDS.items() if kind.default)

"""The commands that a station takes: one table for `cmd/NAME` over MQTT, `POST /api/commands/NAME`, `inspector do`.

`station.plant` has a handler for each row, and says what the command does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_PAYLOAD_BYTES = 4096
"""A longer payload is refused unread."""
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Asked(BaseModel):
    """What every command may carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: Name | None = None
    """Returned in the reply."""


class CoilCommand(Asked):
    """The coil that begins, or null at its end."""

    coil_id: Name | None


class ResendCommand(Asked):
    """Send kept messages again, from a number on."""

    from_seq: int = Field(ge=1, le=2**53)


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
    person: Name | None = None
    """Who asks; it stands in the reference."""


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A row of the table.

    Attributes:
        model: Its payload, as JSON.
        default: Whether it may come over MQTT if `mqtt.commands` is not set.
        needs_token: Whether HTTP accepts it with a token only.
        summary: What it does.
    """

    model: type[Asked]
    default: bool
    needs_token: bool
    summary: str


COMMANDS: Mapping[str, CommandKind] = {
    "coil": CommandKind(CoilCommand, True, True, "names the coil that begins, or ends it"),
    "teach": CommandKind(TeachCommand, False, True, "teaches the good surface of the site, and lets it count or not"),
    "resend": CommandKind(ResendCommand, False, True, "sends kept messages again, from a seq on"),
}
"""By the last level of the topic."""
DEFAULT_COMMANDS = tuple(name for name, kind in COMMANDS.items() if kind.default)

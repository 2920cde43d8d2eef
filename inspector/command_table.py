"""The commands that a station takes: one table for `cmd/NAME` over MQTT, `POST /api/commands/NAME`, `inspector do`.

`station.plant` has a handler for each row, and says what the command does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

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
    "resend": CommandKind(ResendCommand, False, True, "sends kept messages again, from a seq on"),
}
"""By the last level of the topic."""
DEFAULT_COMMANDS = tuple(name for name, kind in COMMANDS.items() if kind.default)

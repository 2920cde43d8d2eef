"""What a sink is, and what it sees of the store: messages in order, and a cursor that it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from inspector.store.entries import OutboxRow, OutboxState

LastWord = Literal["stopped", "offline"]
"""`stopped`: on request; `offline`: the station fails."""


class Outbox(Protocol):
    """Ordered, kept messages; the store is one."""

    @property
    def store_id(self) -> str:
        """Of the store that numbers the messages."""
        ...

    def cursor(self, sink: str) -> int:
        """Return the last delivered `seq`."""
        ...

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        """Return the next messages after `after_seq`."""
        ...

    def acknowledge(self, sink: str, seq: int) -> None:
        """Everything up to `seq` has arrived."""
        ...

    def hold(self, sink: str, holds: bool) -> None:
        """Keep what is delivered, whatever its age, while a sink may have to send it again; or no longer."""
        ...

    def outbox_state(self, sink: str) -> OutboxState:
        """Return how much waits."""
        ...

    def first_kept_seq(self) -> int | None:
        """Return the oldest message that can be sent again."""
        ...


@dataclass(slots=True)
class SinkStatus:
    """What health reports about a sink.

    Attributes:
        connected: Its other end takes messages.
        reason: Why it does not; None: it does, or has not been tried yet.
        trouble: What is wrong although it is connected.
    """

    connected: bool = False
    reason: str | None = None
    trouble: str | None = None


class Sink(Protocol):
    """Delivers the outbox somewhere, on a thread of its own.

    It begins after its cursor and moves it only over what has arrived and will survive there. What it delivered without
    acknowledging before a crash is delivered again. Its other end may be away for any time: the sink waits, reports it
    in `status`, and continues where it was. `tests/sinks/test_sink_contract.py` checks this for every sink.
    """

    @property
    def name(self) -> str:
        """Name of its cursor in the store, of its label in metrics, and of its section in the configuration."""
        ...

    @property
    def status(self) -> SinkStatus:
        """The state of its other end; read by any thread."""
        ...

    @property
    def progress_mono_s(self) -> float:
        """When its thread last made progress, on the monotonic clock."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """The error that ended its thread."""
        ...

    def start(self) -> None:
        """Begin to deliver."""
        ...

    def wake(self) -> None:
        """There is something new in the outbox, or in the retained state."""
        ...

    def stop(self, timeout_s: float, status: LastWord = "stopped") -> None:
        """Deliver what is possible within `timeout_s` seconds, publish `status` if the sink can, and end."""
        ...


@runtime_checkable
class ResendingSink(Protocol):
    """A sink whose other end may have lost what it acknowledged."""

    def resend(self, from_seq: int) -> str:
        """Send kept messages again from this `seq` on, under the same ids; returns a sentence about it."""
        ...

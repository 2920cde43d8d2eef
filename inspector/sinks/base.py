"""What a sink is, and what it sees of the store: messages in order, and a cursor that it moves."""

from __future__ import annotations

from typing import Literal, Protocol

from inspector.store.entries import OutboxRow, OutboxState


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

    def outbox_state(self, sink: str) -> OutboxState:
        """Return how much waits."""
        ...

    def first_kept_seq(self) -> int | None:
        """Return the oldest message that can be sent again."""
        ...


class EventSink(Protocol):
    """Delivers the outbox somewhere, on a thread of its own."""

    def start(self) -> None:
        """Begin to deliver."""
        ...

    def wake(self) -> None:
        """There is something new in the outbox, or in the retained state."""
        ...

    def stop(self, timeout_s: float, status: Literal["stopped", "offline"] = "stopped") -> None:
        """Deliver what is possible within `timeout_s` seconds, leave `status` behind, and end."""
        ...

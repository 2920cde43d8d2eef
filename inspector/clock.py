"""The one place where time comes from, so that tests and replays can say what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall-clock and monotonic time."""

    def now(self) -> datetime:
        """Return the present moment, UTC, timezone-aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the present moment, UTC, timezone-aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()


def to_rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 text in UTC with milliseconds and Z, the form that every message uses."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_timestamp_ms(timestamp_ms: int) -> datetime:
    """Return the moment, UTC, of whole milliseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def to_timestamp_ms(moment: datetime) -> int:
    """Return `moment` as whole milliseconds since 1970-01-01 UTC, cut off like `to_rfc3339` cuts."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)  # whole numbers: a float of today is 0.2 µs off

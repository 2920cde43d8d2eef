"""The time of a file, as a moment that every message and every column can hold.

A file system may say any time: a camera without a clock, a damaged disk, an archive of another age. A time outside
1970 to 2262 is taken as the nearest moment inside, and the log says so once; the picture itself is taken like any
other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

LAST_NS = (1 << 63) - 1
"""The last moment in nanoseconds that 64 bits hold: 2262-04-11."""

_log = structlog.get_logger("source")


def bounded_ns(time_ns: int) -> int:
    """Return the time of a file as a whole number of 64 bits."""
    return max(-LAST_NS, min(time_ns, LAST_NS))


class FileTimes:
    """Makes moments of the times of files; the first time that is out of range is in the log."""

    def __init__(self) -> None:
        self._said = False

    def moment(self, time_ns: int, name: str) -> datetime:
        """Return the moment, UTC, between 1970 and 2262.

        Args:
            time_ns: Since 1970-01-01 UTC, as the file system says.
            name: Of the file, for the log.
        """
        inside_ns = max(0, min(time_ns, LAST_NS))
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=inside_ns // 1000)
        if not self._said and (time_ns < 0 or time_ns >= LAST_NS):
            self._said = True
            _log.warning("file_time_out_of_range", file=name, time_ns=time_ns, taken_as=moment.isoformat())
        return moment

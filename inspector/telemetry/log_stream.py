"""Where log lines leave the process: whatever happens to them, the logging thread continues at once.

A full disk, a closed pipe and a reader that has stopped reading cost lines, never inspection. Lost lines are counted,
and the count is logged when lines can be written again.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading

import structlog

MAX_LINES = 2000
"""Most lines that wait while nothing reads them; further ones are dropped."""
AT_EXIT_S = 1.0

_log = structlog.get_logger("log")


class LogStream:
    """Takes text and writes it to a file descriptor on a thread of its own.

    Args:
        fd: Where to write.

    Attributes:
        dropped: Lines that could not be written and are not reported yet.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: queue.Queue[bytes] = queue.Queue(MAX_LINES)
        self._guard = threading.Lock()
        self.dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.drain, AT_EXIT_S)

    def write(self, text: str) -> None:
        """Take whole lines; never waits and never raises."""
        try:
            self._lines.put_nowait(text.encode(errors="backslashreplace"))
        except queue.Full:
            self._count()

    def flush(self) -> None:
        """Do nothing: a logging thread does not wait."""

    def drain(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s`; return whether all lines were written or dropped."""
        lines = self._lines
        with lines.all_tasks_done:
            return lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, timeout_s)

    def _count(self) -> None:
        with self._guard:
            self.dropped += 1

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            try:
                while line:
                    line = line[os.write(self._fd, line) :]
            except OSError:
                self._count()
            else:
                self._report()
            self._lines.task_done()

    def _report(self) -> None:
        with self._guard:
            dropped, self.dropped = self.dropped, 0
        if dropped:
            _log.warning("log_lines_dropped", count=dropped)


def open_stderr() -> LogStream:
    """Return a stream to standard error; where that is closed, its number is taken, so that no other file gets it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - it stays open as long as the process
    return LogStream(2)

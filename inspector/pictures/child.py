"""Decodes a picture in a process of its own, whose memory and time are bounded: for pictures of unknown origin.

A picture that kills its decoder, or needs more than it may have, costs that process and nothing else. What comes back
is what `decode_picture` gives, or its refusal. The child arms no crash points and inherits no limit of the station.

Run as `python -m inspector.pictures.child`: one line of JSON and the file on standard input, one line of JSON and the
pixels on standard output.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from inspector.errors import PictureError
from inspector.frame import Cause, Pixels
from inspector.pictures.decode import decode_picture

CHILD_MEMORY_BYTES = 320 << 20
"""What a child may allocate in addition to its memory at the start."""
CHILD_TIME_S = 10
"""Processor time that it may use; it is waited for twice as long."""
MAX_TRIES = 3
_FROM_OUTSIDE = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL}
"""Signals that another process sends; a picture makes the system send others."""


def decode_in_child(
    data: bytes, *, name: str, max_px: int, full_scale: int | None = None, memory_bytes: int = CHILD_MEMORY_BYTES
) -> Pixels:
    """Decode one still picture in a child process; arguments and result as of `decode_picture`.

    A child that is killed from outside says nothing about the picture, so it is tried again, `MAX_TRIES` times in all.

    Args:
        data: The file.
        name: For messages.
        max_px: Most pixels.
        full_scale: As of `decode_picture`.
        memory_bytes: What the child may allocate beyond what it has when it begins.

    Raises:
        PictureError: As `decode_picture`; `deadly` if the child died or took too long over it.
        OSError: No child can be started.
    """
    order = json.dumps(
        {"memory_bytes": memory_bytes, "name": name, "max_px": max_px, "full_scale": full_scale}
    ).encode()
    environ = {key: value for key, value in os.environ.items() if not key.startswith("INSPECTOR_")}
    for _ in range(MAX_TRIES):
        done = _run(order + b"\n" + data, name, environ)
        if -done.returncode not in _FROM_OUTSIDE:
            break
    head, _, body = done.stdout.partition(b"\n")
    if done.returncode != 0 or not head:
        why = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise PictureError(f"{name}: decoding it ends the process that does it ({why})", Cause.DEADLY)
    answer: dict[str, Any] = json.loads(head)
    if "error" in answer:
        raise PictureError(answer["error"], Cause(answer["reason"]))
    return np.frombuffer(body, np.uint8).reshape(answer["shape"])


def _run(given: bytes, name: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [sys.executable, "-m", "inspector.pictures.child"],
            input=given,
            capture_output=True,
            timeout=2 * CHILD_TIME_S,
            check=False,
            env={
                **environ,
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        )
    except subprocess.TimeoutExpired as exc:
        raise PictureError(f"{name}: decoding takes longer than {2 * CHILD_TIME_S} s", Cause.DEADLY) from exc


def main() -> None:
    """Decode what comes on standard input."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # they are meant for the station
        signal.signal(number, signal.SIG_IGN)
    first, _, data = sys.stdin.buffer.read().partition(b"\n")
    order = json.loads(first)
    memory_bytes = order.pop("memory_bytes")
    _bound(memory_bytes)
    try:
        pixels = decode_picture(data, **order)
    except PictureError as exc:
        answer: dict[str, Any] = {"error": str(exc), "reason": exc.reason}
        body = b""
    except MemoryError:
        text = f"{order['name']}: decoding it needs more than {memory_bytes} bytes of memory"
        answer, body = {"error": text, "reason": Cause.TOO_LARGE.value}, b""
    else:
        answer, body = {"shape": pixels.shape}, pixels.tobytes()
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + body)


def _bound(more_bytes: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
        now_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + more_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_TIME_S, 2 * CHILD_TIME_S))  # SIGXCPU, which only the system sends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
